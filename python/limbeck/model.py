"""lb.Model: a graph that is a torch.nn.Module."""

import json
import os
import pathlib
import tempfile

import torch

from limbeck import trees
from limbeck._extension import core as _core


class Scope(torch.nn.Module):
    """A part of a Model, called as the original's submodule: it holds the parameters and the mode of that part.

    `train()` and `eval()` on it count for everything below it. It can't be called by itself: ask the model for its
    value with `taps=["layer1.0"]`.
    """

    def __init__(self, path, type_name):
        super().__init__()
        self._path, self._type_name = path, type_name
        self.training = False

    def forward(self, *_args, **_kwargs):
        raise NotImplementedError(f"[model] the scope '{self._path}' can't be run alone. Its value comes beside the "
                                  f"model's output: output, taps = model(x, taps=['{self._path}'])")

    def extra_repr(self):
        return self._type_name


class _Slot:
    """Where a tensor of the graph stands in the tree of scopes."""

    __slots__ = ("name", "holder", "key", "tensor")

    def __init__(self, name, holder, key, tensor):
        self.name, self.holder, self.key, self.tensor = name, holder, key, tensor

    def current(self):
        found = self.holder._parameters.get(self.key)
        return self.holder._buffers.get(self.key) if found is None else found


class Model(torch.nn.Module):
    """A captured or loaded model. It is an nn.Module: parameters, buffers and state_dict have the original's names.

    Calling it runs the graph on ATen with autograd, autocast and the current mode; the output has the structure that
    the original's has in that mode. Beside what every module has:

        output, taps = model(x, taps=["layer3"])   # taps: {"layer3": tensor}, with gradients
        model.replace_head("fc", classes=10)
        model.freeze("^(?!fc)")
        model.save("model.lmb")

    `copy.deepcopy` and pickle make independent copies. One thread at a time may run a model.
    """

    _fuses = False  # whether runs in train mode are fused: a view's class says so (see views.py)

    def __init__(self, core):
        super().__init__()
        self._core = core
        self._synced_modes = None
        self._build_tree()

    @classmethod
    def from_tensors(cls, core, tensors):
        """A model whose parameters and buffers are those of `tensors`, {name: tensor}, wherever it has the name."""
        known = {name for name, _, _, _ in core.table()}
        core.set_tensors([(name, tensor) for name, tensor in tensors.items() if name in known])
        return cls(core)

    # --- structure ---------------------------------------------------------------------------------------------
    def _build_tree(self):
        """(Re)makes scopes, parameters and buffers from the graph's table."""
        modes = {path: scope.training for path, scope in self._named_scopes()} if self._modules else {}
        for mapping in (self._modules, self._parameters, self._buffers, self._non_persistent_buffers_set):
            mapping.clear()
        self._types = dict(self._core.scopes())
        self._slots = []
        made = {}
        for name, tensor, is_buffer, is_persistent in self._core.table():
            self._add_tensor(made, name, tensor, is_buffer, is_persistent)
        self._core.set_tensors([(slot.name, slot.tensor) for slot in self._slots])
        for path in self._types:
            if path:
                self._scope(path)
        for path, scope in self._named_scopes():
            scope.training = modes.get(path, self.training if modes else False)
        if not modes:
            self.training = False
        self._input_names = self._core.input_names()
        self._trees = {mode: self._core.output_tree(mode) for mode in (False, True)}
        self._synced_modes = None

    def _scope(self, path):
        holder, walked = self, []
        for part in path.split("."):
            walked.append(part)
            child = holder._modules.get(part)
            if child is None:
                joined = ".".join(walked)
                child = holder._modules[part] = Scope(joined, self._types.get(joined, ""))
            holder = child
        return holder

    def _add_tensor(self, made, name, tensor, is_buffer, is_persistent):
        path, _, key = name.rpartition(".")
        holder = self._scope(path) if path else self
        if is_buffer:
            holder._buffers[key] = tensor
            if not is_persistent:
                holder._non_persistent_buffers_set.add(key)
        else:
            # Tied weights stand under several names as one object.
            tensor = made.setdefault(id(tensor), (tensor, _as_parameter(tensor)))[1]
            holder._parameters[key] = tensor
        self._slots.append(_Slot(name, holder, key, tensor))

    def _named_scopes(self):
        for path, module in self.named_modules():
            if path:
                yield path, module

    # --- running -------------------------------------------------------------------------------------------------
    def _sync(self):
        """Brings the graph what was done to the module since: modes, and tensors that were put in others' place."""
        self._sync_tensors()
        flags = [module.training for module in self.modules()]
        if flags == self._synced_modes:
            return
        modes, known = [("", self.training)], {"": self.training}
        for path, scope in self._named_scopes():
            known[path] = scope.training
            if scope.training != known[path.rpartition(".")[0]] and path in self._types:
                modes.append((path, scope.training))
        self._core.set_modes(modes)
        self._synced_modes = flags

    def _sync_tensors(self):
        changed = []
        for slot in self._slots:
            tensor = slot.current()
            if tensor is slot.tensor:
                continue
            if tensor is None:
                raise ValueError(f"[model] '{slot.name}' is gone from the model: put a tensor back in its place")
            slot.tensor = tensor
            changed.append((slot.name, tensor))
        if changed:
            self._core.set_tensors(changed)

    def forward(self, *args, taps=(), **kwargs):
        """Runs the model in its current mode. With `taps`, scope names, returns (output, {tap: tensor})."""
        self._sync()
        inputs, taps = self._named_inputs(args, kwargs), list(taps)
        tensors, tapped = self._core.forward(inputs, taps, self._fuses)
        return self._packed(self.training, tensors, taps, tapped)

    def _named_inputs(self, args, kwargs):
        return trees.name_inputs(self._input_names, args, kwargs)

    def _packed(self, is_training, tensors, taps, tapped):
        output = trees.build(self._trees[is_training], iter(tensors))
        return (output, dict(zip(taps, tapped))) if taps else output

    # --- changes -------------------------------------------------------------------------------------------------
    def _apply(self, fn, recurse=True):
        """What to(), half(), cuda() and the like call. The graph's constants follow the parameters."""
        self._sync_tensors()
        probe = next((p for p in self.parameters() if p.is_floating_point()), None)
        if probe is not None:
            self._convert_graph(fn, probe)
        super()._apply(fn, recurse)
        self._sync_tensors()
        return self

    def _convert_graph(self, fn, probe):
        with torch.no_grad():
            sample = fn(torch.empty((2, 2, 2, 2), dtype=probe.dtype, device=probe.device))
        if sample.device != probe.device and sample.device.type != "meta":
            self._core.to_device(sample.device)
        if sample.dtype != probe.dtype:
            self._core.to_dtype(sample.dtype)

    def replace_head(self, at, classes, seed=0):
        """Puts a new classifier of `classes` outputs in the place of the linear layer or 1x1 convolution at scope `at`.

        Its weights are drawn as PyTorch draws a new layer's, from `seed`; all others stay. Make optimizers after it.
        ValueError naming the candidates when `at` is no classifier.
        """
        self._sync_tensors()
        self._core.replace_head(at, classes, seed)
        self._build_tree()
        return self

    def freeze(self, pattern):
        """requires_grad_(False) for parameters whose names match the regular expression; returns how many.

        ValueError naming the nearest when none matches. A frozen norm's statistics are held by eval() on its scope.
        """
        self._sync_tensors()
        names = set(self._core.parameter_names(pattern))
        for slot in self._slots:
            if slot.name in names:
                slot.tensor.requires_grad_(False)
        return len(names)

    def accept_assumptions(self, modes="both"):
        """Accepts what a single export could not tell about a mode ("train", "eval" or "both")."""
        self._core.accept(modes)

    @property
    def assumptions(self):
        """[(mode, text)]: what the model's file could not tell; running that mode raises until accepted."""
        return self._core.assumptions()

    @property
    def metadata(self):
        """{key: text} that travels in the file: where the model came from, preprocessing, labels."""
        return self._core.metadata()

    @property
    def preprocessing(self):
        """What an application does to an image file before the model, as a dict, or None. It travels in the file.

        {"channels": 3, "height": 224, "width": 224, "mean": [...], "stddev": [...], "transforms": [...]}. Assign such a
        dict, or what lb.data.preprocessing() and Loader.preprocessing give; lb.fit does it.
        """
        return self._read_metadata(_core.PREPROCESSING_KEY)

    @preprocessing.setter
    def preprocessing(self, value):
        _core.put_preprocessing(self._core, value if isinstance(value, str) else json.dumps(value))

    @property
    def labels(self):
        """Names of the classes, in the order of the outputs, or None. They travel in the file."""
        return self._read_metadata(_core.LABELS_KEY)

    @labels.setter
    def labels(self, names):
        _core.put_labels(self._core, [str(name) for name in names])

    def _read_metadata(self, key):
        text = self.metadata.get(key)
        return None if text is None else json.loads(text)

    def graph_text(self):
        """The graph as text."""
        return self._core.text()

    # --- files and copies ------------------------------------------------------------------------------------------
    def save(self, path):
        """Writes the model as `.lmb`, atomically. OSError if that fails."""
        self._sync_tensors()
        self._core.save(os.fspath(path))

    def _copy_state_to(self, copy):
        for (_, theirs), (_, ours) in zip(copy._named_scopes(), self._named_scopes()):
            theirs.training = ours.training
        copy.training = self.training
        for theirs, ours in zip(copy._slots, self._slots):
            if theirs.tensor.requires_grad != ours.tensor.requires_grad:
                theirs.tensor.requires_grad_(ours.tensor.requires_grad)
        return copy

    def __deepcopy__(self, memo):
        self._sync_tensors()
        copy = self._copy_state_to(Model(self._core.clone()))
        memo[id(self)] = copy
        return copy

    def __reduce__(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.lmb"
            self.save(path)
            content = path.read_bytes()
        modes = [module.training for module in self.modules()]
        frozen = [slot.name for slot in self._slots if not slot.tensor.requires_grad]
        return _from_bytes, (content, modes, frozen)

    def extra_repr(self):
        return self._core.class_name()


def _as_parameter(tensor):
    if isinstance(tensor, torch.nn.Parameter):
        return tensor
    return torch.nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)


def _from_bytes(content, modes, frozen):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.lmb"
        path.write_bytes(content)
        model = load(path)
    for module, mode in zip(model.modules(), modes):
        module.training = mode
    frozen = set(frozen)
    for slot in model._slots:
        if slot.tensor.is_floating_point():
            slot.tensor.requires_grad_(slot.name not in frozen)
    return model


def load(what, *, train=None, weights=None, seed=0):
    """Loads a zoo name ("resnet18"), an `.lmb` or a `.pt2` file to a Model in eval mode.

    `train`: the train export that pairs with a `.pt2`; `weights`: a `.pth`, safetensors or `.lmb` file whose weights
    the model takes, strictly; `seed`: of a zoo model's initial weights. ValueError for an unknown name (naming the
    nearest), FileNotFoundError and other OSErrors for files, NotImplementedError for files that hold no graph.
    """
    paths = [os.fspath(path) if path is not None else "" for path in (what, train, weights)]
    try:
        return Model(_core.load(paths[0], paths[1], paths[2], seed))
    except OSError as error:
        if any(_is_missing(path, str(error)) for path in paths if path):
            raise FileNotFoundError(str(error)) from error.__cause__
        raise


def _is_missing(path, said):
    """Whether what is said of a file is that it is not there: a zoo name is none either, but nothing is said of it."""
    return not os.path.exists(path) and (f"'{path}'" in said or f"{path}:" in said)


def save(model, path):
    """Writes a Model as `.lmb`, atomically: the graph, its weights and what travels with them."""
    if not isinstance(model, Model):
        raise ValueError(f"[save] only a limbeck.Model can be saved as .lmb, got {type(model).__name__}. Capture it "
                         "first: lb.capture(module, example)")
    model.save(path)

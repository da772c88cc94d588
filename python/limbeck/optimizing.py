"""lb.optimize: one call for models and optimizers, whatever owns what."""

import difflib
import inspect
import json
import textwrap
import typing
import weakref

import torch
from torch.utils import _pytree as pytree

from limbeck import from_ipex, optim
from limbeck._extension import core as _core
from limbeck.capturing import capture
from limbeck.layouts import turn_weights
from limbeck.model import Model
from limbeck.modes import in_role
from limbeck.views import layout_of, optimized_view

_PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


class Role(str):
    """What a model of a set is there for: Role.eval, Role.train, or frozen_train(...)."""


Role.eval, Role.train = Role("eval"), Role("train")


def frozen_train(buffers="keep"):
    """The role of a model that runs in train mode (batch statistics, dropout live) and is not trained.

    `buffers`: "keep" leaves the running statistics' bits, "update" writes them as eager does.
    """
    if buffers not in ("keep", "update"):
        raise ValueError(f"[optimize] buffers must be 'keep' or 'update', got {buffers!r}")
    return Role(f"frozen_train({buffers})")


class SetStep(typing.NamedTuple):
    """What ModelSet.step() did."""

    is_updated: bool  # the optimizers stepped
    is_skipped: bool  # fp16: a gradient overflowed, the scale was lowered, nothing was updated
    grad_norm: float  # joint 2-norm before clipping, unscaled; 0 unless is_updated


# --- what the set asks of a module and of an optimizer ------------------------------------------------------------


class _ModuleAdapter:
    """A torch.nn.Module as a member of a set."""

    def __init__(self, module):
        self._module = module

    def type(self):
        return f"nn.Module {type(self._module).__name__}"

    def parameters(self):
        return list(self._module.named_parameters())

    def buffers(self):
        return list(self._module.named_buffers())

    def is_training(self):
        return self._module.training

    def revision(self):
        """Another number when the module's parameters are other objects."""
        return hash(tuple(id(parameter) for parameter in self._module.parameters())) & (2**64 - 1)

    def notes(self, precision):
        left = ["a module runs op by op, as its forward says: capture it (lb.capture, or sample_input=) for fused passes"]
        if precision == "fp32":
            return [], [], left
        cast = [f"convolutions and matrix products run in {precision} by torch.autocast; parameters stay float32"]
        return cast, [], left


class _OptimizerAdapter:
    """A torch.optim.Optimizer of Python, of any class, as one of a set's."""

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self._reason = optim.why_not_fused(optimizer)
        self._stepper = optim.fused(optimizer)

    def name(self):
        kind = type(self._optimizer)
        if isinstance(self._optimizer, optim.FusedView):
            kind = kind.__mro__[2]
        return f"{kind.__module__.replace('torch.optim.' + kind.__name__.lower(), 'torch.optim')}.{kind.__qualname__}"

    def groups(self):
        return [(group["params"], float(group.get("lr", 0.0))) for group in self._optimizer.param_groups]

    def needs_closure(self):
        return isinstance(self._optimizer, torch.optim.LBFGS)

    def step(self, closure):
        return self._stepper.step() if closure is None else self._stepper.step(closure)

    def support(self):
        if type(self._stepper).__module__ == optim.__name__:
            return True, f"one multi-tensor kernel on the state of {self.name()}"
        return False, f"its own step(): {self._reason}"

    def state_of(self, parameter):
        return [value for value in self._optimizer.state.get(parameter, {}).values() if isinstance(value, torch.Tensor)]


# --- sets --------------------------------------------------------------------------------------------------------------


class ModelSet:
    """Models with roles and the optimizers that train some of them. Made by optimize().

        t, s = set.forward("teacher", x), set.forward("student", x)
        set.backward(lb.kd(s, t, y))
        set.step()

    Nothing of the user's is copied, patched or re-bound. For one thread at a time.
    """

    def __init__(self, models, optimizers, precision, clip_norm, accumulate):
        self._models = {name: _split_role(name, entry) for name, entry in models.items()}
        self._optimizers = list(optimizers)
        for model, _ in self._models.values():
            if isinstance(model, Model):
                model._sync()
        self._core = _core.ModelSet([(name, _as_member(model), role) for name, (model, role) in self._models.items()],
                                    [(_OptimizerAdapter(optimizer), _identity(optimizer)) for optimizer in optimizers],
                                    precision, clip_norm, accumulate)

    def forward(self, name, *args, taps=(), **kwargs):
        """Runs a model as its role says; the output is what the model returns. With `taps`: (output, {tap: tensor}).

        A model that is not trained records no gradient, unless an input requires one.
        """
        if name not in self._models:
            self._core.role(name)  # raises, naming the nearest
        model = self._models[name][0]
        if isinstance(model, Model):
            return self._forward_graph(name, model, args, list(taps), kwargs)
        if taps:
            raise ValueError(f"[optimize] '{name}' is a torch.nn.Module, which has no taps: capture it with lb.capture")
        inputs = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        run = self._core.enter(name, inputs)
        try:
            with in_role(model, run.is_training(), run.writes_buffers()):
                return model(*args, **kwargs)
        finally:
            run.close()

    def _forward_graph(self, name, model, args, taps, kwargs):
        model._sync()
        tensors, tapped = self._core.forward(name, model._named_inputs(args, kwargs), taps)
        return model._packed(self.role(name) != "eval", tensors, taps, tapped)

    def backward(self, loss, retain_graph=False):
        """Gradients of a scalar loss, scaled as precision and accumulation need it. Use it instead of loss.backward().

        The first call after an update forgets the gradients that were there; further ones add up.
        """
        self._core.backward(loss, retain_graph)

    def step(self, closure=None, *, optimizer=None):
        """Ends a micro-batch; at every `accumulate`-th call unscales, checks, clips and updates. Returns a SetStep.

        ValueError when the loss or a gradient is not finite: nothing is updated then (in fp16 the step is skipped).
        `closure`, for optimizers such as LBFGS, calls forward and backward of the set and returns the loss.
        With `optimizer`, that one alone steps, for models that train in turns; in fp16 update_scale() ends an iteration.
        """
        if optimizer is None:
            return SetStep(*self._core.step(closure))
        if closure is not None:
            raise ValueError("[optimize] step takes a closure or one optimizer, not both")
        return SetStep(*self._core.step_alone(self._reference(optimizer)))

    def update_scale(self):
        """fp16: ends an iteration of steps of single optimizers, as torch.amp.GradScaler.update(). Else nothing."""
        self._core.update_scale()

    def finish_accumulation(self):
        """Updates from the micro-batches so far, however few, at the end of an epoch. Returns a SetStep."""
        return SetStep(*self._core.finish_accumulation())

    def zero_grad(self, optimizer=None):
        """Forgets the gradients of all trained models and the micro-batches so far; or those of one optimizer alone."""
        if optimizer is None:
            self._core.zero_grad()
        else:
            self._core.zero_grad_of(self._reference(optimizer))

    @staticmethod
    def _reference(optimizer):
        return _OptimizerAdapter(optimizer), _identity(optimizer)

    def role(self, name):
        """The role of a model, as it was given or found."""
        return Role(self._core.role(name))

    def report(self):
        """What was cast, fused and left for each model and optimizer, and why: print it, or see .data."""
        return Report(*self._core.report())

    def state_dict(self):
        """The loss scaler's state in fp16, else empty; models and optimizers have state_dicts of their own."""
        state = self._core.scaler_state()
        return {} if state is None else {"scaler": json.loads(state)}

    def load_state_dict(self, state):
        """Restores state_dict()."""
        if "scaler" in state:
            self._core.load_scaler_state(json.dumps(state["scaler"]))


class Report:
    """What optimize() did. str() is the text for people, `data` the same as nested dictionaries."""

    def __init__(self, text, data):
        self._text, self.data = text, json.loads(data)

    def with_layout(self, note):
        """The same, with the sentence on the layout that the graph's runs have."""
        paragraph = textwrap.fill(note, 78, initial_indent="  ", subsequent_indent="    ")
        text = "\n".join([self._text.rstrip("\n"), "graph:", paragraph])
        return Report(text, json.dumps({**self.data, "layout": note}))

    def __str__(self):
        return self._text

    __repr__ = __str__


def _split_role(name, entry):
    """(model, role text or "") of what stands under `name`: a model, or a pair of model and role."""
    model, role = entry if isinstance(entry, tuple) else (entry, "")
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"[optimize] '{name}' must be a torch.nn.Module or a limbeck.Model, or a pair of one and its "
                         f"role, got {type(model).__name__}")
    return model, str(role)


def _as_member(model):
    return model._core if isinstance(model, Model) else _ModuleAdapter(model)


def _identity(optimizer):
    """The optimizer itself: a view and what it shows are one."""
    return optimizer._optimizer if isinstance(optimizer, optim.FusedView) else optimizer


def _precision_of(dtype):
    if dtype not in _PRECISIONS:
        raise ValueError(f"[optimize] dtype must be torch.float32, torch.bfloat16 or torch.float16, got {dtype}")
    return _PRECISIONS[dtype]


# --- optimize() and its report -------------------------------------------------------------------------------------

_reports = weakref.WeakKeyDictionary()


def report(optimized):
    """The Report of a ModelSet, or of a model or optimizer that optimize() returned."""
    if isinstance(optimized, ModelSet):
        return optimized.report()
    if optimized not in _reports:
        raise ValueError(f"[optimize] this {type(optimized).__name__} did not come from lb.optimize()")
    return _reports[optimized]


def optimize(models, optimizers=None, *, optimizer=None, dtype=torch.float32, sample_input=None, clip_norm=0.0,
             accumulate=1, **others):
    """Makes training (and, without an optimizer, inference) of models fast and joins what belongs together.

    On sets:  set = lb.optimize({"teacher": (teacher, lb.frozen_train("update")), "student": (student, lb.Role.train)},
                                [body, head], dtype=torch.bfloat16)
        Modules and Models with roles (none given: trained where an optimizer owns a parameter, else eval), optimizers
        of any class, and a ModelSet to run them by. `clip_norm`: joint 2-norm of all gradients at most; `accumulate`:
        micro-batches a step.

    On one model:  model, optimizer = lb.optimize(model, optimizer=optimizer, dtype=torch.bfloat16, sample_input=x)
        Objects for a loop as it is: model(x), loss.backward(), optimizer.step(). With `sample_input`, or a Model, it is
        the graph that runs; a module without it stays a module. Parameters, state and groups are the ones that were
        given; where images run in channels_last, convolution weights and their state are turned to it in place, as
        module.to(memory_format=torch.channels_last) does. Without `optimizer` only the model is returned. lb.report(model)
        says what was done.

    dtype: float32, or None for it; bfloat16 and float16 run under autocast, parameters stay float32. ValueError that names the
    parameter: owned by no model, by two optimizers, in two roles; an optimizer that owns nothing of the set; a trained
    model of which no optimizer owns anything. TypeError for keywords of IPEX's, which says what to do instead.
    """
    _refuse_others(others, optimizers)
    dtype = torch.float32 if dtype is None else dtype
    if isinstance(models, dict):
        if optimizer is not None or sample_input is not None:
            raise ValueError("[optimize] a set takes its optimizers as a list after the models, and its members as "
                             "they are: capture a module with lb.capture for the graph's passes")
        return ModelSet(models, optimizers or [], _precision_of(dtype), clip_norm, accumulate)
    if optimizers is not None or clip_norm or accumulate != 1:
        raise ValueError("[optimize] one model takes optimizer=, and its own loop clips and accumulates. For several "
                         "optimizers make a set: lb.optimize({'model': model}, [first, second])")
    return _optimize_one(models, optimizer, dtype, sample_input)


def _refuse_others(others, optimizers):
    """TypeError for keywords that optimize() does not have, and for IPEX's second argument by position."""
    if isinstance(optimizers, torch.dtype):
        raise TypeError(f"[optimize] the dtype is given by name: dtype={optimizers}")
    for name in others:
        if name in from_ipex.INSTEAD:
            raise TypeError(f"[optimize] {name}= {from_ipex.INSTEAD[name].replace('`', '')}.")
        known = [parameter for parameter in inspect.signature(optimize).parameters if parameter != "others"]
        nearest = difflib.get_close_matches(name, known, 1, 0)[0]
        raise TypeError(f"[optimize] there is no keyword {name}=. Nearest: {nearest}=.")


def _lay_out(model, optimizer, dtype):
    """Turns a Model's weights to the layout that its runs will have. (When that is channels_last, what to say of it)."""
    channels_last, note = layout_of(model, dtype, optimizer is not None)
    turned = turn_weights(model.parameters(), optimizer) if channels_last == "always" else 0
    return channels_last, f"{note}; {turned} weights were turned to it in place" if turned else note


def _optimize_one(module, optimizer, dtype, sample_input):
    precision = _precision_of(dtype)
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"[optimize] takes a torch.nn.Module, a limbeck.Model or a dict of them, got "
                         f"{type(module).__name__}")
    model = module
    if sample_input is not None and not isinstance(module, Model):
        model = capture(module, sample_input)
    role = Role.eval if optimizer is None else Role.train
    members = ModelSet({"model": (model, role)}, [] if optimizer is None else [optimizer], precision, 0.0, 1)
    said = members.report()
    channels_last = None
    if isinstance(model, Model):
        channels_last, note = _lay_out(model, optimizer, dtype)
        said = said.with_layout(note)
    model = optimized_view(model, dtype, channels_last)
    _reports[model] = said
    if optimizer is None:
        return model
    stepper = optim.fused(optimizer)
    _reports[stepper] = said
    return model, stepper

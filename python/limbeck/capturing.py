"""lb.capture: from a torch.nn.Module in this process to a Model on the same parameters."""

import difflib
import inspect
import pathlib
import sys
import tempfile

import torch
from torch.utils import _pytree as pytree

from limbeck._extension import core as _core
from limbeck.model import Model
from limbeck.modes import in_role, on_copies_of_buffers


def export_pair(module, args, path=None, kwargs=None, free_batch=True, dynamic_shapes=None):
    """Exports `module` in both modes, saves the pair to `path` if given, returns {"eval": program, "train": program}.

    For files that `lb.load` and the command line tool read; `limbeck capture --python` prints the same function for
    places without limbeck. `args` and `kwargs` are example inputs whose tensors have the batch, at least 2, as axis 0
    (without `free_batch` any inputs, whose sizes are then fixed). `dynamic_shapes` as capture() has it. Errors are
    those of capture().
    """
    from limbeck import _export_pair  # here: torch.export takes two seconds to import

    kwargs = kwargs or {}
    shapes = _by_argument(module, args, kwargs, dynamic_shapes)
    try:
        return _export_pair.export_pair(module, args, path, kwargs, free_batch, shapes, _frames_above())
    except OSError:
        raise
    except Exception as error:  # torch.export has no class for its refusals, and what the module raises is any
        _raise_for_module(module, args, kwargs)
        _raise_for_export(module, dynamic_shapes, error)


def _frames_above():
    """How many frames above its caller the code that called this package is: the stacklevel that warns in its line."""
    frame, count = sys._getframe(1), 0
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame, count = frame.f_back, count + 1
    return count + 1


def _by_argument(module, args, kwargs, shapes):
    """torch.export's dynamic shapes, by position or by name, under the names of all arguments that the call has."""
    kind = type(module).__name__
    try:
        names = list(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise ValueError(f"[capture] the example does not fit {kind}.forward{inspect.signature(module.forward)}: "
                         f"{error}. Give a tensor, a tuple of positional or a dict of keyword arguments.") from error
    if shapes is None:
        return None
    if isinstance(shapes, (tuple, list)):
        if len(shapes) > len(names):
            raise ValueError(f"[capture] dynamic_shapes by position must have at most one entry for each argument of "
                             f"the example ({', '.join(names)}), got {len(shapes)}. None stands for nothing free.")
        shapes = dict(zip(names, shapes, strict=False))  # those that are left out have nothing free
    if not isinstance(shapes, dict):
        raise ValueError("[capture] dynamic_shapes must be {argument: {axis: torch.export.Dim(name)}}, or a tuple of "
                         f"such axes by position, got {type(shapes).__name__}")
    for name in shapes:
        if name not in names:
            nearest = difflib.get_close_matches(str(name), names, 1, 0) or names
            raise ValueError(f"[capture] dynamic_shapes names an argument '{name}', which the example does not have. "
                             f"Nearest: {nearest[0]}.")
    return {name: shapes.get(name) for name in names}


def _clone(leaf):
    """A tensor of its own with the same values, which a module may write to; anything else as it is."""
    if not isinstance(leaf, torch.Tensor):
        return leaf
    copy = leaf.clone()
    return copy.detach().requires_grad_() if leaf.is_leaf and leaf.requires_grad else copy


def _run_on_copies(module, args, kwargs, is_training):
    """One forward whose writes to buffers, to the example and to the random state nobody sees."""
    args, kwargs = pytree.tree_map(_clone, (args, kwargs))
    with in_role(module, is_training, writes_buffers=True), on_copies_of_buffers(module), torch.random.fork_rng([]):
        module(*args, **kwargs)


def _raise_for_module(module, args, kwargs):
    """ValueError where the module itself can't run the example, from what it raises."""
    for mode in ("train", "eval"):
        try:
            _run_on_copies(module, args, kwargs, is_training=mode == "train")
        except Exception as error:
            shapes = [_describe(leaf) for leaf in pytree.tree_leaves((args, kwargs))]
            raise ValueError(f"[capture] {type(module).__name__} itself raises {type(error).__name__} on the example "
                             f"({', '.join(shapes)}) in {mode} mode: {_first_line(error)}. Give an example that "
                             "module(...) takes in both modes.") from error


def _raise_for_export(module, dynamic_shapes, error):
    """NotImplementedError for a module that runs and can't be exported, from torch's own."""
    if dynamic_shapes is None:
        remedy = ("Rewrite what torch names below so that it depends on shapes alone (torch.where in the place of if), "
                  "or train the module as it is: lb.optimize without sample_input= takes any module")
    else:
        remedy = "Leave the axis that torch names below out of dynamic_shapes=, or narrow it: Dim(name, min=, max=)"
    raise NotImplementedError(f"[capture] torch.export can't make a graph of {type(module).__name__}: "
                              f"{_first_line(error)}. {remedy}.\n{error}") from error


def _first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "without a text"


def _describe(leaf):
    if isinstance(leaf, torch.Tensor):
        return f"{str(leaf.dtype).removeprefix('torch.')} {list(leaf.shape)}"
    return type(leaf).__name__


def _as_call(example):
    """(args, kwargs) of an example input: a tensor, a tuple of arguments, or a dict of keyword arguments."""
    if isinstance(example, dict):
        return (), example
    return (tuple(example), {}) if isinstance(example, (tuple, list)) else ((example,), {})


def _widened(args, kwargs):
    """torch.export takes a size of one for a constant: an example of one sample stands for two."""
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    if not tensors or tensors[0].dim() == 0:
        raise ValueError("[capture] the example must have a tensor whose axis 0 is the batch, got "
                         f"{[tuple(tensor.shape) for tensor in tensors]}")
    if tensors[0].shape[0] != 1:
        return args, kwargs
    double = lambda leaf: torch.cat([leaf, leaf]) if torch.is_tensor(leaf) and leaf.dim() and len(leaf) == 1 else leaf
    return pytree.tree_map(double, (args, kwargs))


def capture(module, example, *, dynamic_batch=True, dynamic_shapes=None):
    """Captures `module` in both modes to a Model that shares its parameters and buffers.

    Training the Model trains the module, and the other way round: the tensors are the same. The module, its mode and
    its weights are left as they were; the Model begins in the module's modes. `example` is a tensor, a tuple of
    positional or a dict of keyword arguments. With `dynamic_batch`, axis 0 is free in the graph wherever the example's
    tensors have the batch there; else the example's sizes are those that the graph runs. `dynamic_shapes` frees further
    sizes, in torch.export's own form: {"input_ids": {1: torch.export.Dim("length", max=512)}}.

    ValueError for an example that has no batch or that the module itself does not run; NotImplementedError for a module
    that torch.export can't trace, with torch's text, and, naming op and scope, for what no graph can express.
    """
    if isinstance(module, Model) or not isinstance(module, torch.nn.Module):
        raise ValueError(f"[capture] capture takes a torch.nn.Module that is no limbeck.Model yet, got "
                         f"{type(module).__name__}")
    args, kwargs = _as_call(example)
    if dynamic_batch:
        args, kwargs = _widened(args, kwargs)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "pair.pt2"
        export_pair(module, args, path, kwargs, dynamic_batch, dynamic_shapes)
        core = _core.capture(str(path), dynamic_batch)
    tensors = dict(module.named_parameters(remove_duplicate=False))
    tensors.update(module.named_buffers(remove_duplicate=False))
    model = Model.from_tensors(core, tensors)
    modes = {path: child.training for path, child in module.named_modules()}
    for path, scope in model.named_modules():
        scope.training = modes.get(path, module.training)
    return model

"""lb.capture: from a torch.nn.Module in this process to a Model on the same parameters."""

import pathlib
import tempfile

import torch
from torch.utils import _pytree as pytree

from limbeck._extension import core as _core
from limbeck.model import Model


def export_pair(module, args, path=None, kwargs=None, free_batch=True):
    """Exports `module` in both modes, saves the pair to `path` if given, returns {"eval": program, "train": program}.

    For files that `lb.load` and the command line tool read; `limbeck capture --python` prints the same function for
    places without limbeck. `args` and `kwargs` are example inputs whose tensors have the batch, at least 2, as axis 0
    (without `free_batch` any inputs, whose sizes are then fixed).
    """
    from limbeck import _export_pair  # here: torch.export takes two seconds to import

    return _export_pair.export_pair(module, args, path, kwargs, free_batch)


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


def capture(module, example, *, dynamic_batch=True):
    """Captures `module` in both modes to a Model that shares its parameters and buffers.

    Training the Model trains the module, and the other way round: the tensors are the same. The module, its mode and
    its weights are left as they were; the Model begins in the module's modes. `example` is a tensor, a tuple of
    positional or a dict of keyword arguments. With `dynamic_batch`, axis 0 is free in the graph wherever the example's
    tensors have the batch there; else the example's sizes are those that the graph runs.

    ValueError for an example that has no batch; what torch.export raises for a module that it can't trace;
    NotImplementedError naming op and scope for what no graph can express.
    """
    if isinstance(module, Model) or not isinstance(module, torch.nn.Module):
        raise ValueError(f"[capture] capture takes a torch.nn.Module that is no limbeck.Model yet, got "
                         f"{type(module).__name__}")
    args, kwargs = _as_call(example)
    if dynamic_batch:
        args, kwargs = _widened(args, kwargs)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "pair.pt2"
        export_pair(module, args, path, kwargs, free_batch=dynamic_batch)
        core = _core.capture(str(path), dynamic_batch)
    tensors = dict(module.named_parameters(remove_duplicate=False))
    tensors.update(module.named_buffers(remove_duplicate=False))
    model = Model.from_tensors(core, tensors)
    modes = {path: child.training for path, child in module.named_modules()}
    for path, scope in model.named_modules():
        scope.training = modes.get(path, module.training)
    return model

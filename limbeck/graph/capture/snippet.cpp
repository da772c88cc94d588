#include "limbeck/graph/capture/capture.h"

namespace limbeck::capture {

namespace {

// tests/export/export_pair.py, word for word: a test compares the two.
// clang-format off
constexpr std::string_view kSnippet =
    R"PY("""Exports a PyTorch module for Limbeck: one archive with the graphs of both modes and a free batch size.

    from export_pair import export_pair
    export_pair(module, (images,), "model.pt2")           # then: limbeck capture model.pt2 -o model.lmb

A file of torch.export holds one mode. What Python decides by mode (auxiliary heads, stochastic depth, attention
dropout) is absent from an export of the other mode, so both are made and stored as `eval` and `train`.
"""
import dataclasses
import inspect

import torch
from torch.export.pt2_archive._package import package_pt2
from torch.utils import _pytree as pytree


def _make_saveable(_module, _inputs, output):
    """Registers the output's own classes (named tuples, dataclasses); torch.export can't save them otherwise."""
    kind, name = type(output), f"{type(output).__module__}.{type(output).__qualname__}"
    if pytree.is_namedtuple_instance(output) and kind not in pytree.SUPPORTED_SERIALIZED_TYPES:
        pytree._register_namedtuple(kind, serialized_type_name=name)
    elif dataclasses.is_dataclass(output) and kind not in pytree.SUPPORTED_NODES:
        torch.export.register_dataclass(kind, serialized_type_name=name)
    for child in pytree.tree_leaves(output, is_leaf=lambda node: node is not output):
        if child is not output and not isinstance(child, torch.Tensor):
            _make_saveable(_module, _inputs, child)


def _export(module, args, kwargs, dynamic_shapes):
    hook = module.register_forward_hook(_make_saveable)
    try:
        return torch.export.export(module, args, kwargs, dynamic_shapes=dynamic_shapes, strict=False)
    finally:
        hook.remove()


def _export_with_free_batch(module, args, kwargs, mode):
    """Axis 0 of every tensor that has the first tensor's batch size becomes free; if the model objects, it is fixed."""
    arguments = dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    size = next(leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, torch.Tensor)).shape[0]
    if size < 2:
        raise ValueError(f"the example batch must be 2 or more (torch.export takes 0 and 1 for constants), got {size}")
    free = {0: torch.export.Dim("batch", min=1)}
    batched = lambda leaf: free if isinstance(leaf, torch.Tensor) and leaf.ndim and leaf.shape[0] == size else None
    try:
        return _export(module, args, kwargs, pytree.tree_map(batched, arguments))
    except (torch._dynamo.exc.UserError, RuntimeError, ValueError) as error:
        print(f"limbeck: the {mode} export has its batch fixed at {size}, because: {error}")
        return _export(module, args, kwargs, None)


def export_pair(module, args, path=None, kwargs=None, free_batch=True):
    """Exports `module` in both modes, saves the pair to `path` if given, returns {"eval": program, "train": program}.

    `args` and `kwargs` are example inputs whose tensors have the batch, at least 2, as axis 0 (without `free_batch` any
    inputs, whose sizes are then fixed). A module that comes in train mode keeps its own flags for `train`: frozen norms
    stay frozen. Weights and modes are left as they were.
    """
    modes = {child: child.training for child in module.modules()}
    inputs, programs = (args, kwargs or {}), {}

    def export(mode):
        return _export_with_free_batch(module, *inputs, mode) if free_batch else _export(module, *inputs, None)

    try:
        if not module.training:
            module.train()
        programs["train"] = export("train")
        module.eval()
        programs["eval"] = export("eval")
    finally:
        for child, training in modes.items():
            child.training = training
    if path is not None:
        package_pt2(path, exported_programs=programs)
    return programs
)PY";
// clang-format on

}  // namespace

std::string_view python_snippet() { return kSnippet; }

}  // namespace limbeck::capture

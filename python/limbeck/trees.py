"""A model's inputs and outputs between nested Python values and the graph's flat lists of tensors."""

import collections
import importlib
import warnings

import torch
from torch.utils import _pytree as pytree


def _find_class(name):
    """The class called `name` ("package.module.Class"), or None where it can't be imported."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        return None


def _is_namedtuple_of(kind, keys):
    return kind is not None and issubclass(kind, tuple) and list(getattr(kind, "_fields", ())) == list(keys)


def _namedtuple(type_name, keys, values):
    """The user's own class where it can be imported, else one of the same name and fields."""
    kind = _find_class(type_name)
    if not _is_namedtuple_of(kind, keys):
        kind = collections.namedtuple(type_name.rpartition(".")[2] or "Output", keys)
    return kind(*values)


def _registered(type_name, keys, values):
    """A dataclass of the user's, or a dict where the class is not to be had."""
    kind = _find_class(type_name)
    fields = dict(zip(keys, values)) if keys else {str(i): value for i, value in enumerate(values)}
    return fields if kind is None or not keys else kind(**fields)


def build(tree, leaves):
    """The nested value of `tree`, (kind, class, keys, children), from the iterator `leaves`."""
    kind, type_name, keys, children = tree
    if kind == "leaf":
        return next(leaves)
    values = [build(child, leaves) for child in children]
    if kind == "list":
        return values
    if kind == "dict":
        return dict(zip(keys, values))
    if kind == "namedtuple" and keys:
        return _namedtuple(type_name, keys, values)
    if kind == "dataclass":
        return _registered(type_name, keys, values)
    return tuple(values)


def name_inputs(input_names, args, kwargs):
    """[(name or "" for by position, tensor)] of a call. Nested positional arguments are flattened in order."""
    named = [("", leaf) for leaf in pytree.tree_leaves(args) if leaf is not None]
    for key, value in kwargs.items():
        leaves = [leaf for leaf in pytree.tree_leaves(value) if leaf is not None]
        if len(leaves) != 1 and key not in input_names:
            named += [("", leaf) for leaf in leaves]
        else:
            named += [(key, leaf) for leaf in leaves]
    for name, leaf in named:
        if not isinstance(leaf, torch.Tensor):
            what = f"input '{name}'" if name else "an input"
            raise ValueError(f"[model] {what} must be a tensor, got {type(leaf).__name__}: numbers and flags were fixed "
                             "when the model was captured")
    return named


def output_of(returned, name):
    """The tensor at `name` of what a model returned: a key of a dict, a field of a named tuple, a place in a sequence."""
    if isinstance(returned, dict):
        names = list(returned)
    elif hasattr(returned, "_fields"):
        names, returned = list(returned._fields), returned._asdict()
    elif isinstance(returned, (tuple, list)):
        names = range(len(returned))
    else:
        raise ValueError(f"[evaluate] output {name!r}: the model returns one {type(returned).__name__}, leave it out")
    if name not in names:
        raise ValueError(f"[evaluate] there is no output {name!r}. There are: {', '.join(map(repr, names))}")
    return returned[name]


def warn_of_choice(returned, taken):
    """Says which of several outputs is taken, where none is called logits."""
    named = returned._asdict() if hasattr(returned, "_fields") else returned
    if isinstance(named, (tuple, list)):
        named = dict(enumerate(named))
    if not isinstance(named, dict) or len(named) < 2 or "logits" in named or "out" in named:
        return
    others = [repr(name) for name, tensor in named.items() if tensor is not taken]
    for name, tensor in named.items():
        if tensor is taken:
            warnings.warn(f"[evaluate] of several outputs {name!r} is taken for the logits, not {', '.join(others)}. "
                          "Choose with output=", stacklevel=3)


def logits_of(output):
    """The tensor that classifies: `logits` or `out` of a mapping or named tuple, else the first float [B, C] tensor."""
    if isinstance(output, torch.Tensor):
        return output
    for name in ("logits", "out"):
        found = output.get(name) if isinstance(output, dict) else getattr(output, name, None)
        if isinstance(found, torch.Tensor):
            return found
    leaves = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, torch.Tensor)]
    for leaf in leaves:
        if leaf.is_floating_point() and leaf.dim() == 2:
            return leaf
    raise ValueError(f"[evaluate] the model must return logits [B, C], got {type(output).__name__} of "
                     f"{[tuple(leaf.shape) for leaf in leaves]}")

"""A module seen another way: the same module, whose calls run in a lower precision or fused."""

import copy
import functools

import torch

from limbeck.layouts import in_channels_last, why_not_channels_last
from limbeck.model import Model


@functools.lru_cache(maxsize=None)
def _view_class(kind, dtype, channels_last):
    """A subclass of `kind`, under its name, whose calls run in `dtype`, and fused where it is a Model.

    `channels_last`: "always", "training" or None: when its images run so.
    """

    def call(self, *args, **kwargs):
        device = next((parameter.device.type for parameter in self.parameters()), "cpu")
        with torch.autocast(device, dtype=dtype):
            return kind.__call__(self, *args, **kwargs)

    def reduce(self):
        return optimized_view, (_original(self, kind), dtype, channels_last)

    def deep_copy(self, memo):
        return optimized_view(copy.deepcopy(_original(self, kind), memo), dtype, channels_last)

    members = {"__module__": kind.__module__, "__reduce__": reduce, "__deepcopy__": deep_copy,
               "_limbeck_original": kind}
    is_low = dtype != torch.float32
    run = call if is_low else kind.__call__
    if channels_last is not None:
        members["__call__"] = in_channels_last(run, lambda self: channels_last == "always" or self.training)
    elif is_low:
        members["__call__"] = run
    if issubclass(kind, Model):
        members["_fuses"] = True
    return type(kind.__name__, (kind,), members)


def _original(view, kind):
    """The module under its own class again, on the same attributes."""
    module = kind.__new__(kind)
    module.__dict__ = view.__dict__
    return module


def layout_of(model, dtype, has_optimizer):
    """(when calls of the view of a Model run in channels_last: "always", "training" or None; the report's sentence on it).

    Inference alone in float32 keeps eager's layout, and so its bits.
    """
    reason = why_not_channels_last(model.graph_text())
    if reason is not None:
        return None, f"layout as the inputs': {reason}"
    if dtype == torch.float32 and not has_optimizer:
        return "training", "images run in the layout that they come in; in train mode in channels_last"
    return "always", "images run in channels_last, whatever layout they come in"


def optimized_view(module, dtype, channels_last=None):
    """`module` as an object of a subclass of its class, on the module's own attributes, that runs in `dtype`.

    Whatever is done to one of the two shows in the other: parameters, submodules, hooks, mode. A Model's runs in train
    mode are fused, and run in channels_last when `channels_last` says. Outputs are float32 or `dtype` as torch.autocast
    has it. The module itself goes on as it was.
    """
    kind = getattr(type(module), "_limbeck_original", type(module))
    if dtype == torch.float32 and not issubclass(kind, Model):
        return module
    view = object.__new__(_view_class(kind, dtype, channels_last))
    view.__dict__ = module.__dict__
    return view

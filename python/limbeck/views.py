"""A module seen another way: the same module, whose calls run in a lower precision or fused."""

import copy
import functools

import torch

from limbeck.model import Model


@functools.lru_cache(maxsize=None)
def _view_class(kind, dtype):
    """A subclass of `kind`, under its name, whose calls run in `dtype`, and fused where it is a Model."""

    def call(self, *args, **kwargs):
        device = next((parameter.device.type for parameter in self.parameters()), "cpu")
        with torch.autocast(device, dtype=dtype):
            return kind.__call__(self, *args, **kwargs)

    def reduce(self):
        return optimized_view, (_original(self, kind), dtype)

    def deep_copy(self, memo):
        return optimized_view(copy.deepcopy(_original(self, kind), memo), dtype)

    members = {"__module__": kind.__module__, "__reduce__": reduce, "__deepcopy__": deep_copy,
               "_limbeck_original": kind}
    if dtype != torch.float32:
        members["__call__"] = call
    if issubclass(kind, Model):
        members["_fuses"] = True
    return type(kind.__name__, (kind,), members)


def _original(view, kind):
    """The module under its own class again, on the same attributes."""
    module = kind.__new__(kind)
    module.__dict__ = view.__dict__
    return module


def optimized_view(module, dtype):
    """`module` as an object of a subclass of its class, on the module's own attributes, that runs in `dtype`.

    Whatever is done to one of the two shows in the other: parameters, submodules, hooks, mode. A Model's runs in train
    mode are fused. Outputs are float32 or `dtype` as torch.autocast has it. The module itself goes on as it was.
    """
    kind = getattr(type(module), "_limbeck_original", type(module))
    if dtype == torch.float32 and not issubclass(kind, Model):
        return module
    view = object.__new__(_view_class(kind, dtype))
    view.__dict__ = module.__dict__
    return view

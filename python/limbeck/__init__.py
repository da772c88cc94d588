"""Limbeck: from a PyTorch model to a smaller, faster one.

    import limbeck as lb

    model = lb.capture(module, example)                         # a graph that runs both modes, on the module's tensors
    model, optimizer = lb.optimize(module, optimizer=optimizer, dtype=torch.bfloat16, sample_input=example)
    lb.evaluate(model, loader), lb.profile(model), lb.save(model, "model.lmb")

Errors: ValueError for what the caller passed, NotImplementedError for what is not available, OSError for files.
"""

from limbeck._extension import core as _core  # first: says in one sentence when torch is not the one built against
from limbeck import data, optim
from limbeck.built_with import LIMBECK_VERSION as __version__
from limbeck.capturing import capture, export_pair
from limbeck.losses import cross_entropy, feature_mse, kd
from limbeck.measuring import Accuracy, Latency, Profile, compare_latency, evaluate, profile
from limbeck.model import Model, load, save
from limbeck.optimizing import ModelSet, Role, SetStep, frozen_train, optimize, report

__all__ = [
    "Accuracy", "Latency", "Model", "ModelSet", "Profile", "Role", "SetStep", "capture", "compare_latency",
    "cross_entropy", "data", "evaluate", "export_pair", "feature_mse", "frozen_train", "kd", "load", "optim", "optimize",
    "profile", "report", "save",
]

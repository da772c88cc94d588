"""Limbeck: from a PyTorch model to a smaller, faster one.

    import limbeck as lb

    model = lb.capture(module, example)                         # a graph that runs both modes, on the module's tensors
    model, optimizer = lb.optimize(module, optimizer=optimizer, dtype=torch.bfloat16, sample_input=example)
    result = lb.fit(model, train_set, val_set, epochs=3, optimizer="adamw")             # or the whole training at once
    lb.evaluate(model, loader), lb.profile(model), lb.save(model, "model.lmb")

Errors: ValueError for what the caller passed, NotImplementedError for what is not available, OSError for files.
"""

from limbeck._extension import core as _core  # first: says in one sentence when torch is not the one built against
from limbeck import data, optim
from limbeck.built_with import LIMBECK_VERSION as __version__
from limbeck.capturing import capture, export_pair
from limbeck.fitting import FitResult, fit
from limbeck.hooks import STOP, Epoch, Step
from limbeck.losses import cross_entropy, feature_mse, kd
from limbeck.measuring import Accuracy, Latency, Profile, compare_latency, evaluate, profile
from limbeck.model import Model, load, save
from limbeck.optimizing import ModelSet, Role, SetStep, frozen_train, optimize, report
from limbeck.recipes import plan, run

__all__ = [
    "Accuracy", "Epoch", "FitResult", "Latency", "Model", "ModelSet", "Profile", "Role", "STOP", "SetStep", "Step",
    "capture", "compare_latency", "cross_entropy", "data", "evaluate", "export_pair", "feature_mse", "fit",
    "frozen_train", "kd", "load", "optim", "optimize", "plan", "profile", "report", "run", "save",
]

"""lb.run: whole recipes, with their stages, sweeps and seeds."""

import json
import os

import torch

from limbeck import hooks as lb_hooks
from limbeck import keywords
from limbeck._extension import core as _core


def run(recipe, overrides=None, *, out=None, hooks=(), on_step=None, on_epoch=None, on_note=None, checkpoint_seconds=30,
        checkpoint_steps=0):
    """Runs a recipe, as `limbeck run` does, and returns what it writes into report.json, as a dict.

        report = lb.run("recipes/kd-fashion-mnist.yaml", {"stages.teacher.epochs": 1}, out="runs/quick")

    `recipe`: the path of a YAML file, or a dict of the same keys. `overrides`: {path: value}, as --set has them. `out`:
    the folder for results; stages that it has already, with the same settings, are taken from there, unfinished ones go
    on from their checkpoints. Several seeds and sweeps make one run each, and the dict has the table of all.
    Hooks are those of lb.fit; reports say their `stage` and `trial`. `on_note(stage, line)` is told what was decided or
    found. The dict has "completed" beside the report; it is False, and there is no report, when a hook returned
    lb.STOP. Ctrl-C ends the run after a checkpoint. The same call then goes on.

    ValueError with file, line and the nearest valid name for what is wrong in a recipe, OSError for files.
    """
    call = _call_of(recipe, overrides, out)
    call.hooks = lb_hooks.gather(hooks, on_step, on_epoch)
    call.checkpoint_seconds, call.checkpoint_steps = checkpoint_seconds, checkpoint_steps
    if on_note is not None:
        call.set_on_note(on_note)
    threads = torch.get_num_threads()
    try:
        report = call.run()
    finally:
        torch.set_num_threads(threads)  # the recipe has its own number
    return {"completed": False} if report is None else {"completed": True, **json.loads(report)}


def plan(recipe, overrides=None, *, out=None):
    """What run would do, as a dict: shapes, adapters, multiply-adds, steps, what is cached. Writes nothing."""
    threads = torch.get_num_threads()
    try:
        return json.loads(_call_of(recipe, overrides, out).plan())
    finally:
        torch.set_num_threads(threads)


def _call_of(recipe, overrides, out):
    overrides = dict(overrides or {})
    if out is not None:
        overrides["output"] = os.fspath(out)
    if isinstance(recipe, dict):
        return _core.RecipeCall("", keywords.as_keywords(recipe), keywords.as_keywords(overrides))
    return _core.RecipeCall(os.fspath(recipe), [], keywords.as_keywords(overrides))

"""lb.fit: a whole training in one call."""

import dataclasses
import json
import os

import torch

from limbeck import data as lb_data
from limbeck import hooks as lb_hooks
from limbeck import keywords, trees
from limbeck._extension import core as _core
from limbeck.capturing import capture
from limbeck.hooks import Epoch
from limbeck.model import Model
from limbeck.modes import in_eval_mode


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What a training made. `model` has the best epoch's weights with keep="best", the averaged ones with ema, else it
    is the model that was given; that one has the last step's weights in any case."""

    model: Model = dataclasses.field(repr=False)
    completed: bool  # False: a hook stopped it; the same call goes on from its folder
    steps: int  # optimizer steps made
    resumed_at_step: int
    epochs: list = dataclasses.field(repr=False)  # of Epoch: the history
    is_early_stop: bool
    best_epoch: int | None  # from 0, with keep="best"
    averaged_model: Model | None = dataclasses.field(repr=False)  # with ema
    skipped_samples: int  # that could not be read, with on_error="skip" of the loader

    def __str__(self):
        lines = [_epoch_line(epoch) for epoch in self.epochs]
        return "\n".join(lines + [f"{self.steps} steps" + ("" if self.completed else ", stopped")])


def _epoch_line(epoch):
    held_out = "" if epoch.val_accuracy is None else f", val top-1 {epoch.val_accuracy:.2%}, loss {epoch.val_loss:.4f}"
    return (f"epoch {epoch.epoch + 1}: loss {epoch.loss:.4f}, train top-1 {epoch.train_accuracy:.2%}{held_out}, "
            f"{epoch.seconds:.1f} s")


def fit(model, data, val=None, *, loss=None, teacher=None, hooks=(), on_step=None, on_epoch=None, folder=None,
        resume_from=None, checkpoint_seconds=30, checkpoint_steps=0, seed=0, batch_size=128, workers=0, classes=None, **options):
    """Trains `model` on `data` and returns a FitResult.

        result = lb.fit(model, train_set, val_set, epochs=3, optimizer={"kind": "adamw", "lr": 1e-3})

    `model`: a Model, or an nn.Module, which is captured and shares its parameters with what is trained.
    `data`, `val`: an lb.data.Loader, a DataLoader (its dataset, batch size, order and drop_last; read by threads), a
    dataset of (image, label), a pair of tensors (images, labels), or a name such as "fashion-mnist", whose split train
    is trained on and whose split test is held out. What is
    no loader gets one: `batch_size` samples, shuffled in training, read ahead by `workers` threads; `classes` as
    lb.data.Loader has it, by default as many as the model has outputs.
    `loss`: a function (logits, targets) -> scalar tensor, such as torch.nn.CrossEntropyLoss(weight=w); None: the
    cross-entropy, of soft targets too. `teacher`: a Model or nn.Module to learn from: knowledge distillation with
    `temperature`, `alpha` and `features`.
    `on_step(Step)`, `on_epoch(Epoch)`: called after each step, and after each epoch with its validation; `hooks`:
    objects with methods of these names. One that returns lb.STOP ends the training after its checkpoint; what one
    raises comes out of fit as it is, and the last checkpoint stands.
    `folder`: for checkpoints (each epoch, every `checkpoint_seconds` and `checkpoint_steps` steps) and metrics.jsonl.
    The same call goes on from the folder's last checkpoint, bit for bit; another run's is a ValueError. Ctrl-C ends
    the training between two steps, after a checkpoint.
    `resume_from`: the folder of an earlier run, from whose last checkpoint this one starts, bit for bit too: with more
    epochs or other options, or elsewhere. That folder is left as it is; a checkpoint in `folder` comes first. The model,
    the optimizer's kind and the length of an epoch (data, batch_size, accumulate) must be that run's; ema can end but not
    begin, and precision="fp16" needs a run in it.
    `seed`: of order, augmentation and dropout.

    The interpreter's lock is held for hooks, Python's datasets and a loss alone. Preprocessing and class names of the
    data are put into the model where its transforms say them (Model.preprocessing), so that they are saved with it.

    Further keywords are those of a recipe's `train` stage (with a teacher, of its `distill` stage). A text for
    optimizer or schedule is its kind. ValueError, naming the nearest, for unknown ones:
    """
    new = {"batch_size": batch_size, "workers": workers,
           "channels_last": options.get("memory_format", "channels_last") == "channels_last"}
    train_loader = _loader_of(data, model, classes, {**new, "seed": seed, "shuffle": True}, split="train")
    val_loader = None if val is None else _loader_of(val, model, classes, new, split="test")
    example = train_loader._core.first_images(2)
    model, teacher = _as_model(model, example), None if teacher is None else _as_model(teacher, example)
    _describe_data(model, train_loader, val_loader)
    call = _core.Fit(model._core, train_loader._core, keywords.as_keywords(_with_kinds(options)))
    call.seed, call.checkpoint_seconds, call.checkpoint_steps = seed, checkpoint_seconds, checkpoint_steps
    call.hooks = lb_hooks.gather(hooks, on_step, on_epoch)
    call.folder = "" if folder is None else os.fspath(folder)
    call.resume_from = "" if resume_from is None else os.fspath(resume_from)
    if val_loader is not None:
        call.val_loader = val_loader._core
    if teacher is not None:
        call.teacher = teacher._core
    if loss is not None:
        call.set_loss(loss)
        call.run = getattr(loss, "__qualname__", type(loss).__qualname__)
    return _result(model, _run(call, model))


def _run(call, model):
    """What `freeze` froze and the modes that training set are afterwards as they were."""
    frozen = {id(tensor) for tensor in model.parameters() if not tensor.requires_grad}
    try:
        return call()
    finally:
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(id(parameter) not in frozen)
        model._synced_modes = None


def _result(model, fields):
    made = {key: None if fields[key] is None else Model(fields[key]) for key in ("model", "averaged_model")}
    epochs = [Epoch(**epoch) for epoch in fields.pop("epochs")]
    fields.update(made, epochs=epochs, model=made["model"] or model)
    return FitResult(**fields)


def _with_kinds(options):
    """Texts in the place of sections that have a kind: optimizer="adamw"."""
    for key in ("optimizer", "schedule"):
        if isinstance(options.get(key), str):
            options[key] = {"kind": options[key]}
        elif isinstance(options.get(key), (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)):
            raise ValueError(f"[fit] {key} is a mapping such as {_EXAMPLES[key]}, got {type(options[key]).__name__}. A "
                             "loop of your own takes any optimizer and scheduler: see lb.optimize.")
    return options


_EXAMPLES = {"optimizer": '{"kind": "adamw", "lr": 0.001}', "schedule": '{"kind": "cosine", "warmup_epochs": 1}'}


def _as_model(module, example):
    if not isinstance(module, Model):
        return capture(module, example)
    module._sync()
    return module


def _loader_of(data, model, classes, options, split):
    return lb_data.as_loader(data, split=split, classes=classes, count_classes=lambda image: _num_outputs(model, image),
                             **options)


def _num_outputs(module, image):
    """Of one image, in eval mode and without a trace."""
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    with in_eval_mode(module), torch.no_grad():
        return trees.logits_of(module(image[None].to(device, torch.float32))).shape[-1]


def _describe_data(model, train_loader, val_loader):
    """Preprocessing, as what is held out says it, and class names, where they are names."""
    preprocessing = (val_loader or train_loader).preprocessing
    if preprocessing is not None:
        model.preprocessing = preprocessing
    if train_loader.has_class_names:
        model.labels = train_loader.classes


def _document(function):
    schema = json.loads(_core.fit_schema(True))
    function.__doc__ = function.__doc__.rstrip() + "\n\n" + "\n".join(keywords.describe(schema, " " * 8)) + "\n"
    return function


_document(fit)

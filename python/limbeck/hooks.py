"""What a training tells a user's code between its steps, and what that code answers."""

import typing


class Stop:
    """The type of STOP."""

    def __repr__(self):
        return "limbeck.STOP"


STOP = Stop()  # what a hook returns to end the training: it saves its checkpoint and returns


class Step(typing.NamedTuple):
    """One optimizer step, after it was made."""

    epoch: int  # from 0
    step: int  # of the whole run, from 1
    loss: float  # mean over the step's samples
    grad_norm: float  # joint 2-norm of the gradients, before clipping
    lr: float  # the optimizer's; that of its groups has the same factor
    samples: int
    seconds: float  # since the step before, validation and checkpoints left out
    is_skipped: bool  # fp16: the gradients overflowed, so that nothing was updated
    stage: str = ""  # of a recipe
    trial: str = ""  # of a recipe with several runs


class Epoch(typing.NamedTuple):
    """Results of one finished epoch."""

    epoch: int  # from 0
    loss: float  # mean over the samples
    train_accuracy: float  # top-1 on the batches as they were trained on
    val_accuracy: float | None  # top-1 on the held-out samples, where there are some
    val_loss: float | None  # mean cross-entropy on them
    averaged_val_accuracy: float | None  # of the averaged weights, where they are kept beside the trained ones
    averaged_val_loss: float | None
    seconds: float  # of training, without validation
    stage: str = ""  # of a recipe
    trial: str = ""  # of a recipe with several runs


class _Hooks:
    """All hooks of a training as the one that C++ asks."""

    def __init__(self, step_calls, epoch_calls):
        self._step_calls, self._epoch_calls = step_calls, epoch_calls

    def on_step(self, **report):
        return _ask(self._step_calls, Step, report)

    def on_epoch(self, **report):
        return _ask(self._epoch_calls, Epoch, report)


def _ask(calls, kind, report):
    if not calls:
        return False
    told = kind(**report)
    answers = [call(told) for call in calls]  # all of them see every report, whatever one answers
    return any(answer is STOP for answer in answers)


def _calls_of(hooks, name, alone):
    found = [getattr(hook, name) for hook in hooks if hasattr(hook, name)]
    return found + ([alone] if alone is not None else [])


def gather(hooks, on_step, on_epoch):
    """One object for C++, or None where there are no hooks. ValueError for an object that is no hook."""
    hooks = list(hooks) if isinstance(hooks, (list, tuple)) else [hooks]
    for hook in hooks:
        if not hasattr(hook, "on_step") and not hasattr(hook, "on_epoch"):
            raise ValueError("[hooks] a hook has a method on_step(step), on_epoch(epoch) or both; "
                             f"{type(hook).__name__} has neither. A function goes to on_step= or on_epoch=.")
    step_calls, epoch_calls = _calls_of(hooks, "on_step", on_step), _calls_of(hooks, "on_epoch", on_epoch)
    return _Hooks(step_calls, epoch_calls) if step_calls or epoch_calls else None

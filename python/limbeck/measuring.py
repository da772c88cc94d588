"""Accuracy, cost and latency of models."""

import dataclasses
import time

import torch

from limbeck import trees
from limbeck._extension import core as _core
from limbeck.capturing import capture
from limbeck.model import Model
from limbeck.modes import in_eval_mode


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Of a classifier over a dataset. Shares and errors are 0..1; intervals are Wilson's at 95 %."""

    samples: int
    not_a_number: int  # samples with a NaN among their logits: counted as wrong
    top1: float
    top5: float
    top1_interval: tuple
    top5_interval: tuple
    nll: float  # mean negative log-likelihood in nats
    ece: float  # expected calibration error, 15 bins of equal width
    confusion: torch.Tensor = dataclasses.field(repr=False)  # [classes, classes], int64: truth, prediction
    per_class: list = dataclasses.field(repr=False)  # NaN for a class without samples

    def __str__(self):
        low, high = self.top1_interval
        broken = f", {self.not_a_number} outputs not a number, counted as wrong" if self.not_a_number else ""
        return (f"top-1 {self.top1:.2%} ({low:.2%} to {high:.2%}), top-5 {self.top5:.2%}, nll {self.nll:.4f}, "
                f"ECE {self.ece:.4f}, {self.samples} samples{broken}")


@dataclasses.dataclass(frozen=True)
class Profile:
    """What a model costs: values, bytes and multiply-adds, in all and by scope."""

    parameters: int
    buffers: int
    parameter_bytes: int
    buffer_bytes: int
    macs: int  # multiply-adds of convolutions and matrix products, in eval mode
    is_per_sample: bool  # macs are of one sample; else of the captured sizes
    scopes: list = dataclasses.field(repr=False)  # (scope, class, parameters, macs)

    def __str__(self):
        of = "one sample" if self.is_per_sample else "one call"
        return (f"{self.parameters:,} parameters ({self.parameter_bytes:,} bytes), {self.buffers:,} values in buffers, "
                f"{self.macs:,} multiply-adds for {of}")


@dataclasses.dataclass(frozen=True)
class Latency:
    """Times of calls in milliseconds, by nearest rank: each is one that was measured."""

    name: str
    calls: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    mean_ms: float
    items_per_s: float

    def __str__(self):
        return (f"{self.name}: p50 {self.p50_ms:.2f} ms, p90 {self.p90_ms:.2f}, p99 {self.p99_ms:.2f}, "
                f"{self.items_per_s:.1f} items/s, {self.calls} calls")


def evaluate(model, loader, *, output=None, on_progress=None):
    """Accuracy of `model`, a Model or any nn.Module, over the batches (images, labels) of `loader`, a DataLoader say.

    Runs in eval mode without gradients and leaves the modes as they were. `on_progress(samples)` is called after each
    batch. `output` is the key, field or place of the output that classifies, where the model returns several; without
    it the one called logits or out is taken, else the first float [B, C], and a warning names that. Ctrl-C ends it between two batches. ValueError for batches that are no pairs, labels that are no classes and
    an empty loader.
    """
    gathered, classes, samples = None, 0, 0
    with in_eval_mode(model), torch.no_grad():
        for batch in loader:
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise ValueError("[evaluate] a batch must be a pair (images, labels), got "
                                 f"{type(batch).__name__}")
            returned = model(batch[0])
            logits = trees.logits_of(returned) if output is None else trees.output_of(returned, output)
            if gathered is None:
                if output is None:
                    trees.warn_of_choice(returned, logits)
                classes = logits.shape[-1]
                gathered = _core.Accuracy(classes)
            gathered.add(logits, torch.as_tensor(batch[1]))
            samples += len(logits)
            if on_progress is not None:
                on_progress(samples)
    if gathered is None:
        raise ValueError("[evaluate] the loader gave no batch")
    return Accuracy(**gathered.result())


def profile(model, example=None):
    """Parameters, bytes and multiply-adds of a Model, or of an nn.Module with an `example` input to capture it by."""
    if not isinstance(model, Model):
        if example is None:
            raise ValueError("[profile] a torch.nn.Module needs an example input: lb.profile(module, example)")
        model = capture(model, example)
    return Profile(**_core.profile(model._core))


def compare_latency(calls, *, items_per_call=1, warmup=3, rounds=20):
    """Times callables, {name: function}, in turns within one run: what slows the machine slows all of them.

    Returns {name: Latency}. Each round calls every function once, beginning with another one each time.
    """
    if not calls:
        raise ValueError("[latency] nothing to time")
    names, seconds = list(calls), {name: [] for name in calls}
    for _ in range(warmup):
        for name in names:
            calls[name]()
    for turn in range(rounds):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            start = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: Latency(**_core.summarize_latency(name, seconds[name], items_per_call)) for name in names}

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from limbeck import data as data
from limbeck import optim as optim

__version__: str

class Model(nn.Module):
    def forward(self, *args: Any, taps: Iterable[str] = (), **kwargs: Any) -> Any: ...
    def replace_head(self, at: str, classes: int, seed: int = 0) -> Model: ...
    def freeze(self, pattern: str) -> int: ...
    def accept_assumptions(self, modes: Literal["train", "eval", "both"] = "both") -> None: ...
    @property
    def assumptions(self) -> list[tuple[str, str]]: ...
    @property
    def metadata(self) -> dict[str, str]: ...
    preprocessing: Any
    labels: Any
    def graph_text(self) -> str: ...
    def save(self, path: Any) -> None: ...

class Role(str):
    eval: ClassVar[Role]
    train: ClassVar[Role]

class SetStep(NamedTuple):
    is_updated: bool
    is_skipped: bool
    grad_norm: float

class Report:
    data: dict[str, Any]

class ModelSet:
    def forward(self, name: str, *args: Any, taps: Iterable[str] = (), **kwargs: Any) -> Any: ...
    def backward(self, loss: Tensor, retain_graph: bool = False) -> None: ...
    def step(self, closure: Callable[[], Tensor] | None = None, *, optimizer: Optimizer | None = None) -> SetStep: ...
    def update_scale(self) -> None: ...
    def finish_accumulation(self) -> SetStep: ...
    def zero_grad(self, optimizer: Optimizer | None = None) -> None: ...
    def role(self, name: str) -> Role: ...
    def report(self) -> Report: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...

class _Stop: ...

STOP: _Stop

class Step(NamedTuple):
    epoch: int
    step: int
    loss: float
    grad_norm: float
    lr: float
    samples: int
    seconds: float
    is_skipped: bool
    stage: str = ...
    trial: str = ...

class Epoch(NamedTuple):
    epoch: int
    loss: float
    train_accuracy: float
    val_accuracy: float | None
    val_loss: float | None
    averaged_val_accuracy: float | None
    averaged_val_loss: float | None
    seconds: float
    stage: str = ...
    trial: str = ...

class FitResult:
    model: Model
    completed: bool
    steps: int
    resumed_at_step: int
    epochs: list[Epoch]
    is_early_stop: bool
    best_epoch: int | None
    averaged_model: Model | None
    skipped_samples: int

class Accuracy:
    samples: int
    not_a_number: int
    top1: float
    top5: float
    top1_interval: tuple[float, float]
    top5_interval: tuple[float, float]
    nll: float
    ece: float
    confusion: Tensor
    per_class: list[float]

class Profile:
    parameters: int
    buffers: int
    parameter_bytes: int
    buffer_bytes: int
    macs: int
    is_per_sample: bool
    scopes: list[tuple[str, str, int, int]]

class Latency:
    name: str
    calls: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    mean_ms: float
    items_per_s: float

def load(what: Any, *, train: Any = None, weights: Any = None, seed: int = 0) -> Model: ...
def save(model: Model, path: Any) -> None: ...
def capture(module: nn.Module, example: Any, *, dynamic_batch: bool = True, dynamic_shapes: Any = None) -> Model: ...
def export_pair(
    module: nn.Module,
    args: tuple[Any, ...],
    path: Any = None,
    kwargs: dict[str, Any] | None = None,
    free_batch: bool = True,
    dynamic_shapes: Any = None,
) -> dict[str, torch.export.ExportedProgram]: ...
def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor: ...
def kd(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor | None = None,
    temperature: float = 4,
    alpha: float = 0.7,
    label_smoothing: float = 0.0,
) -> Tensor: ...
def feature_mse(student: Tensor, teacher: Tensor) -> Tensor: ...
def evaluate(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    output: str | int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Accuracy: ...
def profile(model: nn.Module, example: Any = None) -> Profile: ...
def compare_latency(
    calls: Mapping[str, Callable[[], Any]], *, items_per_call: int = 1, warmup: int = 3, rounds: int = 20
) -> dict[str, Latency]: ...
def fit(
    model: nn.Module,
    data: Any,
    val: Any = None,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    teacher: nn.Module | None = None,
    hooks: Any = (),
    on_step: Callable[[Step], Any] | None = None,
    on_epoch: Callable[[Epoch], Any] | None = None,
    folder: Any = None,
    resume_from: Any = None,
    checkpoint_seconds: float = 30,
    checkpoint_steps: int = 0,
    seed: int = 0,
    batch_size: int = 128,
    workers: int = 0,
    classes: int | Sequence[str] | None = None,
    **options: Any,
) -> FitResult: ...
def run(
    recipe: Any,
    overrides: Mapping[str, Any] | None = None,
    *,
    out: Any = None,
    hooks: Any = (),
    on_step: Callable[[Step], Any] | None = None,
    on_epoch: Callable[[Epoch], Any] | None = None,
    on_note: Callable[[str, str], Any] | None = None,
    checkpoint_seconds: float = 30,
    checkpoint_steps: int = 0,
) -> dict[str, Any]: ...
def plan(recipe: Any, overrides: Mapping[str, Any] | None = None, *, out: Any = None) -> dict[str, Any]: ...
def frozen_train(buffers: Literal["keep", "update"] = "keep") -> Role: ...
def report(optimized: Any) -> Report: ...
@overload
def optimize(
    models: Mapping[str, nn.Module | tuple[nn.Module, Role]],
    optimizers: Sequence[Optimizer] | None = None,
    *,
    optimizer: None = None,
    dtype: torch.dtype | None = ...,
    sample_input: None = None,
    clip_norm: float = 0.0,
    accumulate: int = 1,
) -> ModelSet: ...
@overload
def optimize(
    models: nn.Module,
    optimizers: None = None,
    *,
    optimizer: Optimizer,
    dtype: torch.dtype | None = ...,
    sample_input: Any = None,
    clip_norm: float = 0.0,
    accumulate: int = 1,
) -> tuple[nn.Module, Optimizer]: ...
@overload
def optimize(
    models: nn.Module,
    optimizers: None = None,
    *,
    optimizer: None = None,
    dtype: torch.dtype | None = ...,
    sample_input: Any = None,
    clip_norm: float = 0.0,
    accumulate: int = 1,
) -> nn.Module: ...

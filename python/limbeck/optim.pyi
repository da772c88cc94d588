from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

from torch import Tensor
from torch.optim import Optimizer

_AnyOptimizer = TypeVar("_AnyOptimizer", bound=Optimizer)
_Parameters = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

class FusedView(Optimizer):
    def __init__(self, optimizer: Optimizer) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...
    def add_param_group(self, param_group: dict[str, Any]) -> None: ...
    def zero_grad(self, set_to_none: bool = True) -> None: ...
    def step(self, closure: Callable[[], Any] | None = None) -> Any: ...  # type: ignore[override]

class LAMB(Optimizer):
    def __init__(
        self,
        params: _Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        adaptation: Literal["all", "matrices"] = "all",
        maximize: bool = False,
    ) -> None: ...
    def step(self, closure: Callable[[], Any] | None = None) -> Any: ...  # type: ignore[override]

class LARS(Optimizer):
    def __init__(
        self,
        params: _Parameters,
        lr: float | Tensor = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        *,
        adaptation: Literal["all", "matrices"] = "all",
        maximize: bool = False,
    ) -> None: ...
    def step(self, closure: Callable[[], Any] | None = None) -> Any: ...  # type: ignore[override]

def fused(optimizer: _AnyOptimizer) -> _AnyOptimizer: ...
def why_not_fused(optimizer: Optimizer) -> str | None: ...

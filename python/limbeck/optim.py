"""Optimizers whose update is one multi-tensor kernel.

`fused(optimizer)` gives torch.optim's SGD, Adam, AdamW and Adagrad such a step; LAMB and LARS are optimizers of our
own. All are torch.optim.Optimizers: schedulers, GradScaler, hooks and checkpoints work as ever.
"""

import torch
from torch.optim import Optimizer

from limbeck._extension import core as _core


# --- one step of each rule on torch.optim's own state ------------------------------------------------------------


def _with_gradients(group):
    return [parameter for parameter in group["params"] if parameter.grad is not None]


def _step_sgd(optimizer, group):
    parameters = _with_gradients(group)
    rule = _core.SgdRule()
    rule.lr, rule.momentum, rule.dampening = float(group["lr"]), group["momentum"], group["dampening"]
    rule.weight_decay, rule.nesterov, rule.maximize = group["weight_decay"], group["nesterov"], group["maximize"]
    state = optimizer.state
    if rule.momentum == 0:
        _core.sgd_step(parameters, [p.grad for p in parameters], [None] * len(parameters), rule)
        return
    buffers = [state[p].get("momentum_buffer") for p in parameters]
    made = _core.sgd_step(parameters, [p.grad for p in parameters], buffers, rule)
    for parameter, before, buffer in zip(parameters, buffers, made):
        if before is None:
            state[parameter]["momentum_buffer"] = buffer


def _zero_step():
    double = torch.get_default_dtype() == torch.float64
    return torch.tensor(0.0, dtype=torch.float64 if double else torch.float32)


def _moments_of(optimizer, parameter, names):
    """The state of a parameter, begun as torch.optim.Adam begins it."""
    state = optimizer.state[parameter]
    if "step" not in state:
        state["step"] = _zero_step()
    for name in names:
        if name not in state:
            state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return state


def _step_adam(optimizer, group):
    parameters = _with_gradients(group)
    rule = _core.AdamRule()
    rule.lr, (rule.beta1, rule.beta2) = float(group["lr"]), (float(beta) for beta in group["betas"])
    rule.eps, rule.weight_decay = group["eps"], group["weight_decay"]
    rule.amsgrad, rule.maximize = group["amsgrad"], group["maximize"]
    is_adamw = issubclass(type(optimizer), torch.optim.AdamW)
    rule.is_decoupled = group.get("decoupled_weight_decay", False) or is_adamw
    names = ["exp_avg", "exp_avg_sq"] + (["max_exp_avg_sq"] if rule.amsgrad else [])
    states = [_moments_of(optimizer, parameter, names) for parameter in parameters]
    largest = [state["max_exp_avg_sq"] if rule.amsgrad else None for state in states]
    _core.adam_step(parameters, [p.grad for p in parameters], [state["exp_avg"] for state in states],
                    [state["exp_avg_sq"] for state in states], largest, [state["step"] for state in states], rule)


def _sums_of(optimizer, group, parameter):
    """The state of a parameter, begun as torch.optim.Adagrad begins it when it is made: groups may come later."""
    state = optimizer.state[parameter]
    if "step" not in state:
        state["step"] = _zero_step()
    if "sum" not in state:
        state["sum"] = torch.full_like(parameter, group["initial_accumulator_value"],
                                       memory_format=torch.preserve_format)
    return state


def _step_adagrad(optimizer, group):
    parameters = _with_gradients(group)
    rule = _core.AdagradRule()
    rule.lr, rule.lr_decay, rule.eps = float(group["lr"]), group["lr_decay"], group["eps"]
    rule.weight_decay, rule.maximize = group["weight_decay"], group["maximize"]
    states = [_sums_of(optimizer, group, parameter) for parameter in parameters]
    _core.adagrad_step(parameters, [p.grad for p in parameters], [state["sum"] for state in states],
                       [state["step"] for state in states], rule)


_RULES = {torch.optim.SGD: _step_sgd, torch.optim.Adam: _step_adam, torch.optim.AdamW: _step_adam,
          torch.optim.Adagrad: _step_adagrad}


# --- which optimizers and groups the rules know --------------------------------------------------------------------


def why_not_fused(optimizer):
    """Why `optimizer` keeps its own step, or None when a fused rule makes it."""
    kind = type(optimizer)
    if isinstance(optimizer, FusedView):
        return None
    if kind not in _RULES:
        return f"{kind.__module__}.{kind.__qualname__} has no fused rule"
    own_step = vars(optimizer).get("step")
    if own_step is not None and not hasattr(own_step, "_wrapped_by_lr_sched"):
        return "its step was replaced on the object"
    for group in optimizer.param_groups:
        for flag in ("differentiable", "capturable"):
            if group.get(flag):
                return f"{flag}=True"
    return None


def _can_step(group):
    """Whether the rule takes the gradients that are there: dense, real, on the CPU."""
    if group.get("differentiable") or group.get("capturable"):
        return False
    return all(p.device.type == "cpu" and p.grad.layout == torch.strided and not p.is_complex()
               for p in _with_gradients(group))


class FusedView(Optimizer):
    """A torch.optim optimizer seen through another step. The groups, rates and state are the optimizer's own.

    Both objects stay usable, and are one optimizer: what is done to one shows in the other. Made by fused().
    """

    _step_supports_amp_scaling = False  # GradScaler unscales before the step, whatever the optimizer was made with

    def __init__(self, optimizer):  # not Optimizer's: there is nothing to set up
        object.__setattr__(self, "_optimizer", optimizer)

    def __getattr__(self, name):
        if name == "_optimizer":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self._optimizer, name)

    def _delegate(name):  # noqa: N805: makes properties of this class
        return property(lambda self: getattr(self._optimizer, name),
                        lambda self, value: setattr(self._optimizer, name, value))

    param_groups, state, defaults = _delegate("param_groups"), _delegate("state"), _delegate("defaults")
    del _delegate

    def state_dict(self):
        return self._optimizer.state_dict()

    def load_state_dict(self, state_dict):
        self._optimizer.load_state_dict(state_dict)

    def add_param_group(self, param_group):
        self._optimizer.add_param_group(param_group)

    def zero_grad(self, set_to_none=True):
        self._optimizer.zero_grad(set_to_none)

    def __reduce__(self):
        return fused, (self._optimizer,)

    @Optimizer.profile_hook_step
    def step(self, closure=None):
        """One update. Gradients that the rule does not take (sparse, another device) go through PyTorch's own step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        optimizer = self._optimizer
        kind = type(optimizer)
        if all(_can_step(group) for group in optimizer.param_groups):
            with torch.no_grad():
                for group in optimizer.param_groups:
                    _RULES[kind](optimizer, group)
        else:
            getattr(kind.step, "__wrapped__", kind.step)(optimizer)
        if "step" in vars(optimizer):  # a scheduler made before watches the optimizer itself for its first step
            optimizer._opt_called = True
        return loss


def _view_class(kind):
    """FusedView that is also a `kind`, under its name, for isinstance and repr."""
    return type(kind.__name__, (FusedView, kind), {"__module__": __name__})


_VIEWS = {kind: _view_class(kind) for kind in _RULES}


def fused(optimizer):
    """A view on a torch.optim SGD, Adam, AdamW or Adagrad whose step is one multi-tensor kernel; equal to 1e-6.

    The exact classes only; any other optimizer, and one that is differentiable or capturable, comes back as it is.
    """
    if isinstance(optimizer, FusedView) or why_not_fused(optimizer) is not None:
        return optimizer
    return _VIEWS[type(optimizer)](optimizer)


# --- optimizers of our own -------------------------------------------------------------------------------------------


class LAMB(Optimizer):
    """LAMB: Adam whose step per parameter is scaled to the parameter's length (You et al. 2020, arXiv:1904.00962).

    `adaptation`, also of a group: "all" parameters are scaled so, or "matrices" alone: of two dimensions and more, while
    biases and the scales of norms take Adam's step.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0, *, adaptation="all",
                 maximize=False):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "adaptation": adaptation, "maximize": maximize})

    @torch.no_grad()
    def step(self, closure=None):
        """One update, in one parallel region for each group."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rule = _core.LambRule()
            rule.lr, (rule.beta1, rule.beta2) = float(group["lr"]), group["betas"]
            rule.eps, rule.weight_decay, rule.maximize = group["eps"], group["weight_decay"], group["maximize"]
            rule.adaptation = group["adaptation"]
            rule.validate()
            parameters = _with_gradients(group)
            states = [_moments_of(self, parameter, ["exp_avg", "exp_avg_sq"]) for parameter in parameters]
            _core.lamb_step(parameters, [p.grad for p in parameters], [state["exp_avg"] for state in states],
                            [state["exp_avg_sq"] for state in states], [state["step"] for state in states], rule)
        return loss


class LARS(Optimizer):
    """LARS: SGD with momentum and a rate per parameter from the ratio of norms (You et al. 2017, arXiv:1708.03888).

    `adaptation`, also of a group: "all" parameters take such a rate, or "matrices" alone: of two dimensions and more,
    while biases and the scales of norms take the plain one.
    """

    def __init__(self, params, lr=0.1, momentum=0.9, weight_decay=0.0, trust_coefficient=0.001, *, adaptation="all",
                 maximize=False):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay,
                                  "trust_coefficient": trust_coefficient, "adaptation": adaptation,
                                  "maximize": maximize})

    @torch.no_grad()
    def step(self, closure=None):
        """One update, in one parallel region for each group."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rule = _core.LarsRule()
            rule.lr, rule.momentum, rule.weight_decay = float(group["lr"]), group["momentum"], group["weight_decay"]
            rule.trust_coefficient, rule.maximize = group["trust_coefficient"], group["maximize"]
            rule.adaptation = group["adaptation"]
            rule.validate()
            parameters = _with_gradients(group)
            buffers = [self.state[p].get("momentum_buffer") for p in parameters]
            made = _core.lars_step(parameters, [p.grad for p in parameters], buffers, rule)
            for parameter, buffer in zip(parameters, made):
                if buffer is not None:
                    self.state[parameter]["momentum_buffer"] = buffer
        return loss

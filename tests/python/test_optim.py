"""lb.optim: torch.optim's optimizers through fused rules, on their own state; LAMB and LARS."""

import copy
import pickle

import pytest
import torch
from torch import nn

import limbeck as lb
from nets import assert_same, batches, conv_net, images, labels, snapshot

STEPS = 20

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05),
    "sgd momentum": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=1e-3),
    "sgd nesterov": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True, foreach=True),
    "sgd dampening": lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, dampening=0.3, maximize=True),
    "adam": lambda p: torch.optim.Adam(p, 1e-3, weight_decay=1e-2),
    "adam amsgrad": lambda p: torch.optim.Adam(p, 1e-3, amsgrad=True, maximize=True),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1, fused=True),
    "adamw amsgrad": lambda p: torch.optim.AdamW(p, torch.tensor(1e-3), betas=(0.8, 0.95), amsgrad=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.02, lr_decay=1e-2, weight_decay=1e-3, initial_accumulator_value=0.1),
}


def train(module, optimizer, steps=STEPS, first=0):
    module.train()
    for x, y in batches(first + steps)[first:]:
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()
    return module


@pytest.fixture(params=OPTIMIZERS)
def make(request):
    return OPTIMIZERS[request.param]


def test_equals_torch(make):
    ours, theirs = conv_net(), conv_net()
    optimizer, expected = lb.optim.fused(make(ours.parameters())), make(theirs.parameters())
    assert isinstance(optimizer, type(expected)) and type(optimizer) is not type(expected)
    train(ours, optimizer)
    train(theirs, expected)
    assert_same(snapshot(ours), snapshot(theirs), 1e-6)


def test_state_is_torchs_both_ways(make):
    """A checkpoint of one continues in the other as if nothing had happened."""
    unbroken = conv_net()
    train(unbroken, make(unbroken.parameters()), 2 * STEPS)
    for first, second in ((lb.optim.fused, lambda o: o), (lambda o: o, lb.optim.fused)):
        module = conv_net()
        optimizer = first(make(module.parameters()))
        train(module, optimizer)
        saved = copy.deepcopy(optimizer.state_dict())
        resumed = second(make(module.parameters()))
        resumed.load_state_dict(saved)
        train(module, resumed, STEPS, STEPS)
        assert_same(snapshot(module), snapshot(unbroken), 2e-6)


def test_view_and_optimizer_are_one():
    module = conv_net()
    original = torch.optim.SGD(module.stem.parameters(), 0.1, momentum=0.9)
    view = lb.optim.fused(original)
    view.add_param_group({"params": list(module.fc.parameters()), "lr": 0.5})
    assert [group["lr"] for group in original.param_groups] == [0.1, 0.5]
    train(module, view, 1)
    assert original.state and original.state is view.state
    original.load_state_dict(view.state_dict())
    assert original.state is view.state and original.param_groups is view.param_groups
    assert "step" not in vars(original) and type(original) is torch.optim.SGD
    assert type(pickle.loads(pickle.dumps(view))).__name__ == "SGD"
    assert lb.optim.fused(view) is view


def test_groups_added_later_equal_an_optimizer_that_had_them(make):
    ours, theirs = conv_net(), conv_net()
    optimizer = lb.optim.fused(make(ours.stem.parameters()))
    train(ours, optimizer, 3)
    optimizer.add_param_group({"params": list(ours.fc.parameters()), "lr": 0.01})
    train(ours, optimizer, 3, 3)
    early = make(theirs.stem.parameters())
    train(theirs, early, 3)
    late = make(theirs.fc.parameters())  # of its own, since torch's Adagrad begins its state only when it is made
    late.param_groups[0]["lr"] = 0.01
    theirs.zero_grad()
    for x, y in batches(6)[3:]:
        nn.functional.cross_entropy(theirs(x), y).backward()
        early.step()
        late.step()
        theirs.zero_grad()
    assert_same(snapshot(ours), snapshot(theirs), 1e-6)


@pytest.mark.parametrize("is_before", [True, False])
def test_schedulers_work(is_before, recwarn):
    module = conv_net()
    original = torch.optim.SGD(module.parameters(), 1.0)
    early = torch.optim.lr_scheduler.StepLR(original, 1, 0.5) if is_before else None
    optimizer = lb.optim.fused(original)
    scheduler = early or torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for _ in range(3):
        train(module, optimizer, 1)
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.125
    assert not [warning for warning in recwarn if "lr_scheduler" in str(warning.message)]


def test_hooks_are_called():
    module, called = conv_net(), []
    original = torch.optim.AdamW(module.parameters())
    original.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer = lb.optim.fused(original)
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    train(module, optimizer, 1)
    assert called == ["before", "after"]


def test_closure_is_evaluated_once():
    module = conv_net()
    optimizer = lb.optim.fused(torch.optim.SGD(module.parameters(), 0.1))
    before, calls = snapshot(module), []

    def closure():
        calls.append(1)
        loss = nn.functional.cross_entropy(module(images()), labels())
        loss.backward()
        return loss

    assert optimizer.step(closure).item() > 0 and len(calls) == 1
    assert not torch.equal(module.fc.weight, before["fc.weight"])


@pytest.mark.parametrize("fused", [True, False])
def test_grad_scaler_unscales_and_skips(fused):
    module = nn.Linear(3, 2)
    optimizer = lb.optim.fused(torch.optim.SGD(module.parameters(), 0.1, fused=fused))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    weight = module.weight.detach().clone()
    scaler.scale(module(torch.full((2, 3), 1e38)).sum() * 10).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(module.weight, weight) and scaler.get_scale() == 512
    optimizer.zero_grad()
    scaler.scale(module(torch.ones(2, 3)).sum()).backward()
    scaler.step(optimizer)
    torch.testing.assert_close(module.weight.detach(), weight - 0.1 * 2)


def test_sparse_gradients_take_torchs_step():
    torch.manual_seed(0)
    ours = nn.Embedding(5, 3, sparse=True)
    theirs = copy.deepcopy(ours)
    called = []
    optimizer, expected = (torch.optim.SGD(m.parameters(), 0.1) for m in (ours, theirs))
    optimizer = lb.optim.fused(optimizer)
    optimizer.register_step_post_hook(lambda *_: called.append(1))
    for module, stepper in ((ours, optimizer), (theirs, expected)):
        module(torch.tensor([1, 3])).sum().backward()
        stepper.step()
    assert torch.equal(ours.weight, theirs.weight) and called == [1]


def test_parameters_without_gradient_stay():
    module = conv_net()
    optimizer = lb.optim.fused(torch.optim.Adam(module.parameters()))
    before = snapshot(module)
    module.fc.weight.grad = torch.ones_like(module.fc.weight)
    optimizer.step()
    assert len(optimizer.state) == 1
    assert torch.equal(module.fc.bias, before["fc.bias"]) and not torch.equal(module.fc.weight, before["fc.weight"])


def test_others_come_back_as_they_are():
    class Own(torch.optim.SGD):
        pass

    parameters = [nn.Parameter(torch.ones(2))]
    replaced = torch.optim.SGD(parameters, 0.1)
    replaced.step = lambda: None
    for optimizer in (Own(parameters, 0.1), torch.optim.RMSprop(parameters), torch.optim.LBFGS(parameters),
                      torch.optim.Adam(parameters, capturable=True), replaced):
        assert lb.optim.fused(optimizer) is optimizer
        assert lb.optim.why_not_fused(optimizer)


def lamb_by_hand(p, g, m, v, t, lr, betas, eps, decay):
    m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
    u = (m / (1 - betas[0]**t)) / ((v / (1 - betas[1]**t)).sqrt() + eps) + decay * p
    return p - lr * p.norm() / u.norm() * u, m, v


def test_lamb_follows_the_paper():
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(4, 3, dtype=torch.float64))
    optimizer = lb.optim.LAMB([parameter], lr=0.01, weight_decay=0.1)
    p, m, v = parameter.detach().clone(), torch.zeros(4, 3), torch.zeros(4, 3)
    for t in range(1, 6):
        parameter.grad = torch.randn(4, 3, dtype=torch.float64)
        p, m, v = lamb_by_hand(p, parameter.grad, m, v, t, 0.01, (0.9, 0.999), 1e-6, 0.1)
        optimizer.step()
    torch.testing.assert_close(parameter.detach(), p, rtol=1e-9, atol=1e-12)
    assert optimizer.state_dict()["state"][0]["step"].item() == 5


def test_lars_trains_and_keeps_state():
    module = conv_net()
    optimizer = lb.optim.LARS(module.parameters(), lr=1.0, weight_decay=1e-4)
    before = snapshot(module)
    train(module, optimizer, 3)
    assert all(not torch.equal(parameter, before[name]) for name, parameter in module.named_parameters())
    assert "momentum_buffer" in optimizer.state_dict()["state"][0]
    with pytest.raises(ValueError, match="momentum"):
        bad = lb.optim.LARS(module.parameters(), momentum=-1.0)
        bad.step()


@pytest.mark.parametrize("is_of_group", [True, False])
def test_lars_leaves_biases_their_plain_rate(is_of_group):
    torch.manual_seed(0)
    matrix, bias = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(4))
    before = matrix.detach().clone(), bias.detach().clone()
    if is_of_group:
        optimizer = lb.optim.LARS([{"params": [matrix]}, {"params": [bias], "adaptation": "matrices"}], lr=0.5)
    else:
        optimizer = lb.optim.LARS([matrix, bias], lr=0.5, adaptation="matrices")
    matrix.grad, bias.grad = torch.randn(4, 3), torch.randn(4)
    optimizer.step()
    torch.testing.assert_close(bias.detach(), before[1] - 0.5 * bias.grad)
    ratio = 0.001 * before[0].norm() / matrix.grad.norm()
    torch.testing.assert_close(matrix.detach(), before[0] - 0.5 * ratio * matrix.grad)


def test_lamb_leaves_biases_adams_step():
    bias, twin = nn.Parameter(torch.full((4,), 2.0)), nn.Parameter(torch.full((4,), 2.0))
    optimizer = lb.optim.LAMB([bias], lr=0.01, weight_decay=0.1, adaptation="matrices")
    adam = torch.optim.AdamW([twin], lr=0.01, eps=1e-6, weight_decay=0.1)
    for parameter in (bias, twin):
        parameter.grad = torch.tensor([1.0, -2.0, 0.5, 3.0])
    optimizer.step()
    adam.step()
    torch.testing.assert_close(bias.detach(), twin.detach())


@pytest.mark.parametrize("kind", [lb.optim.LAMB, lb.optim.LARS])
def test_adaptation_must_be_one_that_exists(kind):
    parameter = nn.Parameter(torch.ones(2, 2))
    parameter.grad = torch.ones(2, 2)
    with pytest.raises(ValueError, match="adaptation must be 'all' or 'matrices', got 'none'"):
        kind([parameter], adaptation="none").step()

"""lb.optimize: a user's own loop with two changed lines, and sets of models and optimizers."""

import copy
import math
import re

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import limbeck as lb
from nets import assert_same, batches, conv_net, distance, images, labels, snapshot

STEPS = 20
NETS = 8  # of a mean over nets
SPREAD = 0.135  # of the logarithm of a fused run's distance from float64 over eager's: see assert_as_exact_as_eager
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, 0.05, momentum=0.9),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, 1e-3),
}


def users_loop(model, optimizer, dtype, steps=STEPS, first=0):
    """Nobody's code knows of limbeck here."""
    model.train()
    for x, y in batches(first + steps)[first:]:
        optimizer.zero_grad()
        with torch.amp.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = nn.functional.cross_entropy(model(x.double() if dtype == torch.float64 else x), y)
        loss.backward()
        optimizer.step()


def tolerance_of(dtype):
    """Of runs op by op. fp32: the acceptance rule, which covers the rounding of a fused update. bf16: one unit in the
    last of its 8 bits, which a weight close to a rounding boundary moves an activation by."""
    return 1e-6 if dtype == torch.float32 else 1 / 256


def assert_as_exact_as_eager(fused, eager, exact):
    """Of one fused run, which rounds at other places than eager does: at fewer, so that it must come as close to training
    in float64, but for where single roundings fall. Over twenty nets with batches of their own the ratio of the two
    distances in bf16 has a geometric mean of 1.01 with SGD and 0.99 with AdamW, and its logarithm a standard deviation
    of SPREAD and 0.07: 1.5 is three of the larger, exp(3 * SPREAD)."""
    assert 0 < distance(eager, exact) < 5e-3
    assert distance(fused, exact) <= math.exp(3 * SPREAD) * distance(eager, exact)


@pytest.fixture(params=DTYPES)
def dtype(request):
    return DTYPES[request.param]


@pytest.fixture(params=OPTIMIZERS)
def make(request):
    return OPTIMIZERS[request.param]


# --- the two-line form -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_sample", [True, False])
def test_users_loop_trains_the_same(make, dtype, has_sample):
    module, twin = conv_net(), conv_net()
    before = snapshot(module)
    sample = images() if has_sample else None
    model, optimizer = lb.optimize(module, optimizer=make(module.parameters()), dtype=dtype, sample_input=sample)
    assert isinstance(model, nn.Module) and isinstance(optimizer, torch.optim.Optimizer)
    assert isinstance(model, lb.Model) == has_sample
    users_loop(model, optimizer, dtype)
    users_loop(twin, make(twin.parameters()), dtype)
    if has_sample:
        exact = conv_net().double()
        users_loop(exact, make(exact.parameters()), torch.float64)
        assert_as_exact_as_eager(snapshot(module), snapshot(twin), snapshot(exact))
        assert dtype != torch.float32 or distance(snapshot(module), snapshot(twin)) < 1e-6
    else:
        assert_same(snapshot(module), snapshot(twin), tolerance_of(dtype))
    assert all(not torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())


def test_fused_bf16_is_as_exact_as_eager_on_average():
    """Where single roundings fall averages out over nets and batches; a place that rounds once more would not."""
    logarithms = []
    for seed in range(NETS):
        optimized, eager, exact = conv_net(seed), conv_net(seed), conv_net(seed).double()
        make = OPTIMIZERS["SGD"]
        fused, optimizer = lb.optimize(optimized, optimizer=make(optimized.parameters()), dtype=torch.bfloat16,
                                       sample_input=images())
        users_loop(fused, optimizer, torch.bfloat16, first=STEPS * seed)
        users_loop(eager, make(eager.parameters()), torch.bfloat16, first=STEPS * seed)
        users_loop(exact, make(exact.parameters()), torch.float64, first=STEPS * seed)
        states = [snapshot(net) for net in (optimized, eager, exact)]
        logarithms.append(math.log(distance(states[0], states[2]) / distance(states[1], states[2])))
    assert sum(logarithms) / NETS <= 3 * SPREAD / math.sqrt(NETS)  # a ratio of 1.15


def test_checkpoint_continues(make, dtype, tmp_path):
    unbroken = conv_net()
    model, optimizer = lb.optimize(unbroken, optimizer=make(unbroken.parameters()), dtype=dtype, sample_input=images())
    users_loop(model, optimizer, dtype, 2 * STEPS)

    module = conv_net()
    model, optimizer = lb.optimize(module, optimizer=make(module.parameters()), dtype=dtype, sample_input=images())
    users_loop(model, optimizer, dtype)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "checkpoint.pth")
    saved = torch.load(tmp_path / "checkpoint.pth")
    module = conv_net(seed=9)
    module.load_state_dict(saved["model"], strict=True)
    optimizer = make(module.parameters())
    optimizer.load_state_dict(saved["optimizer"])
    model, optimizer = lb.optimize(module, optimizer=optimizer, dtype=dtype, sample_input=images())
    users_loop(model, optimizer, dtype, STEPS, STEPS)
    assert_same(snapshot(module), snapshot(unbroken))


def test_nothing_of_the_users_is_touched(dtype):
    module = conv_net()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    kind, attributes, step = type(module), set(vars(module)), type(optimizer).step
    lb.optimize(module, optimizer=optimizer, dtype=dtype)
    assert type(module) is kind and set(vars(module)) == attributes
    assert type(optimizer) is torch.optim.SGD and "step" not in vars(optimizer) and type(optimizer).step is step
    assert module(images()).dtype == torch.float32


def test_bf16_view_is_the_module():
    module = conv_net()
    model, _ = lb.optimize(module, optimizer=torch.optim.SGD(module.parameters(), 0.1), dtype=torch.bfloat16)
    assert isinstance(model, type(module)) and model.fc is module.fc
    assert model(images()).dtype == torch.bfloat16 and module(images()).dtype == torch.float32
    model.eval()
    assert not module.training
    twin = copy.deepcopy(model)
    assert twin.fc is not module.fc and twin(images()).dtype == torch.bfloat16


def test_inference_returns_the_model_alone():
    module = conv_net().eval()
    model = lb.optimize(module, dtype=torch.float32, sample_input=images())
    assert torch.equal(model(images()), module(images()))
    assert "eval" in str(lb.report(model))


def test_report_says_what_was_done():
    module = conv_net()
    model, optimizer = lb.optimize(module, optimizer=torch.optim.SGD(module.parameters(), 0.1), dtype=torch.bfloat16)
    text = str(lb.report(model))
    assert text == str(lb.report(optimizer))
    for said in ("nn.Module ConvNet", "torch.optim.SGD", "one multi-tensor kernel", "a module runs op by op"):
        assert said in re.sub(r"\s+", " ", text), text
    assert lb.report(model).data["optimizers"]
    with pytest.raises(ValueError, match="did not come from"):
        lb.report(nn.Linear(2, 2))


def test_the_graphs_training_runs_are_fused():
    module, twin = conv_net(), conv_net()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    model, _ = lb.optimize(module, optimizer=optimizer, sample_input=images())
    report = lb.report(model)
    assert "batch_norm + relu" in " ".join(report.data["models"][0]["fused"]) and "batch_norm + relu" in str(report)
    assert max(map(len, str(report).splitlines())) <= 80
    _, taps = model.train()(images(), taps=["stem.1"])
    torch.testing.assert_close(taps["stem.1"], twin.stem[1](twin.stem[0](images())))  # a tap is never fused away


class Pixels(nn.Module):
    """Returns images, and the strides with which they come back matter to what follows."""

    def __init__(self, flattens):
        super().__init__()
        self.conv, self.norm, self.flattens = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), flattens

    def forward(self, x):
        y = self.norm(self.conv(x))
        return y.view(len(y), -1) if self.flattens else y


def test_images_run_in_channels_last_and_come_back_as_they_were():
    module = Pixels(flattens=False)
    model, _ = lb.optimize(module, optimizer=torch.optim.SGD(module.parameters(), 0.1), sample_input=images())
    assert "channels_last" in str(lb.report(model))
    x = images()
    output, taps = model.train()(x, taps=["conv"])
    assert output.is_contiguous() and taps["conv"].is_contiguous()
    seen = output.grad_fn.next_functions[0][0].name()
    assert "Clone" in output.grad_fn.name() and "BatchNorm" in seen, seen  # made contiguous after the fused norm
    given = x.to(memory_format=torch.channels_last)
    assert model(given).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(model(given), model(x))


class Tied(nn.Module):
    """Two convolutions of one weight, and one whose weight is part of a larger tensor."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.part = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(3, 4, 3)
        self.second.weight = nn.Parameter(self.first.weight.data)
        self.part.weight = nn.Parameter(torch.randn(2, 3, 3, 3, 3)[1])

    def forward(self, x):
        return self.last(self.part(self.second(self.first(x)))).mean((2, 3))


def test_weights_are_turned_in_place_with_their_state():
    module = Tied()
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    module(images()).sum().backward()
    optimizer.step()
    weight, momentum = module.last.weight, optimizer.state[module.last.weight]["momentum_buffer"]
    values = [tensor.detach().clone() for tensor in (weight, weight.grad, momentum)]
    model, _ = lb.optimize(module, optimizer=optimizer, sample_input=images())
    assert "1 weights were turned to it in place" in re.sub(r"\s+", " ", str(lb.report(model)))
    assert module.last.weight is weight and optimizer.state[weight]["momentum_buffer"] is momentum
    for tensor, value in zip((weight, weight.grad, momentum), values):
        assert tensor.is_contiguous(memory_format=torch.channels_last) and torch.equal(tensor, value)
    assert module.first.weight.is_contiguous() and module.part.weight.is_contiguous()
    with torch.no_grad():
        module.first.weight.fill_(2)
    assert module.second.weight.eq(2).all()  # still one memory


def test_weights_stay_whose_memory_others_see():
    kept = []
    for share in (lambda weight: weight.share_memory_(),
                  lambda weight: kept.append(weight.data),  # as a second module's, or a snapshot
                  lambda weight: setattr(weight, "grad", torch.zeros(2, weight.numel())[1].view_as(weight))):
        module = Pixels(flattens=False)
        share(module.conv.weight)
        lb.optimize(module, optimizer=torch.optim.SGD(module.parameters(), 0.1), sample_input=images())
        assert module.conv.weight.is_contiguous()
    assert kept[0].is_contiguous()


def test_turned_weights_give_contiguous_images_in_eval_too():
    module = Pixels(flattens=False)
    model, _ = lb.optimize(module, optimizer=torch.optim.SGD(module.parameters(), 0.1), sample_input=images())
    assert not module.conv.weight.is_contiguous()
    for seen in (model.eval(), copy.deepcopy(model).eval()):
        assert seen(images()).is_contiguous()


def test_inference_in_float32_keeps_weights_as_they_are():
    module = Pixels(flattens=False).eval()
    lb.optimize(module, sample_input=images())
    assert module.conv.weight.is_contiguous()


def test_a_graph_that_holds_to_a_layout_keeps_it():
    module = Pixels(flattens=True)
    model, _ = lb.optimize(module, optimizer=torch.optim.SGD(module.parameters(), 0.1), dtype=torch.bfloat16,
                           sample_input=images())
    assert "aten::view in the graph" in re.sub(r"\s+", " ", str(lb.report(model)))
    model.train()(images()).sum().backward()


def test_foreign_optimizer_keeps_its_own_step():
    module, twin = conv_net(), conv_net()
    mine, theirs = (torch.optim.RMSprop(m.parameters(), 1e-3) for m in (module, twin))
    model, optimizer = lb.optimize(module, optimizer=mine)
    assert optimizer is mine
    users_loop(model, optimizer, torch.float32, 5)
    users_loop(twin, theirs, torch.float32, 5)
    assert_same(snapshot(module), snapshot(twin))
    assert "no fused rule" in re.sub(r"\s+", " ", str(lb.report(model)))


def test_takes_no_dtype_as_float32():
    """As scripts of IPEX's users have it."""
    module, twin = conv_net(), conv_net()
    for net, dtype in ((module, None), (twin, torch.float32)):
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        users_loop(*lb.optimize(net, optimizer=optimizer, dtype=dtype), torch.float32, 2)
    assert_same(snapshot(module), snapshot(twin))


def test_says_what_is_wrong():
    module, other = conv_net(), conv_net()
    with pytest.raises(ValueError, match="dtype must be"):
        lb.optimize(module, dtype=torch.int8)
    with pytest.raises(ValueError, match="takes a torch.nn.Module"):
        lb.optimize(3)
    with pytest.raises(ValueError, match="For several optimizers make a set"):
        lb.optimize(module, [torch.optim.SGD(module.parameters(), 0.1)])
    with pytest.raises(ValueError, match=r"\[optimize\]"):
        lb.optimize(module, optimizer=torch.optim.SGD(other.parameters(), 0.1))
    with pytest.raises(ValueError, match="capture a module"):
        lb.optimize({"model": module}, optimizer=torch.optim.SGD(module.parameters(), 0.1))


# --- sets ------------------------------------------------------------------------------------------------------------


def prepared(captures, *modules):
    return [lb.capture(module, images()) for module in modules] if captures else list(modules)


def eager(dtype, module, *args):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        return module(*args)


def adapter_net():
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))


class Case:
    """One row of the table: the nets, their roles, the optimizers, and the loss, in a set and by hand."""

    def __init__(self, make, roles, owners, loss):
        self.make, self.roles, self.owners, self.loss = make, roles, owners, loss

    def nets(self):
        made = {"student": conv_net(seed=0), "teacher": conv_net(seed=1), "adapter": adapter_net()}
        return {name: made[name].train() for name in self.roles}

    def optimizers(self, nets):
        return [self.make(parameters) for parameters in self.owners(nets)]


def everything(*names):
    return lambda nets: [[p for name in names for p in nets[name].parameters()]]


def body_and_head(nets):
    named = list(nets["student"].named_parameters())
    return [[p for n, p in named if not n.startswith("fc")], [p for n, p in named if n.startswith("fc")]]


def plain_loss(run, x, y):
    return lb.cross_entropy(run("student", x), y)


def teacher_first(run, x, y):
    teacher = run("teacher", x)
    return lb.kd(run("student", x), teacher, y)


def student_first(run, x, y):
    student = run("student", x)
    return lb.kd(student, run("teacher", x), y)


def adapted(run, x, y):
    teacher, student = run("teacher", x), run("student", x)
    return lb.cross_entropy(student, y) + lb.feature_mse(run("adapter", student), teacher)


TRAIN = lb.Role.train
CASES = {
    "one model and optimizer": ({"student": TRAIN}, everything("student"), plain_loss),
    "teacher and student": ({"teacher": lb.frozen_train("update"), "student": TRAIN}, everything("student"),
                            teacher_first),
    "student first": ({"student": TRAIN, "teacher": lb.frozen_train("keep")}, everything("student"), student_first),
    "two optimizers on one model": ({"student": TRAIN}, body_and_head, plain_loss),
    "one optimizer over student and adapter": ({"teacher": lb.frozen_train("keep"), "student": TRAIN, "adapter": TRAIN},
                                               everything("student", "adapter"), adapted),
}


def train_set(case, nets, captures, dtype, layout=torch.contiguous_format):
    models = dict(nets)
    if captures:
        examples = {"adapter": torch.randn(3, 4)}
        models = {name: lb.capture(net, examples.get(name, images())) for name, net in nets.items()}
    entries = {name: (models[name], role) for name, role in case.roles.items()}
    joined = lb.optimize(entries, case.optimizers(nets), dtype=dtype)
    for x, y in batches(STEPS):
        joined.backward(case.loss(joined.forward, x.to(memory_format=layout), y))
        assert joined.step().is_updated
    return joined


def train_by_hand(case, nets, dtype, layout=torch.contiguous_format):
    optimizers = case.optimizers(nets)
    kept = {name: snapshot(nets[name]) for name, role in case.roles.items() if role == "frozen_train(keep)"}

    def run(name, *args):
        with torch.set_grad_enabled(case.roles[name] == "train"):
            return eager(dtype, nets[name], *args)

    for x, y in batches(STEPS):
        for optimizer in optimizers:
            optimizer.zero_grad()
        x = x.to(torch.float64 if dtype == torch.float64 else torch.float32, memory_format=layout)
        case.loss(run, x, y).backward()
        for optimizer in optimizers:
            optimizer.step()
    for name, state in kept.items():
        nets[name].load_state_dict(state)


@pytest.mark.parametrize("captures", [True, False], ids=["graph", "module"])
@pytest.mark.parametrize("case", CASES)
def test_five_cases(make, dtype, case, captures):
    row = Case(make, *CASES[case])
    nets, twins = row.nets(), row.nets()
    before = {name: snapshot(net) for name, net in nets.items()}
    train_set(row, nets, captures, dtype)
    train_by_hand(row, twins, dtype)
    for name, role in row.roles.items():
        after = snapshot(nets[name])
        assert_same(after, snapshot(twins[name]), 0.0 if role == "frozen_train(keep)" else tolerance_of(dtype))
        if role == "frozen_train(keep)":
            assert_same(after, before[name])
        if role == "train":
            assert all(not torch.equal(after[key], before[name][key]) for key, _ in nets[name].named_parameters())
        if role == "frozen_train(update)":
            moved = [key for key in after if not torch.equal(after[key], before[name][key])]
            assert moved and all("running" in key or "num_batches" in key for key in moved)
        assert nets[name].training  # the handle's mode is its own


@pytest.mark.parametrize("case", CASES)
def test_five_cases_fused(make, dtype, case):
    """On channels_last images the graphs' batch norms are fused in every role that runs in train mode."""
    row = Case(make, *CASES[case])
    fused, eager, exact = row.nets(), row.nets(), row.nets()
    joined = train_set(row, fused, True, dtype, torch.channels_last)
    assert "batch_norm + relu" in str(joined.report())
    train_by_hand(row, eager, dtype, torch.channels_last)
    for net in exact.values():
        net.double()
    train_by_hand(row, exact, torch.float64)
    for name, role in row.roles.items():
        if role != "frozen_train(keep)":
            states = [snapshot(nets[name]) for nets in (fused, eager, exact)]
            assert_as_exact_as_eager(*states)
            assert dtype != torch.float32 or distance(*states[:2]) < 1e-6


def test_roles_are_found():
    teacher, student = conv_net(1).eval(), conv_net()
    joined = lb.optimize({"teacher": teacher, "student": student}, [torch.optim.SGD(student.parameters(), 0.1)])
    assert (joined.role("teacher"), joined.role("student")) == ("eval", "train")
    assert "teacher" in str(joined.report()) and joined.report().data["models"]


@pytest.mark.parametrize("captures", [True, False])
def test_errors_name_the_parameter(captures):
    student, other = conv_net(), conv_net(1)
    model, = prepared(captures, student)
    sgd = lambda parameters: torch.optim.SGD(parameters, 0.1)
    with pytest.raises(ValueError, match="fc.weight"):
        lb.optimize({"student": model}, [sgd(student.parameters()), sgd(student.fc.parameters())])
    with pytest.raises(ValueError, match=r"\[optimize\]"):
        lb.optimize({"student": (model, TRAIN)}, [sgd(other.parameters())])
    with pytest.raises(ValueError, match=r"\[optimize\].*student"):
        lb.optimize({"student": (model, TRAIN)}, [])
    with pytest.raises(ValueError, match=r"role"):
        lb.optimize({"student": (model, "frozen")}, [sgd(student.parameters())])
    joined = lb.optimize({"student": model}, [sgd(student.parameters())])
    with pytest.raises(ValueError, match="Nearest: student"):
        joined.forward("studnt", images())
    with pytest.raises(ValueError, match="buffers must be"):
        lb.frozen_train("maybe")
    with pytest.raises(ValueError, match="must be a torch.nn.Module"):
        lb.optimize({"student": 3}, [])


@pytest.mark.parametrize("captures", [True, False])
def test_eval_teacher_keeps_mode_and_records_nothing(captures):
    teacher, student = conv_net(1).train(), conv_net()
    model, = prepared(captures, teacher)
    joined = lb.optimize({"teacher": (model, lb.Role.eval), "student": student},
                         [torch.optim.SGD(student.parameters(), 0.1)])
    before = snapshot(teacher)
    output = joined.forward("teacher", images())
    assert not output.requires_grad and teacher.training
    assert_same(snapshot(teacher), before)
    assert torch.equal(output, copy.deepcopy(teacher).eval()(images()))
    x = images().requires_grad_()
    joined.forward("teacher", x).sum().backward()
    assert x.grad is not None and teacher.fc.weight.grad is None and teacher.fc.weight.requires_grad


@pytest.mark.parametrize("captures", [True, False], ids=["graph", "module"])
def test_gradients_flow_through_a_teacher_that_keeps_its_buffers(captures):
    """As into a perceptual loss: the teacher's batch norms save what they normalized by for backward."""
    student, teacher = nn.Conv2d(3, 3, 3, padding=1), conv_net(1).train()
    twin, twin_teacher = copy.deepcopy(student), copy.deepcopy(teacher)
    model, = prepared(captures, teacher)
    joined = lb.optimize({"teacher": (model, lb.frozen_train("keep")), "student": (student, TRAIN)},
                         [torch.optim.SGD(student.parameters(), 0.1)])
    before, buffers = snapshot(teacher), [id(buffer) for buffer in teacher.buffers()]
    joined.backward(joined.forward("teacher", joined.forward("student", images())).square().mean())
    twin_teacher(twin(images())).square().mean().backward()
    torch.testing.assert_close(student.weight.grad, twin.weight.grad, rtol=1e-6, atol=1e-6)
    assert_same(snapshot(teacher), before)
    assert [id(buffer) for buffer in teacher.buffers()] == buffers
    assert all(parameter.grad is None for parameter in teacher.parameters())


class Rebinding(nn.Module):
    """Writes its statistics by binding new tensors, one of them under a name that was not there."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("twin", self.mean)

    def forward(self, x):
        y = self.fc(x)
        assert self.twin is self.mean
        self.mean = self.twin = 0.9 * self.mean + 0.1 * y.detach().mean(0)
        self.register_buffer("last", y.detach())
        return y


def test_buffers_that_a_teacher_binds_anew_are_kept():
    teacher, student = Rebinding(), nn.Linear(3, 3)
    mean = teacher.mean
    joined = lb.optimize({"teacher": (teacher, lb.frozen_train("keep")), "student": (student, TRAIN)},
                         [torch.optim.SGD(student.parameters(), 0.1)])
    joined.forward("teacher", torch.randn(4, 3))
    assert teacher.mean is mean and teacher.twin is mean and not mean.any()
    assert list(dict(teacher.named_buffers())) == ["mean"]
    with pytest.raises(RuntimeError):
        joined.forward("teacher", torch.randn(4, 5))
    assert teacher.mean is mean and teacher.training


def test_taps_of_a_member():
    student = conv_net()
    model, = prepared(True, student)
    joined = lb.optimize({"student": model, "module": conv_net(1).eval()}, [torch.optim.SGD(student.parameters(), 0.1)])
    output, taps = joined.forward("student", images(), taps=["stem"])
    assert output.shape == (6, 4) and taps["stem"].requires_grad
    with pytest.raises(ValueError, match="has no taps"):
        joined.forward("module", images(), taps=["stem"])


def test_lbfgs_calls_its_closure():
    module = nn.Linear(3, 4)
    joined = lb.optimize({"model": (module, TRAIN)}, [torch.optim.LBFGS(module.parameters(), lr=0.5, max_iter=5)])
    x, y = torch.randn(12, 3), torch.randint(4, (12,))
    losses = []

    def closure():
        loss = lb.cross_entropy(joined.forward("model", x), y)
        joined.backward(loss)
        losses.append(loss.item())
        return loss

    for _ in range(3):
        assert joined.step(closure).is_updated
    assert len(losses) > 3 and losses[-1] < losses[0]


def test_a_closure_kept_for_later_says_so():
    class Keeper(torch.optim.LBFGS):
        def step(self, closure):
            self.kept = closure
            return super().step(closure)

    module = nn.Linear(3, 4)
    keeper = Keeper(module.parameters(), max_iter=2)
    joined = lb.optimize({"model": (module, TRAIN)}, [keeper])

    def closure():
        loss = lb.cross_entropy(joined.forward("model", torch.ones(2, 3)), torch.tensor([0, 1]))
        joined.backward(loss)
        return loss

    assert joined.step(closure).is_updated
    with pytest.raises(ValueError, match="called after the step had ended"):
        keeper.kept()


def test_accumulates_and_clips():
    student, twin = nn.Linear(3, 4), nn.Linear(3, 4)
    twin.load_state_dict(student.state_dict())
    joined = lb.optimize({"student": (student, TRAIN)}, [torch.optim.SGD(student.parameters(), 0.1)], accumulate=2,
                         clip_norm=0.1)
    x, y = torch.randn(8, 3), torch.randint(4, (8,))
    for part in (slice(0, 4), slice(4, 8)):
        joined.backward(lb.cross_entropy(joined.forward("student", x[part]), y[part]))
        step = joined.step()
    expected = torch.optim.SGD(twin.parameters(), 0.1)
    lb.cross_entropy(twin(x), y).backward()
    norm = nn.utils.clip_grad_norm_(twin.parameters(), 0.1)
    expected.step()
    assert step.is_updated and step.grad_norm == pytest.approx(norm.item(), rel=1e-5)
    assert_same(snapshot(student), snapshot(twin), 1e-6)


def test_fp16_skips_an_overflow_and_saves_its_scale():
    module = nn.Linear(3, 2)
    joined = lb.optimize({"model": (module, TRAIN)}, [torch.optim.SGD(module.parameters(), 0.1)], dtype=torch.float16)
    before = snapshot(module)
    joined.backward(joined.forward("model", torch.full((2, 3), 60000.0)).float().sum() * 1e4)
    assert joined.step().is_skipped
    assert_same(snapshot(module), before)
    state = joined.state_dict()
    joined.load_state_dict(state)
    assert joined.state_dict() == state and state["scaler"]
    assert lb.optimize({"model": module.eval()}).state_dict() == {}


def test_exceptions_of_hooks_come_back_as_they_were():
    class Stop(Exception):
        pass

    def stop(_gradient):
        raise Stop("here")

    module = conv_net()
    joined = lb.optimize({"model": (module, TRAIN)}, [torch.optim.SGD(module.parameters(), 0.1)])
    module.fc.weight.register_hook(stop)
    loss = lb.cross_entropy(joined.forward("model", images()), torch.zeros(6, dtype=torch.long))
    with pytest.raises(Stop, match="here"):
        joined.backward(loss)


# --- models that train in turns ----------------------------------------------------------------------------------------


def digits():
    """400 handwritten digits [400, 64] of scikit-learn, in [-1, 1]."""
    data = load_digits().data[:400] / 8 - 1
    return torch.tensor(data, dtype=torch.float32)


class Gan:
    """A small generator and discriminator of digits."""

    def __init__(self):
        torch.manual_seed(0)
        self.generator = nn.Sequential(nn.Linear(16, 48, bias=False), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 64), nn.Tanh())
        self.judge = nn.Sequential(nn.Linear(64, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))
        self.of_generator = torch.optim.Adam(self.generator.parameters(), 2e-3, betas=(0.5, 0.999))
        self.of_judge = torch.optim.SGD(self.judge.parameters(), 0.05, momentum=0.5)

    @staticmethod
    def batches(steps):
        real = digits()
        for step in range(steps):
            noise = torch.randn(40, 16, generator=torch.Generator().manual_seed(step))
            yield real[step % 10 * 40 : step % 10 * 40 + 40], noise


def judge_loss(real, fake):
    bce = nn.functional.binary_cross_entropy_with_logits
    return bce(real.float(), torch.ones(40, 1)) + bce(fake.float(), torch.zeros(40, 1))


def generator_loss(fake):
    return nn.functional.binary_cross_entropy_with_logits(fake.float(), torch.ones(40, 1))


INITIAL_SCALE = 2.0**20  # overflows in the first steps


def scale_state(dtype):
    if dtype != torch.float16:
        return {}
    return {"scaler": {"scale": INITIAL_SCALE, "growth_steps": 0, "skips_in_a_row": 0}}


def gan_by_set(gan, steps, dtype=torch.float32):
    models = {"generator": (gan.generator, TRAIN), "judge": (gan.judge, TRAIN)}
    joined = lb.optimize(models, [gan.of_judge, gan.of_generator], dtype=dtype)
    joined.load_state_dict(scale_state(dtype))
    losses = []
    for real, noise in gan.batches(steps):
        fake = joined.forward("generator", noise)
        joined.zero_grad(gan.of_judge)
        first = judge_loss(joined.forward("judge", real), joined.forward("judge", fake.detach()))
        joined.backward(first)
        joined.step(optimizer=gan.of_judge)
        joined.zero_grad(gan.of_generator)
        second = generator_loss(joined.forward("judge", fake))
        joined.backward(second)
        joined.step(optimizer=gan.of_generator)
        joined.update_scale()
        losses += [first.item(), second.item()]
    return losses, joined


def gan_by_hand(gan, steps, dtype=torch.float32):
    scaler = torch.amp.GradScaler("cpu", init_scale=INITIAL_SCALE, enabled=dtype == torch.float16)
    losses = []
    for real, noise in gan.batches(steps):
        with torch.amp.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            fake = gan.generator(noise)
            first = judge_loss(gan.judge(real), gan.judge(fake.detach()))
        gan.of_judge.zero_grad()
        scaler.scale(first).backward()
        scaler.step(gan.of_judge)
        gan.of_generator.zero_grad()
        with torch.amp.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            second = generator_loss(gan.judge(fake))
        scaler.scale(second).backward()
        scaler.step(gan.of_generator)
        scaler.update()
        losses += [first.item(), second.item()]
    return losses, scaler


def test_gan_on_digits_equals_the_loop_by_hand():
    by_set, by_hand = Gan(), Gan()
    losses, _ = gan_by_set(by_set, 60)
    expected, _ = gan_by_hand(by_hand, 60)
    torch.testing.assert_close(losses, expected, rtol=0, atol=1e-6)
    assert expected[-2] != expected[0]
    assert_same(snapshot(by_set.generator), snapshot(by_hand.generator), 1e-5)


def test_gan_in_fp16_scales_as_grad_scaler():
    by_set, by_hand = Gan(), Gan()
    losses, joined = gan_by_set(by_set, 30, torch.float16)
    expected, scaler = gan_by_hand(by_hand, 30, torch.float16)
    state = joined.state_dict()["scaler"]
    assert state["scale"] == scaler.get_scale() < INITIAL_SCALE  # some steps overflowed, in both
    assert state["growth_steps"] == scaler.state_dict()["_growth_tracker"]
    torch.testing.assert_close(losses, expected, rtol=0, atol=2e-3)


class Interrupted(torch.optim.SGD):
    def step(self, closure=None):
        raise KeyboardInterrupt


def test_optimizer_that_fails_keeps_its_exception_and_says_who_stepped():
    module = conv_net()
    first = torch.optim.AdamW(module.stem.parameters())
    second = Interrupted([*module.body.parameters(), *module.fc.parameters()], 0.1)
    joined = lb.optimize({"model": (module, TRAIN)}, [first, second])
    joined.backward(nn.functional.cross_entropy(joined.forward("model", images()), labels()))
    before = snapshot(module)
    with pytest.raises(KeyboardInterrupt) as failure:
        joined.step()
    note = failure.value.__notes__[0]
    assert "[optimize] step 1 failed in optimizer 1" in note
    assert "Updated before it: optimizer 0 (torch.optim.AdamW). Not updated: none." in note
    moved = {name for name, tensor in snapshot(module).items() if not torch.equal(tensor, before[name])}
    assert moved and all(name.startswith("stem.") for name in moved)

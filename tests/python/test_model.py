"""lb.Model and lb.capture: an nn.Module like any other, on the original's own tensors."""

import collections
import copy
import io
import os
import pickle
import signal
import threading
import time

import pytest
import torch
from torch import nn

import limbeck as lb
from nets import ConvNet, assert_same, conv_net, images, labels, snapshot

Heads = collections.namedtuple("Heads", "logits auxiliary")


class Tree(nn.Module):
    """Returns a named tuple in train mode and a dict in eval mode."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x, scale=None):
        x = x if scale is None else x * scale
        return Heads(self.a(x), self.b(x)) if self.training else {"out": self.a(x), "pair": (x, [self.b(x)])}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


@pytest.fixture(scope="module")
def captured():
    module = conv_net()
    return module, lb.capture(module, images())


@pytest.fixture
def net():
    module = conv_net()
    return module, lb.capture(module, images())


def gradients(module):
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters()}


# --- capture ---------------------------------------------------------------------------------------------------------


def test_capture_shares_parameters_and_buffers(captured):
    module, model = captured
    assert isinstance(model, nn.Module) and isinstance(model, lb.Model)
    theirs, ours = dict(module.named_parameters()), dict(model.named_parameters())
    assert list(theirs) == list(ours)
    assert all(theirs[name] is ours[name] for name in theirs)
    assert all(dict(model.named_buffers())[name] is buffer for name, buffer in module.named_buffers())


def test_capture_leaves_the_module_as_it_was():
    module = conv_net().train()
    module.stem[1].eval()
    before, flags = snapshot(module), [child.training for child in module.modules()]
    generator = torch.get_rng_state()
    model = lb.capture(module, images())
    assert_same(snapshot(module), before)
    assert [child.training for child in module.modules()] == flags
    assert torch.equal(torch.get_rng_state(), generator)
    assert model.training and not model.get_submodule("stem.1").training
    assert not any(child._forward_hooks for child in module.modules())


def test_batch_is_free_from_an_example_of_one():
    module = conv_net().eval()
    model = lb.capture(module, images(1))
    for count in (1, 2, 7):
        assert torch.equal(model(images(count)), module(images(count)))


def test_fixed_batch_refuses_others():
    model = lb.capture(conv_net().eval(), images(3), dynamic_batch=False)
    model(images(3))
    with pytest.raises(ValueError, match="must be 3 on axis 0, got 4"):
        model(images(4))


def test_capture_says_what_it_takes():
    with pytest.raises(ValueError, match="takes a torch.nn.Module that is no limbeck.Model yet, got int"):
        lb.capture(3, images())
    with pytest.raises(ValueError, match="must have a tensor whose axis 0 is the batch"):
        lb.capture(conv_net(), ())


# --- running ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_runs_with_eagers_bits(net, training):
    _, model = net
    twin = conv_net().train(training)
    model.train(training)
    for module in (twin, model):
        nn.functional.cross_entropy(module(images()), labels()).backward()
    assert torch.equal(model(images()), twin(images()))
    assert_same(gradients(model), gradients(twin))
    assert_same(snapshot(model), snapshot(twin))  # running statistics too


def test_training_the_model_trains_the_module(net):
    module, model = net
    before = snapshot(module)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    nn.functional.cross_entropy(model.train()(images()), labels()).backward()
    optimizer.step()
    after = snapshot(module)
    assert all(not torch.equal(after[name], before[name]) for name in before)


def test_outputs_have_the_modes_own_tree():
    module = Tree().train()
    model = lb.capture(module, {"x": torch.randn(3, 4), "scale": torch.randn(3, 4)})
    x, scale = torch.randn(5, 4), torch.randn(5, 4)
    train = model(x, scale=scale)
    assert isinstance(train, Heads) and torch.equal(train.auxiliary, module(x, scale).auxiliary)
    model.eval(), module.eval()
    out, expected = model(x=x, scale=scale), module(x, scale)
    assert set(out) == {"out", "pair"} and isinstance(out["pair"], tuple) and isinstance(out["pair"][1], list)
    assert torch.equal(out["pair"][1][0], expected["pair"][1][0])


class Mixed(nn.Module):
    """Returns numbers, flags and nothing beside tensors."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        y = self.fc(x)
        return {"y": y, "count": x.shape[0], "width": y.shape[1], "pair": [0.5, None], "is_train": self.training}


@pytest.mark.parametrize("training", [True, False])
def test_numbers_and_none_come_back_as_eagers(training):
    module = Mixed().train(training)
    model = lb.capture(module, torch.randn(3, 4))
    joined = lb.optimize({"model": (model, lb.frozen_train() if training else lb.Role.eval)})
    x = torch.randn(5, 4)
    expected = module(x)
    for actual in (model(x), joined.forward("model", x)):
        assert torch.equal(actual.pop("y"), expected["y"])
        rest = {key: value for key, value in expected.items() if key != "y"}
        assert actual == rest and repr(actual) == repr(rest)  # repr: 5, not 5.0; True, not 1


def test_texts_among_outputs_are_refused():
    class Named(nn.Module):
        def forward(self, x):
            return x + 1, "some text"

    with pytest.raises(NotImplementedError, match="output '1' is a text"):
        lb.capture(Named(), torch.randn(3, 4))


def test_wrong_inputs_say_what_is_expected(captured):
    _, model = captured
    with pytest.raises(ValueError, match=r"the model takes 1 input"):
        model(images(), images())
    with pytest.raises(ValueError, match=r"must have elements of type Float, got Double"):
        model(images().double())
    with pytest.raises(ValueError, match=r"must be a tensor, got int"):
        model(3)


def test_taps_come_with_gradients(net):
    _, model = net
    output, taps = model.eval()(images(), taps=["stem", "body"])
    assert output.shape == (6, 4) and taps["stem"].shape == (6, 8, 8, 8)
    lb.feature_mse(taps["stem"], torch.zeros_like(taps["stem"])).backward()
    assert model.get_parameter("stem.0.weight").grad.abs().sum() > 0
    assert model.get_parameter("fc.weight").grad is None
    with pytest.raises(ValueError, match="steem.*Nearest.*stem"):
        model(images(), taps=["steem"])


def test_modes_by_scope(net):
    _, model = net
    twin = conv_net().train()
    twin.body.eval()
    model.train()
    model.get_submodule("body").eval()
    assert torch.equal(model(images()), twin(images()))
    assert_same(snapshot(model), snapshot(twin))
    model.train()
    twin.train()
    assert torch.equal(model(images()), twin(images()))


def test_a_scope_cannot_run_alone(captured):
    with pytest.raises(NotImplementedError, match=r"taps=\['stem'\]"):
        captured[1].get_submodule("stem")(images())


def test_follows_autocast_and_no_grad(captured):
    _, model = captured
    model.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        output = model(images())
    assert output.dtype == torch.bfloat16 and not output.requires_grad


# --- as a module -----------------------------------------------------------------------------------------------------


def test_state_dict_loads_into_the_class(net):
    module, model = net
    twin = conv_net(seed=5)
    assert list(model.state_dict()) and set(model.state_dict()) == set(twin.state_dict())
    twin.load_state_dict(model.state_dict(), strict=True)
    assert_same(snapshot(twin), snapshot(module))
    model.load_state_dict(conv_net(seed=7).state_dict(), strict=True)
    assert_same(snapshot(module), snapshot(conv_net(seed=7)))


def test_optimizer_state_of_the_class_fits_by_order():
    """torch.optim's dictionaries know parameters by their number."""
    module = Tree()
    model = lb.capture(module, torch.randn(3, 4))
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in module.named_parameters()]


def test_replaced_tensors_count(net):
    _, model = net
    fresh = nn.Parameter(torch.zeros_like(model.get_parameter("fc.weight")))
    model.fc.weight = fresh
    model.fc.bias = nn.Parameter(torch.ones(4))
    assert torch.equal(model.eval()(images()), torch.ones(6, 4))


def test_tied_weights_stay_tied():
    module = Tied()
    model = lb.capture(module, torch.randn(3, 4))
    assert model.first.weight is model.second.weight is module.first.weight
    assert len(list(model.parameters())) == 3
    copied = copy.deepcopy(model)
    assert copied.first.weight is copied.second.weight is not model.first.weight
    x = torch.randn(3, 4)
    assert torch.equal(copied(x), module(x))


def test_replace_head(net):
    module, model = net
    old = snapshot(model)
    model.train()
    model.body.eval()
    assert model.replace_head("fc", classes=9, seed=3)(images()).shape == (6, 9)
    for name, tensor in old.items():
        if not name.startswith("fc") and "running" not in name and "num_batches" not in name:
            assert torch.equal(model.state_dict()[name], tensor)
    assert model.training and not model.body.training
    assert dict(model.named_parameters())["stem.0.weight"] is module.stem[0].weight
    with pytest.raises(ValueError, match="Candidates: fc"):
        model.replace_head("stem", classes=3)


def test_freeze(net):
    _, model = net
    assert model.freeze("^stem") == 3
    assert [p.requires_grad for n, p in model.named_parameters() if n.startswith("stem")] == [False] * 3
    with pytest.raises(ValueError, match="no parameter matches"):
        model.freeze("^nothing")


@pytest.mark.parametrize("make", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_independent(net, make):
    _, model = net
    model.train()
    model.body.eval()
    model.freeze("^stem")
    twin = make(model)
    assert_same(snapshot(twin), snapshot(model))
    assert [c.training for c in twin.modules()] == [c.training for c in model.modules()]
    assert [p.requires_grad for p in twin.parameters()] == [p.requires_grad for p in model.parameters()]
    with torch.no_grad():
        twin.fc.bias.add_(1)
    assert not torch.equal(twin.fc.bias, model.fc.bias)
    torch.testing.assert_close(twin.eval()(images()), model.eval()(images()) + 1)


def test_save_and_load(net, tmp_path):
    module, model = net
    lb.save(model, tmp_path / "model.lmb")
    loaded = lb.load(tmp_path / "model.lmb")
    assert not loaded.training
    assert torch.equal(loaded(images()), module.eval()(images()))
    assert all(isinstance(parameter, nn.Parameter) for parameter in loaded.parameters())
    ConvNet().load_state_dict(loaded.state_dict(), strict=True)
    stream = io.BytesIO()
    torch.save(loaded.state_dict(), stream)


def test_moves_and_converts(net):
    module, model = net
    weight = model.get_parameter("stem.0.weight")
    assert model.eval().double()(images().double()).dtype == torch.float64
    assert model.get_parameter("stem.0.weight") is weight is module.stem[0].weight
    torch.testing.assert_close(model(images().double()), module.eval()(images().double()))
    model.float().to(memory_format=torch.channels_last)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    x = images().to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x), module(x))
    assert model.bfloat16()(images().bfloat16()).dtype == torch.bfloat16


def test_zoo_model_is_a_module():
    model = lb.load("resnet18?classes=3", seed=1)
    assert model(torch.randn(2, 3, 224, 224)).shape == (2, 3)
    assert "fc.weight" in dict(model.named_parameters())


def test_works_in_a_users_loop():
    """DataLoader, scheduler, GradScaler, autocast: the usual loop, and the loss goes down."""
    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(images(48), (images(48).mean((1, 2, 3)) > 0).long())
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
    model = lb.capture(conv_net(classes=2), images()).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    scaler = torch.amp.GradScaler("cpu")
    losses = []
    for _ in range(10):
        for x, y in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = lb.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        scheduler.step()
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])


# --- threads and interrupts ---------------------------------------------------------------------------------------


def big_net():
    return nn.Sequential(*[nn.Linear(1500, 1500) for _ in range(4)])


def long_forward(_folder):
    model, inputs = lb.capture(big_net(), torch.randn(2, 1500)), [("", torch.randn(600, 1500))]
    return lambda: model._core.forward(inputs, [], False)


def long_backward(_folder):
    module = big_net()
    joined = lb.optimize({"model": (module, lb.Role.train)}, [torch.optim.SGD(module.parameters(), 0.1)])
    loss = joined.forward("model", torch.randn(600, 1500)).sum()
    return lambda: joined._core.backward(loss, True)


def long_step(_folder):
    parameters, gradients, averages, squares = ([torch.ones(1_000_000) for _ in range(8)] for _ in range(4))
    counts, rule = [torch.tensor(0.0) for _ in range(8)], lb.optim._core.AdamRule()
    return lambda: lb.optim._core.adam_step(parameters, gradients, averages, squares, [None] * 8, counts, rule)


def long_capture(folder):
    lb.export_pair(big_net(), (torch.randn(2, 1500),), folder / "pair.pt2")
    return lambda: lb.capturing._core.capture(str(folder / "pair.pt2"), True)


def long_save(folder):
    model = lb.capture(big_net(), torch.randn(2, 1500))
    return lambda: model._core.save(str(folder / "model.lmb"))


@pytest.mark.parametrize("prepare", [long_forward, long_backward, long_step, long_capture, long_save])
def test_releases_the_lock_while_it_computes(prepare, tmp_path):
    """Another thread counts on while one long call of the extension runs."""
    call, counts, done = prepare(tmp_path), [], threading.Event()

    def count():
        while not done.is_set():
            counts.append(time.perf_counter())
            time.sleep(0.0005)

    call()
    thread = threading.Thread(target=count)
    thread.start()
    start, progress = time.perf_counter(), 0
    while progress < 3 and time.perf_counter() - start < 3:
        begin = time.perf_counter()
        call()
        end = time.perf_counter()
        progress = sum(begin < moment < end for moment in counts)
    done.set()
    thread.join()
    assert progress >= 3


def test_ctrl_c_ends_a_capture():
    class Slow(ConvNet):
        def forward(self, x):
            time.sleep(20)
            return super().forward(x)

    module = Slow().train()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        lb.capture(module, images())
    assert time.perf_counter() - start < 15 and module.training

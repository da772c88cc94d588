"""lb.capture: what it frees beside the batch, and what it says of modules and examples that it can't take."""

import pytest
import torch
from torch import nn
from torch.export import Dim

import limbeck as lb
from foreign import bert, sentences
from nets import ConvNet, assert_same, conv_net, images, snapshot


# --- free sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_sentences_of_any_length(training, tmp_path):
    length = Dim("length", min=2, max=32)
    module = bert().train(training)
    free = {"input_ids": {1: length}, "attention_mask": {1: length}}
    captured = lb.capture(module, sentences(2, 7), dynamic_shapes=free)
    lb.save(captured, tmp_path / "model.lmb")
    for model in (captured, lb.load(tmp_path / "model.lmb").train(training)):
        for count, size in ((1, 3), (4, 7), (3, 32)):
            inputs = sentences(count, size, seed=size)
            torch.manual_seed(1)
            expected = module(**inputs).logits
            torch.manual_seed(1)
            assert torch.equal(model(**inputs)["logits"], expected)
    with pytest.raises(ValueError, match=r"axis 1 of input 'input_ids' .* must lie in \[2, 32\], got 33"):
        captured(**sentences(2, 33))


def test_images_of_any_size():
    """A fully convolutional net, by position, trained at one size and run at another, with fused batch norms too."""
    module = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                           nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 1)).eval()
    model = lb.capture(module, images(), dynamic_shapes=({2: 2 * Dim("rows", min=2), 3: 2 * Dim("columns", min=2)},))
    for height, width in ((8, 8), (12, 20)):
        x = torch.randn(3, 3, height, width)
        assert torch.equal(model(x), module(x)) and model(x).shape == (3, 4, height, width)
    for height, width, rule in ((9, 8, r"must be 2\*s\d+ for a whole number .* on axis 2, got 9"), (8, 2, "must lie in")):
        with pytest.raises(ValueError, match=rule):
            model(torch.randn(3, 3, height, width))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    fused, optimizer = lb.optimize(model.train(), optimizer=optimizer)
    x = torch.randn(2, 3, 16, 10)
    fused(x).mean().backward()
    optimizer.step()
    module.train()
    torch.testing.assert_close(model(x), module(x))


def test_a_size_alone_is_free_where_the_batch_is_fixed():
    model = lb.capture(nn.Linear(4, 2), torch.randn(3, 5, 4), dynamic_batch=False, dynamic_shapes=({1: Dim("rows")},))
    assert model(torch.randn(3, 9, 4)).shape == (3, 9, 2)
    with pytest.raises(ValueError, match="must be 3 on axis 0, got 4"):
        model(torch.randn(4, 9, 4))


LENGTH = Dim("length", max=32)


@pytest.mark.parametrize("ids, mask", [((None, LENGTH), {0: None, 1: LENGTH}),
                                       ({0: Dim("batch"), 1: LENGTH}, {1: LENGTH})])
def test_the_batch_stays_free_however_it_is_given(ids, mask):
    module = bert().eval()
    model = lb.capture(module, sentences(2, 7), dynamic_shapes={"input_ids": ids, "attention_mask": mask})
    inputs = sentences(5, 9)
    assert torch.equal(model(**inputs)["logits"], module(**inputs).logits)


def test_a_size_that_the_module_fixes_is_refused():
    with pytest.raises(NotImplementedError, match=r"(?s)can't make a graph of Linear: .*out of dynamic_shapes="):
        lb.capture(nn.Linear(4, 2), torch.randn(3, 5, 4), dynamic_shapes=({2: Dim("features")},))


def test_dynamic_shapes_of_nothing_that_is_there():
    with pytest.raises(ValueError, match="argument 'inputs', which the example does not have. Nearest: input"):
        lb.capture(nn.Linear(4, 2), torch.randn(3, 4), dynamic_shapes={"inputs": {1: Dim("features")}})
    with pytest.raises(ValueError, match="dynamic_shapes must be .*, got int"):
        lb.capture(nn.Linear(4, 2), torch.randn(3, 4), dynamic_shapes=3)
    with pytest.raises(ValueError, match=r"one entry for each argument of the example \(input\), got 2"):
        lb.capture(nn.Linear(4, 2), torch.randn(3, 5, 4), dynamic_shapes=(None, {1: Dim("rows")}))


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_wrong_example_is_said_in_the_modules_words():
    module = conv_net().train()
    before = snapshot(module)
    with pytest.raises(ValueError, match=r"ConvNet itself raises RuntimeError on the example \(float32 \[2, 5, 8, 8\]\) in "
                                         "train mode: .*expected input.* to have 3 channels") as raised:
        lb.capture(module, torch.randn(2, 5, 8, 8))
    assert "\n" not in str(raised.value) and type(raised.value.__cause__) is RuntimeError
    assert_same(snapshot(module), before)
    assert module.training


class PicksByMode(ConvNet):
    def forward(self, x):
        y = super().forward(x)
        return y if self.training else y.reshape(len(x), 3)


def test_a_module_that_fails_in_one_mode_alone():
    module = PicksByMode().train()
    before, state = snapshot(module), torch.get_rng_state()
    with pytest.raises(ValueError, match="PicksByMode itself raises RuntimeError on the example .* in eval mode"):
        lb.capture(module, images())
    assert_same(snapshot(module), before)  # the run in train mode that came first left no statistics
    assert module.training and torch.equal(torch.get_rng_state(), state)


def test_an_example_of_other_arguments():
    with pytest.raises(ValueError, match=r"does not fit ConvNet.forward\(x\): too many positional arguments"):
        lb.capture(conv_net(), (images(), images()))
    with pytest.raises(ValueError, match="does not fit ConvNet.forward"):
        lb.capture(conv_net(), {"y": images()})


class Decides(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class LeavesTorch(nn.Module):
    def forward(self, x):
        return torch.from_numpy(x.detach().numpy() + 1)


@pytest.mark.parametrize("module", [Decides(), LeavesTorch()])
def test_a_module_that_cannot_be_traced(module):
    with pytest.raises(NotImplementedError) as raised:
        lb.capture(module, torch.randn(3, 4))
    first = str(raised.value).splitlines()[0]
    assert f"[capture] torch.export can't make a graph of {type(module).__name__}: " in first
    assert "lb.optimize without sample_input= takes any module" in first
    assert raised.value.__cause__ is not None and str(raised.value.__cause__) in str(raised.value)


class WritesAndDecides(nn.Module):
    """Can't be traced, and writes to its input and in both modes to a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.calls += 1
        return x if x.mul_(2).sum() > 0 else -x


@pytest.mark.parametrize("training", [True, False])
def test_a_refusal_leaves_buffers_and_example_as_they_were(training):
    module, x = WritesAndDecides().train(training), torch.randn(3, 4)
    before, calls = x.clone(), module.calls
    with pytest.raises(NotImplementedError, match="can't make a graph of WritesAndDecides"):
        lb.capture(module, x)
    assert module.calls is calls and calls == 0 and torch.equal(x, before) and module.training == training


class NeedsGradients(nn.Linear):
    """Can't be traced, and runs where autograd records alone."""

    def forward(self, x):
        slope, = torch.autograd.grad(super().forward(x).square().sum(), self.weight)
        return x @ slope.T if slope.sum() > 0 else x


def test_a_module_that_needs_gradients_is_not_said_to_fail():
    with pytest.raises(NotImplementedError, match="can't make a graph of NeedsGradients"):
        lb.capture(NeedsGradients(4, 4), torch.randn(3, 4))


class FixedBatch(nn.Module):
    def forward(self, x):
        return x.reshape(3, 4) * 2


def test_a_batch_that_the_module_fixes_is_a_warning():
    with pytest.warns(UserWarning, match="the eval export has its batch fixed at 3, because"):
        model = lb.capture(FixedBatch(), torch.randn(3, 4))
    assert model(torch.randn(3, 4)).shape == (3, 4)


@pytest.mark.parametrize("call", [lambda: lb.capture(FixedBatch(), torch.randn(3, 4)),
                                  lambda: lb.export_pair(FixedBatch(), (torch.randn(3, 4),)),
                                  lambda: lb.profile(FixedBatch(), torch.randn(3, 4))])
def test_a_warning_of_capture_names_the_users_line(call):
    with pytest.warns(UserWarning, match="has its batch fixed") as warned:
        call()
    lines = {(one.filename, one.lineno) for one in warned if "limbeck:" in str(one.message)}
    assert lines == {(__file__, call.__code__.co_firstlineno)}


# --- models of other libraries ---------------------------------------------------------------------------------------


def test_a_language_model_trains_as_eagers(tmp_path):
    """Token inputs by name, an output of the library's own class, dropout, one step of the fused optimizer."""
    module, twin, inputs, classes = bert().train(), bert().train(), sentences(4, 9), torch.tensor([0, 2, 1, 2])
    optimizers = [torch.optim.AdamW(net.parameters(), 1e-2) for net in (module, twin)]
    model, optimizers[0] = lb.optimize(module, optimizer=optimizers[0], sample_input=sentences(2, 9))
    for net, optimizer in zip((model, twin), optimizers):
        torch.manual_seed(3)
        nn.functional.cross_entropy(net(**inputs)["logits"], classes).backward()
        optimizer.step()
    for (name, ours), theirs in zip(module.named_parameters(), twin.parameters()):
        assert torch.equal(ours.grad, theirs.grad), name
    assert_same(snapshot(module), snapshot(twin), 1e-6)
    lb.save(model, tmp_path / "model.lmb")
    twin.load_state_dict(lb.load(tmp_path / "model.lmb").state_dict(), strict=True)
    assert_same(snapshot(twin), snapshot(module))

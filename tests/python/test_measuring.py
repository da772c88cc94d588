"""lb.evaluate, lb.profile, lb.compare_latency and the losses."""

import _thread
import threading
import time

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

import limbeck as lb
from nets import batches, conv_net, images, labels


def counted_by_hand(module, data):
    module.eval()
    with torch.no_grad():
        return sum((module(x).argmax(1) == y).sum().item() for x, y in data), sum(len(y) for _, y in data)


@pytest.mark.parametrize("capture", [False, True])
def test_evaluate_counts_as_by_hand(capture):
    module, data = conv_net(), batches(3)
    right, all_of_them = counted_by_hand(conv_net(), data)
    model = lb.capture(module, images()) if capture else module
    model.train()
    model.body.eval()
    seen = []
    result = lb.evaluate(model, data, on_progress=seen.append)
    assert (result.samples, result.top1) == (all_of_them, right / all_of_them)
    assert result.confusion.sum() == all_of_them and result.confusion.diagonal().sum() == right
    assert result.top1_interval[0] < result.top1 < result.top1_interval[1]
    assert seen == [6, 12, 18] and "top-1" in str(result)
    assert model.training and not model.body.training  # modes as they were


def test_evaluate_takes_a_loader_and_a_dictionary():
    class InDict(nn.Module):
        def forward(self, x):
            return {"features": x, "logits": x.mean((2, 3))}

    data = torch.utils.data.TensorDataset(images(10), labels(10, classes=3))
    assert lb.evaluate(InDict(), torch.utils.data.DataLoader(data, batch_size=4)).samples == 10


@pytest.mark.parametrize("form", [dict, tuple])
def test_evaluate_takes_the_output_that_is_chosen(form):
    class Several(nn.Module):
        def forward(self, x):
            outputs = {"features": x.flatten(1)[:, :9], "main": torch.nn.functional.one_hot(torch.arange(len(x)) % 3, 3) * 1.0}
            return outputs if form is dict else tuple(outputs.values())

    data = [(images(6), torch.arange(6) % 3)]
    assert lb.evaluate(Several(), data, output="main" if form is dict else 1).top1 == 1
    with pytest.warns(UserWarning, match="'features' is taken for the logits, not 'main'" if form is dict else "0 is taken .* not 1"):
        assert lb.evaluate(Several(), data).top1 < 1
    with pytest.raises(ValueError, match="there is no output 'mian'. There are: "):
        lb.evaluate(Several(), data, output="mian")
    with pytest.raises(ValueError, match="returns one Tensor, leave it out"):
        lb.evaluate(conv_net(), [(images(), labels())], output="main")


def test_evaluate_says_what_is_wrong():
    with pytest.raises(ValueError, match="must be a pair"):
        lb.evaluate(conv_net(), [images()])
    with pytest.raises(ValueError, match="gave no batch"):
        lb.evaluate(conv_net(), [])
    with pytest.raises(ValueError, match="label"):
        lb.evaluate(conv_net(), [(images(), labels() + 100)])


def test_ctrl_c_ends_an_evaluation():
    class Slow:
        def __iter__(self):
            while True:
                time.sleep(0.01)
                yield images(), labels()

    module = conv_net().train()
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        lb.evaluate(module, Slow())
    assert time.perf_counter() - start < 10 and module.training


def test_profile_counts():
    profile = lb.profile(conv_net(), images())
    assert profile.parameters == sum(p.numel() for p in conv_net().parameters())
    assert profile.macs == 64 * (8 * 27 + 8 * 72) + 8 * 4 and profile.is_per_sample
    assert {scope for scope, *_ in profile.scopes} >= {"", "stem", "body", "fc"}
    assert "multiply-adds for one sample" in str(profile)
    with pytest.raises(ValueError, match="needs an example"):
        lb.profile(conv_net())


def test_compare_latency_takes_turns():
    called = []
    result = lb.compare_latency({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, warmup=1, rounds=4,
                                items_per_call=2)
    assert called == list("ab" "ab" "ba" "ab" "ba")
    assert result["a"].calls == 4 and result["a"].min_ms <= result["a"].p50_ms <= result["a"].max_ms
    assert "p50" in str(result["b"])


def test_losses_equal_pytorchs():
    torch.manual_seed(0)
    s, t, y = torch.randn(5, 7, requires_grad=True), torch.randn(5, 7), torch.randint(7, (5,))
    torch.testing.assert_close(lb.cross_entropy(s, y, label_smoothing=0.1),
                               nn.functional.cross_entropy(s, y, label_smoothing=0.1))
    soft = nn.functional.kl_div((s / 3).log_softmax(1), (t / 3).softmax(1), reduction="batchmean") * 9
    expected = 0.6 * soft + 0.4 * nn.functional.cross_entropy(s, y)
    loss = lb.kd(s, t, y, temperature=3, alpha=0.6)
    torch.testing.assert_close(loss, expected)
    ours, = torch.autograd.grad(loss, s)
    theirs, = torch.autograd.grad(expected, s)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(lb.feature_mse(s, t), nn.functional.mse_loss(s, t))
    with pytest.raises(ValueError):
        lb.kd(s, t[:, :3], y)


@pytest.mark.parametrize("wrong", [4, -1])
def test_a_label_that_is_no_class_is_named(wrong):
    x, y, teacher = images(), labels(), torch.randn(6, 4)
    y[3] = wrong
    logits = torch.randn(6, 4)
    for call in (lambda: lb.cross_entropy(logits, y), lambda: lb.kd(logits, teacher, y)):
        with pytest.raises(ValueError, match=rf"must lie in 0..3, .* row 3 of the batch has the label {wrong}\."):
            call()
    with pytest.raises(ValueError, match=rf"the label of sample 9 must lie in 0..3, of 4 classes, got {wrong}"):
        lb.evaluate(conv_net(), [(x, labels()), (x, y)])  # counted over the loader, not the batch


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_losses_can_be_traced(mode):
    def both(s, t, y):
        return lb.cross_entropy(s, y) + lb.kd(s, t, y, temperature=2, alpha=0.5)

    given = torch.randn(6, 4), torch.randn(6, 4), torch.randint(4, (6,))
    traced = make_fx(both, tracing_mode=mode)(*given)
    torch.testing.assert_close(traced(*given), both(*given))
    other = torch.randn(9, 4), torch.randn(9, 4), torch.randint(4, (9,))
    if mode == "symbolic":
        torch.testing.assert_close(traced(*other), both(*other))  # the batch size is no constant of the trace


def test_losses_under_vmap():
    logits, y = torch.randn(3, 6, 4), torch.randint(4, (3, 6))
    losses = torch.vmap(lb.cross_entropy)(logits, y)
    torch.testing.assert_close(losses, torch.stack([lb.cross_entropy(s, c) for s, c in zip(logits, y)]))


def test_a_module_with_its_loss_can_be_captured():
    class WithLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = conv_net()

        def forward(self, x, y):
            return lb.cross_entropy(self.net(x), y)

    module = WithLoss().eval()
    batch = torch.export.Dim("batch")
    captured = lb.capture(module, (images(), labels()), dynamic_shapes={"x": {0: batch}, "y": {0: batch}}).eval()
    for x, y in ((images(), labels()), (images()[:4], labels()[:4])):
        torch.testing.assert_close(captured(x, y), module(x, y))


def test_labels_may_be_strided_or_ignored():
    logits, y = torch.randn(6, 4), torch.randint(4, (12,))[::2]
    assert torch.equal(lb.cross_entropy(logits, y), nn.functional.cross_entropy(logits, y))
    y[1] = -100
    assert torch.equal(lb.cross_entropy(logits, y), nn.functional.cross_entropy(logits, y))


def test_distillation_without_labels():
    student, teacher = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4)
    loss = lb.kd(student, teacher, temperature=2, alpha=1)
    expected = 4 * nn.functional.kl_div((student / 2).log_softmax(1), (teacher / 2).softmax(1), reduction="batchmean")
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert student.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="without labels alpha must be 1, .* got 0.7"):
        lb.kd(student, teacher)

"""lb.fit on real digits: what it learns, what hooks see, how it ends and goes on."""

import json
import os
import signal
import threading
import time

import pytest
import torch
from digits import digits, module, net, split, write_npy_folder
from torch import nn

import limbeck as lb

ADAMW = {"kind": "adamw", "lr": 3e-3}
NORMALIZE = lb.data.normalize([0.3], [0.35])


def loader(part=0, batch_size=100, **options):
    options.setdefault("transforms", [NORMALIZE])
    images, labels = split()[part]
    return lb.data.Loader(torch.utils.data.TensorDataset(images, labels), batch_size, classes=10, **options)


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_trains_a_module_of_pytorch():
    net_of_torch = module()
    before = state(net_of_torch)
    result = lb.fit(net_of_torch, *split(), epochs=4, batch_size=64, optimizer=ADAMW)
    assert result.completed and result.steps == 4 * 22 and result.resumed_at_step == 0
    assert [epoch.epoch for epoch in result.epochs] == [0, 1, 2, 3]
    assert result.epochs[-1].val_accuracy > 0.85 and result.epochs[-1].loss < result.epochs[0].loss
    # What was trained are the module's own parameters and buffers.
    for name, tensor in net_of_torch.state_dict().items():
        assert not torch.equal(tensor, before[name]), name
    assert net_of_torch.training and all(parameter.requires_grad for parameter in net_of_torch.parameters())
    x = split()[1][0] / 255
    torch.testing.assert_close(net_of_torch.eval()(x), result.model.eval()(x))
    assert lb.evaluate(net_of_torch, [(x, split()[1][1])]).top1 == pytest.approx(result.epochs[-1].val_accuracy)
    assert "epoch 4: loss 0." in str(result)


def test_equals_a_loop_of_ones_own():
    model, losses = net(), []
    lb.fit(model, loader(shuffle=True, seed=3), epochs=2, fusion="none", memory_format="contiguous",
           optimizer={"kind": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}, schedule="constant",
           on_step=lambda step: losses.append(step.loss))
    own = module()
    optimizer = torch.optim.SGD(own.parameters(), 0.05, momentum=0.9, weight_decay=1e-3)
    batches, expected = loader(shuffle=True, seed=3), []
    for _ in range(2):
        for x, y in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(own(x), y)
            loss.backward()
            optimizer.step()
            expected.append(loss.item())
    assert len(losses) == len(expected) == 28
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-6, atol=1e-6)
    for name, tensor in own.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)


class Recorder:
    """A hook of both kinds."""

    def __init__(self, stop_at=None):
        self.steps, self.epochs, self.stop_at = [], [], stop_at

    def on_step(self, step):
        self.steps.append(step)
        return lb.STOP if step.step == self.stop_at else None

    def on_epoch(self, epoch):
        self.epochs.append(epoch)
        return True  # nothing but lb.STOP stops


def test_hooks_see_steps_and_epochs():
    recorder, rates = Recorder(), []
    result = lb.fit(net(), loader(), loader(1), epochs=2, optimizer=ADAMW, hooks=recorder,
                    on_step=lambda step: rates.append(step.lr))
    assert [step.step for step in recorder.steps] == list(range(1, 29))
    assert [step.epoch for step in recorder.steps] == [0] * 14 + [1] * 14
    assert rates == [step.lr for step in recorder.steps] and rates[0] == 3e-3 and rates[-1] == 0  # cosine
    assert all(step.samples == 100 and step.grad_norm > 0 and not step.is_skipped for step in recorder.steps)
    assert recorder.epochs == result.epochs
    mean = sum(step.loss for step in recorder.steps[14:]) / 14
    assert abs(mean - result.epochs[1].loss) < 1e-6


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path):
    call = {"epochs": 2, "optimizer": ADAMW, "ema": {"decay": 0.9}, "seed": 5}
    data = {"shuffle": True, "transforms": [lb.data.random_crop(padding=1), NORMALIZE]}
    unbroken = net()
    whole = lb.fit(unbroken, loader(**data), loader(1), **call)
    broken, recorder = net(), Recorder(stop_at=17)
    first = lb.fit(broken, loader(**data), loader(1), folder=tmp_path, hooks=recorder, **call)
    assert not first.completed and first.steps == 17 and len(recorder.steps) == 17
    other = net(seed=9)  # its weights come from the checkpoint
    second = lb.fit(other, loader(**data), loader(1), folder=tmp_path, **call)
    assert second.completed and second.resumed_at_step == 17 and second.steps == whole.steps == 28
    assert_equal(state(other), state(unbroken))
    assert_equal(state(second.model), state(whole.model))  # the averaged weights
    assert not torch.equal(second.model.state_dict()["0.weight"], other.state_dict()["0.weight"])
    assert [epoch._replace(seconds=0) for epoch in second.epochs] == [e._replace(seconds=0) for e in whole.epochs]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["epoch", "epoch"]
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        lb.fit(net(), loader(**data), loader(1), folder=tmp_path, **{**call, "epochs": 3})


def test_more_epochs_from_another_runs_folder_bit_for_bit(tmp_path):
    call = {"optimizer": ADAMW, "schedule": "constant", "keep": "best", "seed": 5}
    data = {"shuffle": True, "transforms": [lb.data.random_crop(padding=1), NORMALIZE]}
    unbroken, first, second = net(), tmp_path / "first", tmp_path / "second"
    whole = lb.fit(unbroken, loader(**data), loader(1), epochs=3, **call)
    lb.fit(net(), loader(**data), loader(1), epochs=2, folder=first, **call)
    kept = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    more = {"epochs": 3, "resume_from": first, **call}
    alone = net(seed=9)  # its weights come from the checkpoint
    result = lb.fit(alone, loader(**data), loader(1), **more)
    assert (result.resumed_at_step, result.steps, result.best_epoch) == (28, 42, whole.best_epoch)
    assert_equal(state(alone), state(unbroken))
    assert_equal(state(result.model), state(whole.model))  # the best epoch's weights, whichever run had it
    assert [epoch._replace(seconds=0) for epoch in result.epochs] == [e._replace(seconds=0) for e in whole.epochs]
    stopped = lb.fit(net(seed=8), loader(**data), loader(1), folder=second, hooks=Recorder(stop_at=37), **more)
    assert not stopped.completed and stopped.resumed_at_step == 28
    other = net(seed=7)
    again = lb.fit(other, loader(**data), loader(1), folder=second, **more)
    assert again.completed and again.resumed_at_step == 37  # its own checkpoint comes first
    assert_equal(state(other), state(unbroken))
    assert_equal(state(again.model), state(whole.model))
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == kept


def test_what_cannot_be_resumed_from(tmp_path):
    lb.fit(net(), loader(), epochs=1, optimizer=ADAMW, folder=tmp_path, hooks=Recorder(stop_at=10))
    with pytest.raises(ValueError, match="stands at batch 10 of an epoch, and this data has 3: give the data and"):
        lb.fit(net(), loader(batch_size=500), epochs=1, optimizer=ADAMW, resume_from=tmp_path)
    lb.fit(net(), loader(), epochs=1, optimizer=ADAMW, folder=tmp_path)
    with pytest.raises(ValueError, match="has done 1 epochs, and epochs is 1: ask for more"):
        lb.fit(net(), loader(), epochs=1, optimizer=ADAMW, resume_from=tmp_path)
    with pytest.raises(OSError, match="no checkpoint to resume from in .*nothing"):
        lb.fit(net(), loader(), epochs=1, optimizer=ADAMW, resume_from=tmp_path / "nothing")


def test_the_folder_to_resume_from_may_be_spelled_otherwise(tmp_path, monkeypatch):
    call = {"optimizer": ADAMW, "schedule": "constant"}
    lb.fit(net(), loader(), epochs=1, folder=tmp_path / "first", **call)
    more = {"epochs": 2, "folder": tmp_path / "second", **call}
    monkeypatch.chdir(tmp_path)
    assert not lb.fit(net(), loader(), resume_from=tmp_path / "first", hooks=Recorder(stop_at=20), **more).completed
    for spelled in ("first", "./first/", "second/../first"):
        assert lb.fit(net(), loader(), resume_from=spelled, hooks=Recorder(stop_at=24), **more).resumed_at_step >= 20
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        lb.fit(net(), loader(), **more)


def test_an_epoch_of_another_length_is_refused(tmp_path):
    lb.fit(net(), loader(batch_size=50), epochs=1, optimizer=ADAMW, folder=tmp_path)
    more = {"epochs": 2, "optimizer": ADAMW, "resume_from": tmp_path}
    with pytest.raises(ValueError, match="has 28 batches and 28 steps, and one of this run 56 and 56: its schedule cannot"):
        lb.fit(net(), loader(batch_size=25), **more)
    with pytest.raises(ValueError, match="has 28 batches and 28 steps, and one of this run 28 and 14"):
        lb.fit(net(), loader(batch_size=50), accumulate=2, **more)
    halves = lb.fit(net(), loader(batch_size=25), accumulate=2, **more)  # as many steps, between two epochs
    assert halves.completed and (halves.resumed_at_step, halves.steps) == (28, 56)


def test_a_run_that_stopped_early_goes_on_with_more_patience_alone(tmp_path):
    call = {"optimizer": ADAMW, "schedule": "constant", "monitor": "loss"}
    stop = {"patience": 1, "min_delta": 100}
    first = lb.fit(net(), loader(), epochs=5, early_stop=stop, folder=tmp_path, **call)
    assert first.is_early_stop and first.steps == 28
    with pytest.raises(ValueError, match="has stopped early, after 2 epochs: its last 1 brought no better loss. To go on"):
        lb.fit(net(), loader(), epochs=6, early_stop=stop, resume_from=tmp_path, **call)
    assert lb.fit(net(), loader(), epochs=3, early_stop={**stop, "patience": 2}, resume_from=tmp_path, **call).steps == 42
    assert lb.fit(net(), loader(), epochs=3, resume_from=tmp_path, **call).steps == 42


def test_early_stop_and_plateau_need_what_they_go_by_of_earlier_epochs(tmp_path):
    lb.fit(net(), loader(), epochs=1, optimizer=ADAMW, folder=tmp_path)
    for options, name in (({"early_stop": {"patience": 3}}, "early_stop"), ({"schedule": "plateau"}, "the plateau schedule")):
        with pytest.raises(ValueError, match=f"{name} goes by val_accuracy, and the run of .* held out no samples: set"):
            lb.fit(net(), loader(), loader(1), epochs=2, optimizer=ADAMW, resume_from=tmp_path, **options)


@pytest.mark.parametrize("held_out", [True, False])
def test_keep_best_begins_where_the_earlier_run_kept_no_best(tmp_path, capfd, held_out):
    first, second = tmp_path / "first", tmp_path / "second"
    call = {"optimizer": ADAMW, "schedule": "constant"}
    lb.fit(net(), loader(), loader(1) if held_out else None, epochs=2, folder=first, **call)
    more = {"epochs": 3, "keep": "best", "folder": second, "resume_from": first, **call}
    capfd.readouterr()
    model = net()
    stopped = lb.fit(model, loader(), loader(1), hooks=Recorder(stop_at=30), **more)
    assert not stopped.completed
    assert "kept no weights of its best epoch by val_accuracy: keep: best begins after its 2" in capfd.readouterr().err
    result = lb.fit(model, loader(), loader(1), **more)  # it is known still
    assert result.best_epoch == 2 and len(result.epochs) == 3
    assert_equal(state(result.model), state(model))


def test_another_monitor_asks_for_weights_that_are_not_kept(tmp_path):
    call = {"optimizer": ADAMW, "schedule": "constant", "keep": "best"}
    first = lb.fit(net(), loader(), epochs=2, monitor="loss", folder=tmp_path, **call)
    assert first.best_epoch == 1
    # By a larger rate the loss grows and the earlier epoch stays the best.
    unlearned = {**call, "optimizer": {**ADAMW, "lr": 10.0}}
    assert lb.fit(net(), loader(), epochs=3, monitor="loss", resume_from=tmp_path, **unlearned).best_epoch == 1
    (tmp_path / "checkpoint" / "best" / "epoch-0002.lmb").rename(tmp_path / "checkpoint" / "best" / "epoch-0001.lmb")
    assert lb.fit(net(), loader(), epochs=3, monitor="loss", resume_from=tmp_path, **unlearned).best_epoch == 2


@pytest.mark.parametrize("options, error", [
    ({"optimizer": ADAMW}, "has done 1 epochs"),
    ({"epochs": 2, "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9}}, "belongs to no parameter of this optimizer"),
    ({"epochs": 2, "optimizer": ADAMW, "ema": {"decay": 0.9}}, "has no averaged weights"),
    ({"epochs": 2, "optimizer": ADAMW, "precision": "fp16"}, "of a run in another precision than fp16"),
])
def test_a_refused_resumption_leaves_the_model_alone(tmp_path, options, error):
    lb.fit(net(), loader(), epochs=1, optimizer=ADAMW, folder=tmp_path)
    model = net(seed=9)
    before, generator = state(model), torch.get_rng_state()
    with pytest.raises((ValueError, OSError), match=error):
        lb.fit(model, loader(), resume_from=tmp_path, **options)
    assert_equal(state(model), before)
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize("kind", ["on_step", "on_epoch"])
def test_what_a_hook_raises_comes_out_and_the_checkpoint_stands(tmp_path, kind):
    error = KeyError("mine")

    def hook(report):
        if report.epoch == 1:
            raise error

    call = {"epochs": 2, "optimizer": ADAMW, "folder": tmp_path}
    model = net()
    with pytest.raises(KeyError) as raised:
        lb.fit(model, loader(), **call, **{kind: hook})
    assert raised.value is error
    assert all(parameter.requires_grad for parameter in model.parameters())
    result = lb.fit(net(), loader(), **call)
    assert result.completed and result.resumed_at_step == 14


@pytest.fixture
def ctrl_c_interrupts():
    """As in a terminal; jobs in the background begin with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c_once(file):
    """As soon as the training has written an epoch there."""
    while not file.exists() or not file.stat().st_size:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_between_two_steps(tmp_path, ctrl_c_interrupts):
    write_npy_folder(tmp_path)
    data = lb.data.Loader(lb.data.open(f"npy:{tmp_path}"), 50, shuffle=True)
    call = {"epochs": 1_000, "optimizer": ADAMW, "folder": tmp_path / "run", "checkpoint_seconds": 1e6}
    model = net()
    threading.Thread(target=press_ctrl_c_once, args=(tmp_path / "run/metrics.jsonl",)).start()
    with pytest.raises(KeyboardInterrupt):
        lb.fit(model, data, **call)  # no Python code runs in it
    result = lb.fit(net(), data, **call, on_step=lambda step: lb.STOP)
    assert result.resumed_at_step > 0 and result.steps == result.resumed_at_step + 1


def test_other_threads_run_meanwhile(tmp_path):
    write_npy_folder(tmp_path)
    counted, done = 0, threading.Event()

    def count():
        nonlocal counted
        while not done.is_set():
            counted += 1

    thread = threading.Thread(target=count)
    begun = []
    thread.start()
    lb.fit(net(width=24), lb.data.Loader(lb.data.open(f"npy:{tmp_path}"), 1400), epochs=6,
           on_epoch=lambda epoch: begun.append(counted))
    done.set()
    thread.join()
    # Holding the lock would leave other threads nothing but the hooks' turns.
    assert begun[-1] - begun[0] > 10_000


def test_a_loss_of_python(tmp_path):
    built_in, own = net(), net()
    call = {"epochs": 1, "optimizer": ADAMW, "fusion": "none"}
    lb.fit(built_in, loader(), **call)
    shapes = set()

    def loss(logits, targets):
        shapes.add((tuple(logits.shape), targets.dtype))
        return nn.functional.cross_entropy(logits, targets)

    lb.fit(own, loader(), loss=loss, **call)
    assert shapes == {((100, 10), torch.int64)}
    for name, tensor in built_in.state_dict().items():
        torch.testing.assert_close(own.state_dict()[name], tensor)
    weighted = net()
    lb.fit(weighted, loader(), loss=nn.CrossEntropyLoss(weight=torch.tensor([5.0] + [1.0] * 9)), **call)
    assert not torch.allclose(weighted.state_dict()["0.weight"], own.state_dict()["0.weight"])


def test_a_loss_that_raises_or_returns_no_loss():
    def broken(logits, targets):
        raise RuntimeError("in the loss")

    with pytest.raises(RuntimeError, match="in the loss"):
        lb.fit(net(), loader(), loss=broken)
    with pytest.raises(ValueError, match="must return a tensor, got float"):
        lb.fit(net(), loader(), loss=lambda logits, targets: 1.0)
    with pytest.raises(ValueError, match=r"one number with a gradient, got \[100, 10\]"):
        lb.fit(net(), loader(), loss=lambda logits, targets: logits)
    with pytest.raises(ValueError, match="without one"):
        lb.fit(net(), loader(), loss=lambda logits, targets: logits.detach().sum())


def test_mixed_samples_have_soft_targets():
    seen = []

    def loss(logits, targets):
        seen.append(targets)
        return nn.functional.cross_entropy(logits, targets)

    mixing = loader(batch_transforms=[lb.data.mixup(0.4), lb.data.cutmix()], shuffle=True)
    result = lb.fit(net(), mixing, loader(1), epochs=3, optimizer=ADAMW, loss=loss)
    assert result.epochs[-1].val_accuracy > 0.8
    assert all(targets.shape == (100, 10) and targets.dtype == torch.float32 for targets in seen)
    torch.testing.assert_close(seen[0].sum(1), torch.ones(100))
    assert any(0 < value < 1 for value in seen[0].flatten().tolist())
    own, built_in = [], []  # the trainer's own cross-entropy takes them too
    for kept, options in ((own, {"loss": nn.functional.cross_entropy}), (built_in, {})):
        lb.fit(net(), loader(batch_transforms=lb.data.mixup(0.4)), optimizer=ADAMW, on_step=lambda s, k=kept: k.append(s.loss),
               **options)
    assert own == pytest.approx(built_in, rel=1e-5)


def test_distillation_with_soft_targets():
    teacher, losses = net(seed=1, width=24), []
    mixing = loader(batch_transforms=[lb.data.mixup(0.4), lb.data.cutmix()], shuffle=True, seed=6)
    x, targets = next(iter(mixing))
    with torch.no_grad():
        student, taught = net().train()(x), teacher.eval()(x)
    soft = (taught / 3).log_softmax(1), (student / 3).log_softmax(1)
    kl = (soft[0].exp() * (soft[0] - soft[1])).sum(1).mean()
    expected = 0.4 * 9 * kl + 0.6 * nn.functional.cross_entropy(student, targets)
    result = lb.fit(net(), mixing, loader(1), teacher=teacher, temperature=3, alpha=0.4, epochs=2, optimizer=ADAMW,
                    on_step=lambda step: losses.append(step.loss))
    assert losses[0] == pytest.approx(expected.item(), rel=1e-5)
    assert result.epochs[1].loss < result.epochs[0].loss


def test_distillation_learns_from_the_teacher():
    teacher = net(width=24)
    batches = loader(shuffle=True)
    lb.fit(teacher, loader(shuffle=True), epochs=4, optimizer=ADAMW)
    before = state(teacher)
    student, losses = net(seed=4), []
    first = next(iter(batches))
    expected = lb.kd(student.train()(first[0]), teacher.eval()(first[0]), first[1], temperature=2, alpha=0.6).item()
    student = net(seed=4)  # without the statistics of that call
    result = lb.fit(student, batches, loader(1), teacher=teacher, temperature=2, alpha=0.6, epochs=8, optimizer=ADAMW,
                    fusion="none", features=[{"student": "2", "teacher": "2", "weight": 0}],
                    on_step=lambda step: losses.append(step.loss))
    assert abs(losses[0] - expected) < 1e-5
    assert result.epochs[-1].val_accuracy > 0.85
    assert_equal(state(teacher), before)
    with pytest.raises(ValueError, match="either a loss or a teacher"):
        lb.fit(student, loader(), teacher=teacher, loss=nn.CrossEntropyLoss())


def test_best_epoch_and_frozen_parameters():
    model = net()
    parameters = dict(model.named_parameters())
    conv = parameters["0.weight"].detach().clone()
    parameters["5.bias"].requires_grad_(False)  # frozen by the user, and so it stays
    result = lb.fit(model, loader(), loader(1), epochs=3, optimizer={"kind": "sgd", "lr": 0.5}, schedule="constant",
                    keep="best", freeze=[r"^0\."])
    assert torch.equal(parameters["0.weight"], conv) and parameters["0.weight"].requires_grad
    assert not parameters["5.bias"].requires_grad
    accuracies = [epoch.val_accuracy for epoch in result.epochs]
    assert result.best_epoch == accuracies.index(max(accuracies))
    images, labels = split()[1]
    x = (images / 255 - 0.3) / 0.35
    assert lb.evaluate(result.model, [(x, labels)]).top1 == pytest.approx(max(accuracies), abs=0.003)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_keeps_float32_parameters(precision):
    model = net()
    result = lb.fit(model, loader(shuffle=True), loader(1), epochs=4, precision=precision, optimizer=ADAMW)
    assert result.epochs[-1].val_accuracy > 0.85
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_data_loader_of_torch():
    images, labels = split()[0]
    dataset = torch.utils.data.TensorDataset(images / 255, labels)
    result = lb.fit(net(), torch.utils.data.DataLoader(dataset, 70, shuffle=True, drop_last=False), epochs=1)
    assert result.steps == 20
    with pytest.raises(ValueError, match="own collate_fn"):
        lb.fit(net(), torch.utils.data.DataLoader(dataset, 70, collate_fn=list))
    with pytest.raises(ValueError, match="own sampler"):
        sampler = torch.utils.data.WeightedRandomSampler([1.0] * len(dataset), 10)
        lb.fit(net(), torch.utils.data.DataLoader(dataset, 70, sampler=sampler))


def test_preprocessing_travels_in_the_file(tmp_path):
    write_npy_folder(tmp_path)
    transforms = [lb.data.resize((8, 8)), NORMALIZE]
    train = lb.data.Loader(lb.data.open(f"npy:{tmp_path}"), 100, transforms=[lb.data.random_crop(padding=1), NORMALIZE])
    val = lb.data.Loader(lb.data.open(f"npy:{tmp_path}", "test"), 100, transforms=transforms)
    lb.save(lb.fit(net(), train, val).model, tmp_path / "model.lmb")
    model = lb.load(tmp_path / "model.lmb")
    assert model.labels == [str(i) for i in range(10)]
    told = model.preprocessing
    assert (told["channels"], told["height"], told["width"]) == (1, 8, 8)
    assert told["mean"] == pytest.approx([0.3]) and told["stddev"] == pytest.approx([0.35])
    assert [list(step) for step in told["transforms"]] == [["resize"]]
    model.preprocessing = lb.data.preprocessing([lb.data.resize(9), lb.data.center_crop(8), NORMALIZE], (1, -1, -1))
    assert [list(step) for step in model.preprocessing["transforms"]] == [["resize"], ["center_crop"]]
    with pytest.raises(ValueError, match="stddev"):
        model.preprocessing = {**told, "stddev": [0.0]}
    assert net().preprocessing is None and net().labels is None


WRONG = [
    ({"epochs": "many"}, "'epochs' must be an integer, got 'many'"),
    ({"epoch": 3}, "unknown key 'epoch'. Nearest: epochs"),
    ({"epochs": 0}, "epochs must be at least 1"),
    ({"optimizer": "sdg"}, "must be one of sgd, adamw"),
    ({"optimizer": {"kind": "adamw", "rate": 1}}, "unknown key 'rate'"),
    ({"optimizer": torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)}, "lb.optimize"),
    ({"freeze": ["."]}, "nothing is left to train"),
    ({"hooks": print}, "on_step="),
    ({"keep": "best"}, "no samples are held out"),
    ({"loss": nn.CrossEntropyLoss(), "label_smoothing": 0.1}, "leave it to the loss"),
    ({"schedule": {"gamma": object()}}, "a value must be a number"),
    ({"classes": 7}, "classes= is for datasets"),
]


@pytest.mark.parametrize("options, message", WRONG, ids=[next(iter(options)) for options, _ in WRONG])
def test_wrong_calls_say_what_is_wrong(options, message):
    data = split()[0] if "classes" not in options else lb.data.open("synthetic:10x1x8x8?n=32")
    with pytest.raises(ValueError) as raised:
        lb.fit(net(), data, **options)
    assert message in str(raised.value)
    if "classes" in options:
        with pytest.raises(ValueError, match=r"gives \[1, 10\] for one image .* has 7 classes"):
            lb.fit(net(), split()[0], classes=7)


def test_what_is_no_data():
    with pytest.raises(ValueError, match="got int"):
        lb.fit(net(), 3)
    with pytest.raises(ValueError, match="did you mean fashion-mnist"):
        lb.fit(net(), "fashion-mnits")


@pytest.mark.parametrize("sample, said", [
    ({"input_ids": torch.zeros(4), "labels": 1}, r"a pair \(image, label\), got a dict of input_ids, labels"),
    ((torch.zeros(1, 8, 8), 1, 2), r"a pair \(image, label\), got 3 of Tensor, int, int"),
    ((torch.zeros(1, 8, 8), torch.zeros(5)), r"a label must be one class, a whole number, got float32 \[5\]"),
    ((torch.zeros(1, 8, 8), 0.5), r"a label must be one class, a whole number, got 0.5"),
    ((torch.zeros(1, 8, 8), float("inf")), r"a label must be one class, a whole number, got inf"),
    ((torch.zeros(4), 1), r"must have the shape \[C, H, W\], got float32 \[4\]"),
])
def test_samples_that_are_no_images_with_a_class(sample, said):
    with pytest.raises(ValueError, match=said) as raised:
        lb.fit(net(), [sample] * 4, classes=10)
    assert "a loop of your own: see lb.optimize" in str(raised.value)
    if not isinstance(sample, tuple) or len(sample) != 2 or sample[0].dim() != 3:
        with pytest.raises(ValueError, match=said):
            lb.fit(net(), [sample] * 4)  # where the classes are asked of the model


def test_the_docstring_has_the_keys_of_the_table():
    for key in ("epochs = 1", "kind = 'sgd'", "warmup_epochs = 0.0", "temperature = 4.0", "precision = 'fp32'"):
        assert key in lb.fit.__doc__
    assert len(digits()[0]) == 1797


@pytest.mark.parametrize("held_out", [False, True])
def test_a_label_that_is_no_class_is_named(held_out):
    images, labels = split()[0]
    wrong = labels.clone()
    wrong[3] = 12
    with pytest.raises(ValueError, match=r"sample 3 of TensorDataset: the label must lie in 0..9, got 12"):
        lb.fit(net(), (images, labels if held_out else wrong), (images, wrong) if held_out else None, classes=10)

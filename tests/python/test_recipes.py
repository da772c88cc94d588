"""lb.run: recipes with their stages, caches, seeds and hooks, on real digits."""

import json
import signal

import pytest
import torch
from digits import write_npy_folder

import limbeck as lb

SOURCE_YAML = """
name: digits
seed: 4
data: {{dataset: "{data}", batch_size: 64, mean: [0.3], stddev: [0.35]}}
models:
  net: {{zoo: resnet_basic, options: {{widths: [8, 16], blocks: [1, 1], in_channels: 1, image_size: 8}}}}
stages:
  - train: {{model: net, epochs: 3, optimizer: {{kind: adamw, lr: 0.01}}}}
  - evaluate: {{latency_runs: 3}}
"""


@pytest.fixture
def recipe(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write_npy_folder(data)
    path = tmp_path / "digits.yaml"
    path.write_text(SOURCE_YAML.format(data=f"npy:{data}"))
    return path


def as_dict(recipe):
    import yaml

    return yaml.safe_load(recipe.read_text())


def test_returns_what_report_json_has(recipe, tmp_path):
    steps, epochs, notes = [], [], []
    threads = torch.get_num_threads()
    report = lb.run(recipe, {"threads": 1}, out=tmp_path / "out", on_step=steps.append, on_epoch=epochs.append,
                    on_note=lambda stage, line: notes.append((stage, line)))
    assert torch.get_num_threads() == threads
    assert report.pop("completed") and report == json.loads((tmp_path / "out/report.json").read_text())
    row = report["stages"]["evaluate"]["comparison"]["models"][0]
    assert row["name"] == "net" and row["accuracy"]["top1"] > 0.6
    assert [step.step for step in steps] == list(range(1, 64)) and {step.stage for step in steps} == {"net"}
    assert [epoch.loss for epoch in epochs] == [e["loss"] for e in report["stages"]["net"]["epochs"]]
    model = lb.load(tmp_path / "out/net/model.lmb")
    assert model.preprocessing["mean"] == pytest.approx([0.3])
    steps.clear()
    again = lb.run(recipe, {"threads": 1}, out=tmp_path / "out", on_step=steps.append)
    assert not steps and again["stages"]["net"]["epochs"] == report["stages"]["net"]["epochs"]  # from its cache


def test_a_dict_is_a_recipe_and_overrides_count(recipe, tmp_path):
    same = lb.run(recipe, {"stages.net.epochs": 1}, out=tmp_path / "yaml")
    report = lb.run(as_dict(recipe), {"stages.net.epochs": 1}, out=tmp_path / "dict")
    assert report["recipe"]["stages"][0]["train"]["epochs"] == 1
    assert report["stages"]["net"]["epochs"][0]["loss"] == same["stages"]["net"]["epochs"][0]["loss"]
    assert lb.plan(recipe, {"stages.net.epochs": 2})["stages"][0]["steps"] == 42


def test_seeds_and_sweeps(recipe, tmp_path):
    places = set()
    report = lb.run(recipe, {"seeds": 2, "sweep": {"stages.net.optimizer.lr": [0.01, 0.001]}, "stages.net.epochs": 1},
                    out=tmp_path / "out", on_step=lambda step: places.add((step.stage, step.trial)))
    assert len(places) == 4 and ("net", "1/4 lr=0.01,seed=4") in places
    assert len(report["trials"]["runs"]) == 4
    assert (tmp_path / "out/lr=0.001,seed=5/net/model.lmb").exists()


def test_hooks_stop_raise_and_interrupt(recipe, tmp_path):
    out = tmp_path / "out"
    assert lb.run(recipe, out=out, on_step=lambda s: lb.STOP if s.step == 5 else None) == {"completed": False}
    error = RuntimeError("mine")

    def raise_at_9(step):
        if step.step == 9:
            raise error

    with pytest.raises(RuntimeError) as raised:
        lb.run(recipe, out=out, on_step=raise_at_9, checkpoint_steps=2)
    assert raised.value is error

    def press_ctrl_c(step):
        if step.step == 11:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background begin with it ignored
    with pytest.raises(KeyboardInterrupt):
        lb.run(recipe, out=out, on_step=press_ctrl_c, checkpoint_steps=2)
    signal.signal(signal.SIGINT, before)
    seen = []
    broken = lb.run(recipe, out=out, on_step=lambda step: seen.append(step.step))
    assert seen[0] in (11, 12) and seen[-1] == 63
    whole = lb.run(recipe, out=tmp_path / "whole")
    losses = [[epoch["loss"] for epoch in report["stages"]["net"]["epochs"]] for report in (broken, whole)]
    assert losses[0] == losses[1]


def test_errors_have_their_place(recipe, tmp_path):
    with pytest.raises(ValueError, match=r"digits.yaml:8:\d+: unknown key 'epoch'. Nearest: epochs"):
        recipe.write_text(recipe.read_text().replace("epochs: 3", "epoch: 3"))
        lb.run(recipe, out=tmp_path / "out")
    wrong = as_dict(recipe)
    with pytest.raises(ValueError, match="recipe: stages: unknown key 'epoch'. Nearest: epochs"):
        lb.run(wrong, out=tmp_path / "out")
    with pytest.raises(ValueError, match="overrides: stages.nett.epochs"):
        lb.run(recipe, {"stages.nett.epochs": 3}, out=tmp_path / "out")
    with pytest.raises(OSError, match="nowhere.yaml"):
        lb.run(tmp_path / "nowhere.yaml")
    del wrong["data"]
    with pytest.raises(ValueError, match="key 'data' is missing"):
        lb.run(wrong, out=tmp_path / "out")
    with pytest.raises(ValueError, match="on_step="):
        lb.run(recipe, hooks=[print])

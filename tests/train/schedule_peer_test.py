"""The learning rate of every step is that of torch.optim.lr_scheduler, over 100 steps. Runs in the build tree."""
import json
import math
import pathlib
import subprocess
import tempfile
import unittest

import torch
from torch.optim import lr_scheduler

LR = 0.3
EPOCHS, STEPS_PER_EPOCH = 10, 10
STEPS = EPOCHS * STEPS_PER_EPOCH
MODEL = "resnet_basic?widths=4&blocks=1&image_size=8&in_channels=1&classes=4"


def train(*flags, epochs=EPOCHS):
    """The lines of metrics.jsonl, one a step and one an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["./limbeck", "train", MODEL, "--data", "synthetic:4x1x8x8?n=160", "--data.batch_size", "8",
                               "--data.val_size", "80", "--epochs", str(epochs), "--optimizer.lr", str(LR),
                               "--log.every_steps", "1", "--threads", "1", "-o", folder, *flags], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in (pathlib.Path(folder) / "model" / "metrics.jsonl").read_text().splitlines()]


def optimizer():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], LR)


def rates(make, per_epoch=False):
    """What PyTorch's scheduler gives for each step; those by epoch are stepped at an epoch's end."""
    sgd = optimizer()
    scheduler = make(sgd)
    result = []
    for step in range(STEPS):
        result.append(sgd.param_groups[0]["lr"])
        sgd.step()
        if not per_epoch or step % STEPS_PER_EPOCH == STEPS_PER_EPOCH - 1:
            scheduler.step()
    return result


def warmed_up(steps, rest):
    """Linear from lr / steps to lr, then `rest`."""
    return lambda sgd: lr_scheduler.SequentialLR(
        sgd, [lr_scheduler.LinearLR(sgd, 1 / steps, total_iters=steps - 1), rest(sgd)], milestones=[steps])


class Schedules(unittest.TestCase):
    def expect(self, expected, *flags):
        found = [line["lr"] for line in train(*flags) if line["kind"] == "step"]
        self.assertEqual(len(found), STEPS)
        for step, (ours, theirs) in enumerate(zip(found, expected)):
            self.assertTrue(math.isclose(ours, theirs, rel_tol=0, abs_tol=1e-12), f"step {step}: {ours} and {theirs}")

    def test_constant(self):
        self.expect([LR] * STEPS, "--schedule.kind", "constant")

    def test_cosine_ends_at_the_last_step(self):
        self.expect(rates(lambda sgd: lr_scheduler.CosineAnnealingLR(sgd, STEPS - 1, eta_min=0.1 * LR)),
                    "--schedule.kind", "cosine", "--schedule.final_fraction", "0.1")

    def test_warm_up_before_cosine(self):
        rest = lambda sgd: lr_scheduler.CosineAnnealingLR(sgd, STEPS - 20 - 1)
        self.expect(rates(warmed_up(20, rest)), "--schedule.kind", "cosine", "--schedule.warmup_epochs", "2")

    def test_warm_up_before_constant(self):
        rest = lambda sgd: lr_scheduler.LambdaLR(sgd, lambda step: 1)
        self.expect(rates(warmed_up(15, rest)), "--schedule.kind", "constant", "--schedule.warmup_epochs", "1.5")

    def test_multistep(self):
        self.expect(rates(lambda sgd: lr_scheduler.MultiStepLR(sgd, [2, 3, 7], gamma=0.3), per_epoch=True),
                    "--schedule.kind", "multistep", "--schedule.milestones", "[2, 3, 7]", "--schedule.gamma", "0.3")

    def test_multistep_with_equal_distances_is_step(self):
        self.expect(rates(lambda sgd: lr_scheduler.StepLR(sgd, 3, gamma=0.5), per_epoch=True),
                    "--schedule.kind", "multistep", "--schedule.milestones", "[3, 6, 9]", "--schedule.gamma", "0.5")

    def test_one_cycle(self):
        for rising in (0.3, 0.5):
            self.expect(rates(lambda sgd: lr_scheduler.OneCycleLR(sgd, LR, STEPS, pct_start=rising, div_factor=10,
                                                                  final_div_factor=1000)),
                        "--schedule.kind", "one_cycle", "--schedule.rising_fraction", str(rising),
                        "--schedule.start_divisor", "10", "--schedule.final_divisor", "1000")

    def test_plateau_falls_as_the_metric_says(self):
        for monitor, mode in (("val_loss", "min"), ("val_accuracy", "max")):
            lines = train("--schedule.kind", "plateau", "--schedule.plateau.factor", "0.5", "--schedule.plateau.patience", "1",
                          "--schedule.plateau.cooldown", "1", "--schedule.plateau.threshold", "0.05", "--monitor", monitor,
                          epochs=EPOCHS)
            sgd = optimizer()
            scheduler = lr_scheduler.ReduceLROnPlateau(sgd, mode, factor=0.5, patience=1, cooldown=1, threshold=0.05, eps=0)
            for line in lines:
                if line["kind"] == "step":
                    self.assertAlmostEqual(line["lr"], sgd.param_groups[0]["lr"], delta=1e-12)
                else:
                    scheduler.step(line[monitor])
            self.assertLess(sgd.param_groups[0]["lr"], LR, "the rate never fell: the test says nothing")


if __name__ == "__main__":
    unittest.main()

"""TensorBoard's own reader takes what `limbeck train` writes, also over an interruption. Runs in the build tree."""
import json
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

MODEL = "resnet_basic?widths=4,8&blocks=1,1&image_size=8&in_channels=1&classes=4"


def command(folder, epochs):
    return ["./limbeck", "train", MODEL, "--data", "synthetic:4x1x8x8?n=512", "--data.batch_size", "8", "--data.val_size",
            "64", "--epochs", str(epochs), "--log.tensorboard", "true", "--log.every_steps", "3", "--threads", "1",
            "--checkpoint-seconds", "0", "-o", str(folder)]


class EventFile(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.output = pathlib.Path(self.folder.name) / "out"

    def lines(self, kind):
        text = (self.output / "model" / "metrics.jsonl").read_text()
        return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]

    def expect_equal(self, epochs):
        """Every number of the JSON lines, under its tag and step, once."""
        events = EventAccumulator(str(self.output / "model"))
        events.Reload()
        tags = set(events.Tags()["scalars"])
        self.assertLessEqual({"train/loss", "train/lr", "train/grad_norm", "epoch/loss", "epoch/val_accuracy",
                              "epoch/val_loss"}, tags)
        for group, kind in (("train", "step"), ("epoch", "epoch")):
            lines = self.lines(kind)
            self.assertEqual(len(lines), epochs if kind == "epoch" else epochs * 56 // 3)
            for tag in (tag for tag in tags if tag.startswith(group + "/")):
                read = [(event.step, event.value) for event in events.Scalars(tag)]
                written = [(line["step"], line[tag.split("/")[1]]) for line in lines]
                self.assertEqual([step for step, _ in read], [step for step, _ in written], tag)
                for (_, value), (_, expected) in zip(read, written):
                    self.assertAlmostEqual(value, expected, delta=1e-6 * max(1, abs(expected)), msg=tag)

    def test_of_a_whole_run(self):
        subprocess.run(command(self.output, 3), check=True, capture_output=True)
        self.expect_equal(3)

    def test_of_a_run_that_was_killed(self):
        killed = subprocess.Popen(command(self.output, 9), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = self.output / "model" / "metrics.jsonl"
        while killed.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 8):
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        self.assertEqual(killed.wait(), -signal.SIGKILL, "it was done before it could be killed")
        subprocess.run(command(self.output, 9), check=True, capture_output=True)
        self.assertGreater(len(list((self.output / "model").glob("events.out.tfevents.*"))), 1)
        self.expect_equal(9)


if __name__ == "__main__":
    unittest.main()

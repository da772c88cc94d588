"""`limbeck train --resume_from` goes on from Python's torch.save with the optimizer's momentum or moments, as Python itself
does: five steps in PyTorch, then five more in both. Runs in the build tree."""
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np
import torch
from safetensors.torch import load_file

SAMPLES = 32
# float32 sums in another order, over five steps of weights below 1.
TOLERANCE = 1e-5


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.fc = torch.nn.Linear(96, 4)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))


OPTIMIZERS = {
    "sgd": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
            {"lr": 0.1, "momentum": 0.9, "nesterov": "true", "weight_decay": 1e-3}),
    "adam": (lambda p: torch.optim.Adam(p, lr=0.01), {"lr": 0.01}),
    "adamw": (lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1), {"lr": 0.01, "weight_decay": 0.1}),
}


class ResumeFrom(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        generator = np.random.default_rng(0)
        self.images = generator.integers(0, 256, (SAMPLES, 1, 8, 8), dtype=np.uint8)
        self.labels = generator.integers(0, 4, SAMPLES, dtype=np.int64)
        for split in ("train", "test"):
            np.save(self.folder / f"{split}_images.npy", self.images)
            np.save(self.folder / f"{split}_labels.npy", self.labels)

    def steps(self, module, optimizer, count):
        x, y = torch.from_numpy(self.images) / 255, torch.from_numpy(self.labels)
        for _ in range(count):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(x), y).backward()
            optimizer.step()

    def limbeck(self, kind, settings, *more, epochs=5):
        flags = [part for key, value in settings.items() for part in (f"--optimizer.{key}", str(value))]
        output = self.folder / ("out-" + kind + str(len(more)))
        done = subprocess.run(["./limbeck", "train", str(self.folder / "model.pt2"), "--data", f"npy:{self.folder}",
                               "--data.mean", "[0]", "--data.stddev", "[1]", "--data.batch_size", str(SAMPLES), "--epochs",
                               str(epochs), "--schedule.kind", "constant", "--optimizer.kind", kind, *flags, "--threads", "1", "-o",
                               str(output), *more], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return load_file(output / "model" / "model.lmb")

    def difference(self, module, tensors):
        return max((tensors[name] - value).abs().max().item() for name, value in module.state_dict().items())

    def test_equals_python(self):
        names = {}
        snippet = subprocess.run(["./limbeck", "capture", "--python"], capture_output=True, text=True).stdout
        exec(compile(snippet, "export_pair.py", "exec"), names)
        for kind, (make, settings) in OPTIMIZERS.items():
            with self.subTest(kind):
                torch.manual_seed(1)
                module = Net()
                optimizer = make(module.parameters())
                self.steps(module, optimizer, 5)
                names["export_pair"](module, (torch.zeros(2, 1, 8, 8),), str(self.folder / "model.pt2"))
                saved = self.folder / f"{kind}.pth"
                torch.save({"epoch": 5, "model_state_dict": module.state_dict(),
                            "optimizer_state_dict": optimizer.state_dict()}, saved)
                self.steps(module, optimizer, 5)
                resumed = self.limbeck(kind, settings, "--resume_from", str(saved))
                self.assertLess(self.difference(module, resumed), TOLERANCE)
                # The file's five epochs count as done: five more of ten.
                counted = self.limbeck(kind, settings, "--resume_from", str(saved), "--resume_epoch", "true", epochs=10)
                self.assertLess(self.difference(module, counted), TOLERANCE)
                self.assertGreater(self.difference(module, self.limbeck(kind, settings)), 100 * TOLERANCE,
                                   "without momentum it is another run")


if __name__ == "__main__":
    unittest.main()

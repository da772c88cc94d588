"""Transfer learning of torchvision's networks through the program: exported, with weights by torch.save, another head,
the rest frozen; and PyTorch takes the result back. Runs in the build tree."""
import pathlib
import subprocess
import tempfile
import unittest

import torch

# torchvision's Python part asks for these operators when it is imported; its compiled part is for another torch.
_library = torch.library.Library("torchvision", "DEF")
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402

CLASSES = 3


def limbeck(*arguments):
    return subprocess.run(["./limbeck", *map(str, arguments)], capture_output=True, text=True)


class Transfer(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        snippet = limbeck("capture", "--python").stdout
        names = {}
        exec(compile(snippet, "export_pair.py", "exec"), names)
        self.export_pair = names["export_pair"]

    def train(self, weights, head, *more):
        done = limbeck("train", self.folder / "model.pt2", "--model.weights", weights, "--model.replace_head.at", head,
                       "--model.replace_head.classes", CLASSES, "--freeze", f"['^(?!{head})']", "--data",
                       f"synthetic:{CLASSES}x3x32x32?n=24", "--data.batch_size", 8, "--optimizer.lr", 0.01, "--threads", 1,
                       "-o", self.folder / "out", *more)
        return done

    def expect_transferred(self, make, head):
        torch.manual_seed(0)
        module = make(num_classes=10)
        with torch.no_grad():
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    buffer.uniform_(0.5, 1.5)
        self.export_pair(make(num_classes=10), (torch.randn(2, 3, 32, 32),), str(self.folder / "model.pt2"))
        weights = self.folder / "weights.pth"
        torch.save({"model_state_dict": module.state_dict(), "epoch": 3}, weights)
        done = self.train(weights, head)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"new classifier {head} for {CLASSES} classes; its old weights were left behind",
                      " ".join(done.stderr.split()))
        result = self.folder / "out" / "model" / "model.lmb"
        from safetensors.torch import load_file
        trained = load_file(result)
        student = make(num_classes=CLASSES)
        student.load_state_dict({name: trained[name] for name in student.state_dict()}, strict=True)
        for name, before in module.state_dict().items():
            if not name.startswith(head):
                self.assertTrue(torch.equal(before, student.state_dict()[name]), name)
        # What is missing elsewhere stops it, whatever happens to the head.
        state = module.state_dict()
        lost = next(name for name in state if name.endswith("weight"))
        del state[lost]
        torch.save(state, weights)
        refused = self.train(weights, head)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(lost, refused.stderr)

    def test_resnet18(self):
        self.expect_transferred(torchvision.models.resnet18, "fc")

    def test_mobilenet_v2(self):
        self.expect_transferred(torchvision.models.mobilenet_v2, "classifier.1")


if __name__ == "__main__":
    unittest.main()

"""Writes tests/data/folder_order.txt: a tree of files, and what torchvision's ImageFolder makes of it.

    .venv/bin/python tests/data/make_folder_order.py

One line a file: its label and its path for a sample, in ImageFolder's order; "-" and the path for a file that is none.
"""
import pathlib
import tempfile

import torch

_library = torch.library.Library("torchvision", "DEF")  # operators that a build without CUDA lacks
_library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torchvision.datasets import ImageFolder

FILES = """
cat/b.jpg cat/a.JPG cat/B.jpeg cat/10.png cat/9.png cat/.hidden.jpg cat/notes.txt cat/no_extension cat/a.jpg.bak
cat/deep/x.jpg cat/deep/er/y.png cat/deep-er/z.jpg cat/Deep/w.jpg cat/sub.jpg/inside.jpg
Dog/1.jpg Dog/sub/1.jpg dog/2.PNG 10/a.jpg 9/a.jpg zoo_é/ü.jpg zoo_é/u.jpg zoo-a/q.jpg zoo.b/q.JPeG
""".split()


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in FILES:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"")
        samples = [(label, str(pathlib.Path(path).relative_to(root))) for path, label in ImageFolder(root).samples]
    seen = {path for _, path in samples}
    lines = [f"{label} {path}" for label, path in samples] + [f"- {name}" for name in FILES if name not in seen]
    (pathlib.Path(__file__).parent / "folder_order.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

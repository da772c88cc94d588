"""The examples run, and the documents show what is in them."""

import gzip
import os
import pathlib
import re
import subprocess
import sys

import torch
from digits import write_npy_folder

SOURCE = pathlib.Path(os.environ.get("LIMBECK_SOURCE", pathlib.Path(__file__).parents[2]))
EXAMPLE = SOURCE / "examples/python/ipex_migration.py"
HOOKS_EXAMPLE = SOURCE / "examples/python/fit_with_hooks.py"


# torchvision's Python declares rules for operators of its compiled part, which need not load beside this torch.
RUN = """
import runpy, sys, torch
library = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):
    if not torch._C._dispatch_has_kernel(f"torchvision::{name}"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def write_idx(folder, split, count):
    """Images of stripes whose width is the class, in Fashion-MNIST's files."""
    classes = torch.arange(count) % 10
    columns = torch.arange(28)[None, None, :].expand(count, 28, 28)
    pixels = ((columns // (classes[:, None, None] + 1)) % 2 * 255).to(torch.uint8)
    for kind, header, content in (("images-idx3", 16, pixels), ("labels-idx1", 8, classes.to(torch.uint8))):
        path = folder / f"{split}-{kind}-ubyte.gz"
        path.write_bytes(gzip.compress(bytes(header) + bytes(content.contiguous().flatten().tolist())))


def test_ipex_migration(tmp_path):
    write_idx(tmp_path, "train", 40)
    write_idx(tmp_path, "t10k", 20)
    arguments = ["--data", tmp_path, "--steps", "3", "--size", "32", "--batch", "8", "--test", "20"]
    done = subprocess.run([sys.executable, "-c", RUN, EXAMPLE, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["fp32", "bf16"]
    for _, first, last, top1, reloaded, *times in rows:
        assert 1 < float(first) < 5 and float(last) > 0
        assert top1 == reloaded and all(float(time) > 0 for time in times)


def test_document_shows_the_examples_two_lines():
    script, document = EXAMPLE.read_text(), (SOURCE / "docs/from-ipex.md").read_text()
    diff = "\n".join(re.findall(r"```diff\n(.*?)```", document, re.DOTALL))
    added = [line[1:] for line in diff.splitlines() if line.startswith("+")]
    removed = [line[1:] for line in diff.splitlines() if line.startswith("-")]
    assert len(added) == len(removed) == 2
    own = [line for line in script.splitlines() if re.search(r"\blb\b|import limbeck", line)]
    assert own == added
    for line in added:
        script = script.replace(line, "")
    assert "limbeck" not in script.partition('"""\n\nimport')[2]


def test_fit_with_hooks(tmp_path):
    data = write_npy_folder(tmp_path)
    command = [sys.executable, HOOKS_EXAMPLE, "--data", data, "--folder", tmp_path / "run", "--epochs", "8", "--target",
               "0.85", "--output", tmp_path / "model.lmb"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *_, last_epoch, end = done.stdout.splitlines()
    number, held_out = re.fullmatch(r"epoch (\d+): .*held out ([0-9.]+)%", last_epoch).groups()
    assert float(held_out) >= 85 and "stopped by the hook" in end and f"top-1 {held_out}%" in end
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert re.search(r"^epoch (\d+)", again.stdout, re.MULTILINE).group(1) == str(int(number) + 1)

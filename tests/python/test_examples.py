"""The examples run, and the documents show what is in them."""

import os
import pathlib
import re
import subprocess
import sys

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


def fashion_mnist():
    """The folder of the real images: where scripts/setup finds or unpacks them."""
    folders = [pathlib.Path("/usr/share/datasets/fashion-mnist"), SOURCE / "build/data/fashion-mnist"]
    if "LIMBECK_DATA" in os.environ:
        named = pathlib.Path(os.environ["LIMBECK_DATA"])
        folders = [named, named / "fashion-mnist"]
    return next(folder for folder in folders if (folder / "train-images-idx3-ubyte.gz").exists())


def test_ipex_migration():
    """A few steps on real images: the table is complete, and the reloaded checkpoint agrees."""
    arguments = ["--data", fashion_mnist(), "--steps", "4", "--size", "32", "--batch", "8", "--test", "64"]
    done = subprocess.run([sys.executable, "-c", RUN, EXAMPLE, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["fp32", "bf16"]
    for _, first, last, top1, reloaded, *times in rows:
        assert 1 < float(first) < 5 and float(last) > 0
        assert abs(float(top1.rstrip("%")) - float(reloaded.rstrip("%"))) < 2  # one of 64: bf16 rounds at other places
        assert len(times) == 4 and all(float(time) > 0 for time in times)


def test_document_shows_the_examples_two_lines():
    script, document = EXAMPLE.read_text(), (SOURCE / "docs/from-ipex.md").read_text()
    diff = "\n".join(re.findall(r"```diff\n(.*?)```", document, re.DOTALL))
    table = next(line for line in script.splitlines() if "| precision |" in line).split('"')[1].strip()
    assert table in document
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

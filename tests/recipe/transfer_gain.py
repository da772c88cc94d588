"""recipes/transfer-learning.yaml in a short form: two epochs for the network that is trained first, one seed. What was
transferred beats what starts from nothing. Runs in the build tree."""
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes"
IMAGES = next(folder for folder in (ROOT / "build/data/fashion-mnist", pathlib.Path("/usr/share/datasets/fashion-mnist"))
              if folder.is_dir())  # where scripts/setup has put them
NETWORK = "resnet_basic?blocks=1,1,1&widths=32,64,128&stem_stride=2&in_channels=1&image_size=28&classes=5"


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[:2]} failed: {done.stderr}")
    return done.stdout


def accuracies(folder):
    """Top-1 on the test images by model."""
    run(sys.executable, RECIPES / "split_fashion_mnist.py", IMAGES, folder / "split")
    run("./limbeck", "train", NETWORK, "--data", f"npy:{folder}/split/first", "--data.mean", "[0.286]", "--data.stddev",
        "[0.353]", "--data.crop_padding", 2, "--data.flip_probability", 0.5, "--epochs", 2, "--optimizer.lr", 0.2,
        "--optimizer.weight_decay", 0.0005, "--schedule.kind", "one_cycle", "-o", folder / "pretrained", "-q")
    run("./limbeck", "run", RECIPES / "transfer-learning.yaml", "--set", f"output={folder}/out", "--set", "seeds=1", "--set",
        f"data.dataset=npy:{folder}/split/second", "--set", f"models.pretrained.file={folder}/pretrained/model/model.lmb", "-q")
    evaluated = json.loads((folder / "out" / "evaluate" / "result.json").read_text())
    return {model["name"]: model["accuracy"]["top1"] for model in evaluated["comparison"]["models"]}


with tempfile.TemporaryDirectory() as name:
    found = accuracies(pathlib.Path(name))
print(found)
if not found["fine-tuned"] > found["from-scratch"] + 0.005:
    sys.exit("fine-tuning is not better than training from nothing")

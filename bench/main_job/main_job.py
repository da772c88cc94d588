"""The main job against the same schedule in PyTorch eager, side by side.

Eager does what recipes/fashion-mnist.yaml says, as a careful user would write it: the data as one tensor in memory,
channels_last, SGD with nesterov, one-cycle, the teacher's outputs computed once. Both are whole processes, started in
turn, the order turned round each time; a ratio compares the two of one turn. Their accuracies must be within the
interval of one another before a time counts.

    .venv/bin/python bench/main_job/main_job.py --limbeck build/release/limbeck --turns 1
    .venv/bin/python bench/main_job/main_job.py --limbeck build/release/limbeck --epochs 1 --turns 3
"""

import argparse
import gzip
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "fashion-mnist.yaml"
LIMIT = 1.1
BATCH, PEAK_RATE, TEMPERATURE, ALPHA = 128, 0.2, 4, 0.7
MEAN, STDDEV = 0.286, 0.353
TEACHER_PARAMETERS, STUDENT_PARAMETERS = 308_074, 19_810
MODELS = ("teacher", "student-alone", "distilled")


class Block(nn.Module):
    """A basic block of He et al. 2015."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out.add_(shortcut))


class Net(nn.Module):
    """One block a stage behind a stem of stride 2; forward returns the logits and the pooled features."""

    def __init__(self, widths):
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        inputs = [widths[0], *widths]
        self.layers = nn.Sequential(*[Block(inputs[i], widths[i], 1 if i == 0 else 2) for i in range(len(widths))])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[-1], 10)

    def forward(self, x):
        pooled = self.avgpool(self.layers(self.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.flatten(pooled, 1)), pooled


def read_idx(folder, name):
    for path in (folder / name, folder / (name + ".gz")):
        if path.exists():
            with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
                data = file.read()
            sizes = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
            return torch.frombuffer(bytearray(data[4 + 4 * len(sizes):]), dtype=torch.uint8).reshape(sizes)
    raise SystemExit(f"{folder} has no {name}: name the folder with --data")


def read_split(folder, split):
    images = read_idx(folder, f"{split}-images-idx3-ubyte").unsqueeze(1)
    return images, read_idx(folder, f"{split}-labels-idx1-ubyte").long()


def normalized(images):
    x = images.float().div_(255).sub_(MEAN).div_(STDDEV)
    return x.contiguous(memory_format=torch.channels_last)


def train(model, data, epochs, loss_of, extra=()):
    images, labels = data
    parameters = [*model.parameters(), *(parameter for module in extra for parameter in module.parameters())]
    steps = len(labels) // BATCH  # a last batch that is not full is dropped
    optimizer = torch.optim.SGD(parameters, lr=PEAK_RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=epochs * steps, pct_start=0.3,
                                                   cycle_momentum=False)
    model.train()
    for _ in range(epochs):
        for index in torch.randperm(len(labels))[:steps * BATCH].split(BATCH):
            loss = loss_of(model(normalized(images[index])), labels[index], index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if not math.isfinite(loss.item()):
                raise SystemExit("the loss is not finite")


@torch.no_grad()
def outputs_of(model, images):
    model.eval()
    outputs = [model(normalized(batch)) for batch in images.split(256)]
    return torch.cat([logits for logits, _ in outputs]), torch.cat([pooled for _, pooled in outputs])


def accuracy(model, data):
    return (outputs_of(model, data[0])[0].argmax(1) == data[1]).float().mean().item()


def distillation_loss(teacher_logits, teacher_pooled, adapter):
    targets = F.log_softmax(teacher_logits / TEMPERATURE, 1)

    def loss(outputs, labels, index):
        logits, pooled = outputs
        divergence = F.kl_div(F.log_softmax(logits / TEMPERATURE, 1), targets[index], reduction="batchmean",
                              log_target=True)
        return (ALPHA * TEMPERATURE**2 * divergence + (1 - ALPHA) * F.cross_entropy(logits, labels)
                + F.mse_loss(adapter(pooled), teacher_pooled[index]))

    return loss


def eager_job(options):
    """The whole schedule in this process; prints the accuracies as JSON."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    data, test = read_split(options.data, "train"), read_split(options.data, "t10k")
    cross_entropy = lambda outputs, labels, index: F.cross_entropy(outputs[0], labels)  # noqa: E731
    teacher, alone, distilled = (Net(widths).to(memory_format=torch.channels_last)
                                 for widths in ((32, 64, 128), (8, 16, 32), (8, 16, 32)))
    for model, count in ((teacher, TEACHER_PARAMETERS), (alone, STUDENT_PARAMETERS)):
        assert sum(parameter.numel() for parameter in model.parameters()) == count
    train(teacher, data, options.epochs, cross_entropy)
    train(alone, data, options.epochs, cross_entropy)
    adapter = nn.Sequential(nn.Conv2d(32, 128, 1, bias=False), nn.BatchNorm2d(128)).to(
        memory_format=torch.channels_last)
    train(distilled, data, options.epochs, distillation_loss(*outputs_of(teacher, data[0]), adapter), [adapter])
    models = dict(zip(MODELS, (teacher, alone, distilled)))
    print(json.dumps({name: accuracy(model, test) for name, model in models.items()}))


def run_eager(options, folder):
    command = [sys.executable, __file__, "--eager", "--epochs", str(options.epochs), "--threads", str(options.threads),
               "--data", str(options.data)]
    start = time.perf_counter()
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return time.perf_counter() - start, json.loads(output)


def run_limbeck(options, folder):
    output = folder / "run"
    settings = [f"output={output}", f"data.path={options.data}",
                *(f"stages.{model}.epochs={options.epochs}" for model in MODELS)]
    command = [str(options.limbeck), "run", str(RECIPE), "--quiet",
               *(word for setting in settings for word in ("--set", setting))]
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    seconds = time.perf_counter() - start
    report = json.loads((output / "report.json").read_text())["stages"]["evaluate"]["comparison"]
    return seconds, {model["name"]: model["accuracy"]["top1"] for model in report["models"]}


def is_comparable(ours, theirs):
    """Whether two accuracies on 10,000 images differ by less than three standard deviations of their difference, and
    half a point for the training's own scatter."""
    deviation = math.sqrt((ours * (1 - ours) + theirs * (1 - theirs)) / 10_000)
    return abs(ours - theirs) < 3 * deviation + 0.005


def machine(options):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return (f"{cpu}, {torch.backends.cpu.get_cpu_capability()}, {options.threads} threads, torch {torch.__version__}, "
            f"Python {platform.python_version()}")


def compare(options):
    print(f"{RECIPE.name}, {options.epochs} epochs a stage; {machine(options)}")
    if os.getloadavg()[0] > 0.5:
        print(f"warning: the machine is busy (load {os.getloadavg()[0]:.1f}); times below are not those of a quiet one")
    sides = [("eager", run_eager), ("limbeck", run_limbeck)]
    ratios = []
    for turn in range(options.turns):
        seconds, accuracies = {}, {}
        for name, run in sides if turn % 2 == 0 else sides[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                seconds[name], accuracies[name] = run(options, Path(folder))
        for model in MODELS:
            ours, theirs = accuracies["limbeck"][model], accuracies["eager"][model]
            print(f"  {model:<14} top-1: eager {theirs:.4f}, limbeck {ours:.4f}")
            if not is_comparable(ours, theirs):
                raise SystemExit(f"{model}: the accuracies differ by more than chance: these are not the same job")
        ratios.append(seconds["limbeck"] / seconds["eager"])
        print(f"turn {turn + 1}: eager {seconds['eager']:.1f} s, limbeck {seconds['limbeck']:.1f} s, "
              f"ratio {ratios[-1]:.3f}", flush=True)
    print(f"ratio: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")
    if statistics.median(ratios) > LIMIT:
        sys.exit(f"slower than {LIMIT} times eager")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limbeck", type=Path, default=ROOT / "build/release/limbeck")
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--epochs", type=int, default=5, help="of each of the three trainings")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--eager", action="store_true", help=argparse.SUPPRESS)  # the eager side's own process
    return parser.parse_args()


if __name__ == "__main__":
    parsed = parse_options()
    eager_job(parsed) if parsed.eager else compare(parsed)

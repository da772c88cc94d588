"""Training steps of Limbeck against PyTorch eager, torch.compile and, where its environment exists, IPEX.

A step is forward, cross-entropy, backward and optimizer, two threads, the same weights and batch everywhere. Before the
clock starts, the losses of the first steps are compared with eager's in the same precision; the error that is printed is
the largest relative one. Rounds of all sides alternate, and a ratio is the median over the turns of peer time by ours
within a turn: above 1, Limbeck is faster.

    .venv/bin/python bench/training/training.py --rows resnet18 --dtypes fp32 [--ipex PYTHON_OF_ITS_ENVIRONMENT]
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import safetensors.torch
import torch

sys.path.insert(0, str(Path(__file__).parent))
import models  # noqa: E402

# Largest relative difference of a loss from eager's: fp32 is what rounding does over the checked steps.
LOSS_LIMIT = {"fp32": 1e-3, "bf16": 3e-2}


class Side:
    def __init__(self, command, environment):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"no answer to '{line}'")
        return answer.strip()

    def numbers(self, line):
        return [float(word) for word in self.ask(line).split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def write_problem(row, folder):
    """Weights, batch and export of a row."""
    batch, size, classes, _ = models.ROWS[row]
    torch.manual_seed(0)
    model = models.make(row).train()
    x, y = torch.randn(batch, 3, size, size), torch.randint(classes, (batch,))
    torch.save(model.state_dict(), folder / "weights.pt")
    torch.save({"x": x, "y": y}, folder / "data.pt")
    safetensors.torch.save_file({"x": x, "y": y}, folder / "data.safetensors")
    torch.export.save(torch.export.export(model, (x,)), folder / "model.pt2")


def sides_of(row, dtype, folder, options):
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    peer = [str(Path(__file__).parent / "peer.py")]
    arguments = [row, str(folder / "weights.pt"), str(folder / "data.pt"), dtype, str(options.threads)]
    sides = {"limbeck": Side([options.server, str(folder / "model.pt2"), str(folder / "data.safetensors"),
                              "channels_last", dtype, models.ROWS[row][3], str(options.threads)], environment)}
    for kind in options.peers:
        sides[kind] = Side([sys.executable, *peer, kind, *arguments], environment)
    if options.ipex:
        sides["ipex"] = Side([options.ipex, *peer, "ipex", *arguments], environment)
    return sides


def loss_errors(sides, dtype, steps):
    curves = {name: side.numbers(f"losses {steps}") for name, side in sides.items()}
    expected = curves["eager"]
    errors = {name: max(abs(a - b) / abs(b) for a, b in zip(curve, expected)) for name, curve in curves.items()}
    if not errors["limbeck"] <= LOSS_LIMIT[dtype]:
        sys.exit(f"losses differ from eager's by {errors['limbeck']:.2e}: {curves['limbeck']} and {expected}")
    return errors


def time_rounds(sides, options):
    rounds = {name: [] for name in sides}
    for side in sides.values():
        side.ask(f"train {options.warm_up}")
    names = list(sides)
    for turn in range(options.rounds):
        for name in names if turn % 2 == 0 else names[::-1]:
            rounds[name].append(statistics.median(sides[name].numbers(f"train {options.steps}")))
    return rounds


def run_row(row, dtype, options):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_problem(row, folder)
        sides = sides_of(row, dtype, folder, options)
        errors = loss_errors(sides, dtype, options.check_steps)
        print(f"  fused: {sides['limbeck'].ask('fused')}")
        rounds = time_rounds(sides, options)
        versions = {kind: side.ask("version") for kind, side in sides.items() if kind != "limbeck"}
        for side in sides.values():
            side.close()
    ratios = {kind: statistics.median(a / b for a, b in zip(times, rounds["limbeck"])) for kind, times in rounds.items()}
    for kind, times in rounds.items():
        print(f"  {kind:<14} {statistics.median(times):9.1f} ms   ratio {ratios[kind]:6.3f}   "
              f"{min(times):.1f} to {max(times):.1f} ms   loss error {errors[kind]:.1e}   {versions.get(kind, '')}")
    best = min(ratio for kind, ratio in ratios.items() if kind != "limbeck")
    print(f"{row} {dtype}: {best:.3f} of the best peer", flush=True)
    return best


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="build/release/bench/training_server")
    parser.add_argument("--rows", nargs="+", default=list(models.ROWS), choices=list(models.ROWS))
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--peers", nargs="+", default=["eager", "eager_default", "compile"])
    parser.add_argument("--ipex", help="Python of an environment with intel_extension_for_pytorch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=2, help="steps in a round")
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--check-steps", type=int, default=5)
    options = parser.parse_args()
    if "eager" not in options.peers:
        parser.error("--peers needs eager: losses are compared with it")
    return options


def main():
    options = parse_options()
    print(f"{options.threads} threads, load {os.getloadavg()[0]:.1f}, "
          f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}")
    best = [run_row(row, dtype, options) for row in options.rows for dtype in options.dtypes]
    print(f"geometric mean {math.exp(statistics.mean(map(math.log, best))):.3f} of the best peers, "
          f"smallest {min(best):.3f}")


if __name__ == "__main__":
    main()

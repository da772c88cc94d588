"""A step of Limbeck's optimizers against torch.optim's, fused=True and foreach=True, on the parameters of real models.

The same parameters and gradients, the same number of threads. Short rounds of the three alternate; of each round counts
the fastest step, and each ratio is the median of the ratios within a turn, so that all see the machine's drift. Before
timing, ten steps of all must agree. The share of bandwidth is what a step must read and write at least, by the bandwidth
that ATen's a[i] += c * b[i] reaches in the server's process just before.

    .venv/bin/python bench/optimizer/optimizer_bench.py --server build/release/bench/optimizer_server
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import safetensors.torch
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from side_by_side import Server, alternate, cpu_name, declare_torchvision_operators, median_ratio  # noqa: E402

_declared = declare_torchvision_operators()
import timm  # noqa: E402

# Floats read and written for each element: parameter and states both ways, the gradient in.
CASES = {
    "sgd": (dict(lr=0.01), torch.optim.SGD, 3),
    "sgd, momentum": (dict(lr=0.01, momentum=0.9, weight_decay=1e-4), torch.optim.SGD, 5),
    "adamw": (dict(lr=1e-3, weight_decay=0.05), torch.optim.AdamW, 7),
    "adagrad": (dict(lr=0.01, eps=1e-10), torch.optim.Adagrad, 5),
}
LIMIT = 1.05


class Limbeck(Server):
    """Our side."""

    def __init__(self, path, threads):
        super().__init__(path, threads)
        self.ask(f"threads {threads}")

    def rounds(self, count):
        return self.numbers(f"step {count}")


class Torch:
    """torch.optim with one of its implementations."""

    def __init__(self, values, gradients, optimizer, options, **variant):
        self.parameters = {name: value.clone().requires_grad_() for name, value in values.items()}
        for name, parameter in self.parameters.items():
            parameter.grad = gradients[name].clone()
        self.optimizer = optimizer(self.parameters.values(), **options, **variant)

    def rounds(self, count):
        times = []
        for _ in range(count):
            start = time.perf_counter()
            self.optimizer.step()
            times.append(1e3 * (time.perf_counter() - start))
        return times


def check(sides, server, folder):
    """Ten steps of all sides must lead to the same parameters."""
    path = folder / "seen.safetensors"
    for side in [server, *sides]:
        side.rounds(10)
    server.ask(f"write {path}")
    ours = safetensors.torch.load_file(path)
    for side in sides:
        for name, parameter in side.parameters.items():
            error = ((ours[name] - parameter.detach()).abs() / parameter.detach().abs().clamp(min=1)).max().item()
            if error > 1e-6:
                raise SystemExit(f"parameter {name} is {error:.1e} from torch's")


def compare(sides, options):
    """Each side's fastest step of every turn."""
    return alternate({name: lambda side=side: min(side.rounds(options.iterations)[1:]) for name, side in sides.items()},
                     options.rounds)


def run_case(name, values, gradients, server, options, folder):
    settings, optimizer, floats = CASES[name]
    kind = name.split(",")[0]
    server.ask("optimizer kind=" + kind + "".join(f" {key}={value}" for key, value in settings.items()))
    peers = {variant: Torch(values, gradients, optimizer, settings, **{variant: True})
             for variant in ("fused", "foreach")}
    check(list(peers.values()), server, folder)
    peak = float(server.ask("bandwidth"))
    turns = compare({"limbeck": server, **peers}, options)
    ours = statistics.median(turns["limbeck"])
    num_elements = sum(value.numel() for value in values.values())
    reached = 4 * floats * num_elements / ours / 1e6
    ratios = {variant: median_ratio(turns["limbeck"], turns[variant]) for variant in peers}
    print(f"{name:<15} {ours:8.2f} {statistics.median(turns['fused']):8.2f} "
          f"{statistics.median(turns['foreach']):8.2f}   {ratios['fused']:5.3f}  {ratios['foreach']:7.3f}   "
          f"{reached:6.1f} of {peak:5.1f} GB/s", flush=True)
    return ratios


def run_model(model, options, folder):
    torch.manual_seed(0)
    parameters = timm.create_model(model).named_parameters()
    values = {f"{i:04}.{name}": parameter.detach().clone() for i, (name, parameter) in enumerate(parameters)}
    gradients = {name: 0.01 * torch.randn_like(value) for name, value in values.items()}
    print(f"\n{model}: {len(values)} parameters, {sum(v.numel() for v in values.values()) / 1e6:.1f} M elements")
    print(f"{'':<15} {'limbeck':>8} {'fused':>8} {'foreach':>8}   ratio to   ratio to   bandwidth")
    print(f"{'':<15} {'ms':>8} {'ms':>8} {'ms':>8}   fused      foreach    of triad's")
    slow = []
    for name in CASES:
        server = Limbeck(options.server, options.threads)
        for what, tensors in (("parameters", values), ("gradients", gradients)):
            safetensors.torch.save_file(tensors, folder / what)
        server.ask(f"parameters {folder / 'parameters'} contiguous")
        server.ask(f"gradients {folder / 'gradients'}")
        ratios = run_case(name, values, gradients, server, options, folder)
        slow += [f"{model} {name} ({variant})" for variant, value in ratios.items() if value > LIMIT]
        server.process.stdin.close()
        server.process.wait()
    return slow


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="build/release/bench/optimizer_server")
    parser.add_argument("--models", nargs="+", default=["resnet50", "vit_small_patch16_224"], help="of timm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--iterations", type=int, default=6, help="steps in a round, of which the first does not count")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{cpu_name()}, {options.threads} threads, torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), "
          f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    slow = []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            slow += run_model(model, options, Path(folder))
    if slow:
        sys.exit(f"slower than {LIMIT} times torch.optim: {', '.join(slow)}")


if __name__ == "__main__":
    main()

"""Limbeck's Model against PyTorch eager on one model: inference and a training step, side by side.

Both run the same weights on the same data with the same number of threads, memory format and precision. Short rounds of
the two alternate, and the ratio is the median of the ratios within a turn, so that both see the machine's drift. Before
timing, outputs, losses, gradients, parameters and buffers must be bit-equal.

    .venv/bin/python bench/model_speed/model_speed.py --server build/release/bench/model_speed_server
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from side_by_side import Server, alternate, cpu_name, declare_torchvision_operators, median_ratio  # noqa: E402

_declared = declare_torchvision_operators()
import torchvision  # noqa: E402

LIMIT = 1.05
LEARNING_RATE, MOMENTUM = 0.01, 0.9


class Eager:
    """PyTorch eager, as a user would write it."""

    def __init__(self, model, x, y, memory_format, bf16):
        self.model = model.to(memory_format=memory_format)
        self.x, self.y, self.bf16 = x.contiguous(memory_format=memory_format), y, bf16
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16)

    def infer(self):
        if self.model.training:
            self.model.eval()
        with torch.no_grad(), self.autocast():
            return self.model(self.x)

    def train(self):
        if not self.model.training:
            self.model.train()
        self.optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def rounds(self, what, count):
        run = getattr(self, what)
        times = []
        for _ in range(count):
            start = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - start))
        return times


class Limbeck(Server):
    """The process that holds our model."""

    def rounds(self, what, count):
        return self.numbers(f"{what} {count}")


def check(eager, limbeck, folder):
    """Two training steps of both must leave the same bits everywhere."""
    path = folder / "seen.safetensors"
    limbeck.ask(f"check {path}")
    seen = safetensors.torch.load_file(path)
    start = {name: tensor.clone() for name, tensor in eager.model.state_dict().items()}
    expected = {"eval": eager.infer()}
    for step in range(2):
        expected[f"loss{step}"] = eager.train()
    for name, parameter in eager.model.named_parameters():
        expected["gradient." + name] = parameter.grad
    for name, tensor in eager.model.state_dict().items():
        expected["state." + name] = tensor
    different = [name for name in expected if not torch.equal(expected[name], seen[name])]
    if different or set(seen) != set(expected):
        raise SystemExit(f"not bit-equal: {different[:5]} ({len(different)} of {len(expected)})")
    eager.model.load_state_dict(start)
    eager.optimizer.state.clear()
    eager.optimizer.zero_grad()
    return len(expected)


def compare(eager, limbeck, what, options):
    """Alternating rounds. Returns a list of rounds for each side."""
    sides = {"eager": eager, "limbeck": limbeck}
    for side in sides.values():
        side.rounds(what, options.warm_up)
    return alternate({name: lambda side=side: side.rounds(what, options.iterations)[options.skip:]
                      for name, side in sides.items()}, options.rounds)


def summary(rounds):
    ordered = sorted(time for times in rounds for time in times)
    return {"median_ms": statistics.median(ordered), "min_ms": ordered[0], "p10_ms": ordered[len(ordered) // 10],
            "p90_ms": ordered[(len(ordered) * 9) // 10]}


def paired_ratio(rounds):
    return median_ratio(*([statistics.median(times) for times in rounds[side]] for side in ("limbeck", "eager")))


def zoo_name(options):
    return f"zoo:{options.model}?image_size={options.size}"


def print_row(result):
    eager, limbeck = result["eager"], result["limbeck"]
    print(f"{result['case']:<30} {eager['median_ms']:9.2f} {limbeck['median_ms']:9.2f} {result['ratio']:7.3f}   "
          f"{result['ratio_of_minima']:6.3f}   {eager['p10_ms']:.1f}-{eager['p90_ms']:.1f} / "
          f"{limbeck['p10_ms']:.1f}-{limbeck['p90_ms']:.1f}", flush=True)


def run_case(options, memory_format, dtype, folder):
    torch.manual_seed(0)
    model = getattr(torchvision.models, options.model)()
    x, y = torch.randn(options.batch, 3, options.size, options.size), torch.randint(1000, (options.batch,))
    weights, data = folder / "weights.safetensors", folder / "data.safetensors"
    safetensors.torch.save_file(model.state_dict(), weights)
    safetensors.torch.save_file({"x": x, "y": y}, data)
    layout = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    eager = Eager(model, x, y, layout, dtype == "bf16")
    limbeck = Limbeck(options.server, threads=options.threads)
    limbeck.ask(f"load {options.limbeck_model or zoo_name(options)} {weights} {memory_format} {dtype} {options.threads}")
    limbeck.ask(f"data {data}")
    num_equal = check(eager, limbeck, folder)
    results = []
    for what in ("infer", "train"):
        rounds = compare(eager, limbeck, what, options)
        result = {"case": f"{what} {dtype} {memory_format}", "bit_equal_tensors": num_equal,
                  "eager": summary(rounds["eager"]), "limbeck": summary(rounds["limbeck"]),
                  "ratio": paired_ratio(rounds)}
        result["ratio_of_minima"] = result["limbeck"]["min_ms"] / result["eager"]["min_ms"]
        results.append(result)
        print_row(result)
    limbeck.close()
    return results


def has_native_bf16():
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def machine():
    return {"cpu": cpu_name(), "isa": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__,
            "python": platform.python_version()}


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="build/release/bench/model_speed_server")
    parser.add_argument("--model", default="resnet18", help="a torchvision model")
    parser.add_argument("--limbeck-model", help="what limbeck::load takes for it; default: the same name in the zoo")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--iterations", type=int, default=6, help="runs in a round")
    parser.add_argument("--skip", type=int, default=1, help="runs at the start of a round that do not count")
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--formats", nargs="+", default=["contiguous", "channels_last"])
    parser.add_argument("--dtypes", nargs="+", default=["fp32"] + (["bf16"] if has_native_bf16() else []))
    parser.add_argument("--json", help="also write the results here")
    return parser.parse_args()


def main():
    options = parse_options()
    torch.set_num_threads(options.threads)
    print(f"{options.model}, batch {options.batch}, 3x{options.size}x{options.size}, {options.threads} threads; "
          + ", ".join(f"{key} {value}" for key, value in machine().items()))
    print(f"{'case':<30} {'eager ms':>9} {'limbeck':>9} {'ratio':>7}   minima   p10-p90 ms")
    if os.getloadavg()[0] > 0.5:
        print(f"warning: the machine is busy (load {os.getloadavg()[0]:.1f}); times below are not those of a quiet one")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype in options.dtypes:
            for memory_format in options.formats:
                results += run_case(options, memory_format, dtype, Path(folder))
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": machine(), "results": results}, indent=1))
    slow = [result["case"] for result in results if result["ratio"] > LIMIT]
    if slow:
        sys.exit(f"slower than {LIMIT} times eager: {', '.join(slow)}")


if __name__ == "__main__":
    main()

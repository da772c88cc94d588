"""Training steps of Limbeck against PyTorch eager, torch.compile and, where its environment exists, IPEX.

A step is forward, cross-entropy, backward and optimizer, two threads, the same weights and batch everywhere. Before the
clock starts, the losses of the first steps are compared with eager's in the same precision; the error that is printed is
the largest relative one. Rounds of all sides alternate, and a ratio is the median over the turns of peer time by ours
within a turn: above 1, Limbeck is faster. Then our side runs a few steps under ATen's profiler callbacks, and in bursts
what the machine can multiply and add at best.

    .venv/bin/python bench/training/training.py [--ipex PYTHON_OF_ITS_ENVIRONMENT] [--rows resnet18] [--dtypes fp32]

Prints two tables in Markdown at the end. Nothing is asked; a peer that fails is left out of its row and named.
"""

import argparse
import dataclasses
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path

import safetensors.torch
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1])]
import models  # noqa: E402
from side_by_side import Server, alternate, cpu_name  # noqa: E402

# Largest relative difference of a loss from eager's: fp32 is what rounding does over the checked steps.
LOSS_LIMIT = {"fp32": 1e-3, "bf16": 3e-2}

PEERS = {"eager": "eager", "eager_default": "default", "compile": "torch.compile", "ipex": "IPEX"}
KINDS = ["convolution", "matrix product", "attention", "norm", "elementwise, sums", "pooling", "copies, casts",
         "optimizer", "rest"]


class Side(Server):
    """A process that answers line by line; one that stops to is left out of its row."""

    def ask(self, line):
        try:
            return super().ask(line)
        except (BrokenPipeError, SystemExit):
            raise RuntimeError(f"no answer to '{line}'") from None

    def close(self):
        try:
            super().close()
        except BrokenPipeError:
            self.process.wait()


@dataclasses.dataclass
class Row:
    """What one model in one precision gave. Ratios: peer's time by ours."""

    name: str
    dtype: str
    ms: float
    ratios: dict
    spread: dict
    loss_error: float
    share: float
    kinds: dict
    versions: dict
    failed: list

    def best(self):
        return min(self.ratios.values())


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
    peer = [str(Path(__file__).parent / "peer.py")]
    arguments = [row, str(folder / "weights.pt"), str(folder / "data.pt"), dtype, str(options.threads)]
    sides = {"limbeck": Side([options.server, str(folder / "model.pt2"), str(folder / "data.safetensors"),
                              "channels_last", dtype, models.ROWS[row][3], str(options.threads)], options.threads)}
    for kind in options.peers:
        sides[kind] = Side([sys.executable, *peer, kind, *arguments], options.threads)
    if options.ipex:
        sides["ipex"] = Side([options.ipex, "-W", "ignore", *peer, "ipex", *arguments], options.threads)
    return sides


def first_losses(sides, steps):
    """The first losses of every side; a peer without an answer is taken out of `sides`."""
    curves, failed = {}, []
    for name in list(sides):
        try:
            curves[name] = sides[name].numbers(f"losses {steps}")
        except RuntimeError:
            if name in ("limbeck", "eager"):
                raise
            sides.pop(name).close()
            failed.append(name)
    return curves, failed


def loss_error(curves, dtype):
    ours, expected = curves["limbeck"], curves["eager"]
    error = max(abs(a - b) / abs(b) for a, b in zip(ours, expected))
    if not error <= LOSS_LIMIT[dtype]:
        sys.exit(f"losses differ from eager's by {error:.2e}: {ours} and {expected}")
    return error


def time_rounds(sides, options):
    for side in sides.values():
        side.ask(f"train {options.warm_up}")
    return alternate({name: lambda side=side: statistics.median(side.numbers(f"train {options.steps}"))
                      for name, side in sides.items()}, options.rounds)


def kinds_of(server, steps):
    """Shares of a step's time by kind of work."""
    pairs = [part.rsplit(" ", 1) for part in server.ask(f"profile {steps}").strip("; ").split("; ")]
    total = sum(float(ms) for _, ms in pairs)
    return {kind: float(ms) / total for kind, ms in pairs}


def share_of_peak(server, dtype, ms):
    """Of the machine's best multiply-adds: a step makes those of the forward pass three times, but for the gradient of
    the input. Zero where the machine has none of that type."""
    forward, fp32, bf16 = server.numbers("macs")
    peak = fp32 if dtype == "fp32" else bf16
    return 3 * forward / (ms / 1e3) / peak if peak > 0 else 0.0


def run_row(row, dtype, options):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_problem(row, folder)
        sides = sides_of(row, dtype, folder, options)
        curves, failed = first_losses(sides, options.check_steps)
        error = loss_error(curves, dtype)
        rounds = time_rounds(sides, options)
        ours = statistics.median(rounds["limbeck"])
        by_turn = {kind: sorted(a / b for a, b in zip(times, rounds["limbeck"]))
                   for kind, times in rounds.items() if kind != "limbeck"}
        result = Row(name=row, dtype=dtype, ms=ours, loss_error=error, failed=failed,
                     ratios={kind: statistics.median(values) for kind, values in by_turn.items()},
                     spread={kind: (values[0], values[-1]) for kind, values in by_turn.items()},
                     versions={kind: side.ask("version") for kind, side in sides.items() if kind != "limbeck"},
                     kinds=kinds_of(sides["limbeck"], 3), share=share_of_peak(sides["limbeck"], dtype, ours))
        for side in sides.values():
            side.close()
    return result


def print_progress(row):
    ratios = ", ".join(f"{PEERS[kind]} {ratio:.3f} ({row.spread[kind][0]:.2f} to {row.spread[kind][1]:.2f})"
                       for kind, ratio in row.ratios.items())
    print(f"{row.name} {row.dtype}: {row.ms:.1f} ms; {ratios}; loss error {row.loss_error:.1e}"
          + (f"; failed: {', '.join(row.failed)}" if row.failed else ""), file=sys.stderr, flush=True)


def print_table(header, lines):
    print("| " + " | ".join(header) + " |")
    print("| " + " | ".join(["---"] + ["---:"] * (len(header) - 1)) + " |")
    for line in lines:
        print("| " + " | ".join(line) + " |")
    print()


def title(row):
    batch, size, _, optimizer = models.ROWS[row.name]
    return f"{row.name}, batch {batch}, {size}x{size}, {optimizer}, {row.dtype}"


def print_tables(rows, options):
    peers = [kind for kind in PEERS if any(kind in row.ratios for row in rows)]
    print_table(["row", *(PEERS[kind] for kind in peers), "loss error", "Limbeck", "share of peak"],
                [[title(row), *(f"{row.ratios[kind]:.2f}" if kind in row.ratios else "failed" for kind in peers),
                  f"{row.loss_error:.1e}", f"{row.ms:.0f} ms", f"{100 * row.share:.0f} %"] for row in rows])
    print_table(["share of Limbeck's step", *KINDS],
                [[f"{row.name}, {row.dtype}", *(f"{100 * row.kinds.get(kind, 0):.0f} %" for kind in KINDS)]
                 for row in rows])
    best = [row.best() for row in rows]
    versions = {kind: row.versions[kind] for row in rows for kind in row.versions}
    print(f"Best peer of each row: geometric mean {math.exp(statistics.mean(map(math.log, best))):.3f}, "
          f"smallest {min(best):.3f}.")
    print(f"{options.threads} threads, {options.rounds} turns of {options.steps} steps, {cpu_name()}, "
          f"{torch.backends.cpu.get_cpu_capability()}; "
          + "; ".join(f"{PEERS[kind]}: {version}" for kind, version in versions.items()))


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="build/release/bench/training_server")
    parser.add_argument("--rows", nargs="+", default=list(models.ROWS), choices=list(models.ROWS))
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--peers", nargs="+", default=["eager", "eager_default", "compile"])
    parser.add_argument("--ipex", help="Python of an environment with intel_extension_for_pytorch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=2, help="steps in a round")
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--check-steps", type=int, default=3)
    options = parser.parse_args()
    if "eager" not in options.peers:
        parser.error("--peers needs eager: losses are compared with it")
    return options


def main():
    options = parse_options()
    print(f"load {os.getloadavg()[0]:.1f} before", file=sys.stderr)
    rows = []
    for name in options.rows:
        for dtype in options.dtypes:
            rows.append(run_row(name, dtype, options))
            print_progress(rows[-1])
    print_tables(rows, options)


if __name__ == "__main__":
    main()

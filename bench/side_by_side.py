"""What the benchmarks' Python sides have in common: our side as a process, turns of rounds, the machine's name."""

import os
import statistics
import subprocess

import torch


class Server:
    """A process of bench/server.h, or a Python one that answers in the same way."""

    def __init__(self, command, threads=None, environment=None):
        command = [command] if isinstance(command, (str, os.PathLike)) else command
        threaded = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=dict(os.environ, **threaded, **(environment or {})))

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the server refused: {line}")
        return answer.rstrip("\n")

    def numbers(self, line):
        return [float(word) for word in self.ask(line).split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def alternate(sides, turns):
    """{name: [what sides[name]() gave in each turn]}, the order turned round each time."""
    results = {name: [] for name in sides}
    for turn in range(turns):
        for name in list(sides)[::1 if turn % 2 == 0 else -1]:
            results[name].append(sides[name]())
    return results


def median_ratio(numerators, denominators):
    """Median over the turns of the ratio within a turn: what else the machine does falls on both sides of it."""
    return statistics.median(a / b for a, b in zip(numerators, denominators))


def cpu_name():
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "?")


def declare_torchvision_operators():
    """The two operators that torchvision's Python code needs declared where its own library is not loaded."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        try:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:
            pass  # its library, or another program's, has them
    return library  # the declarations live as long as this does

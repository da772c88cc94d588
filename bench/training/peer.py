"""One peer of bench/training in a process of its own: PyTorch eager, torch.compile or IPEX, in its own environment.

    python peer.py KIND ROW WEIGHTS DATA DTYPE THREADS      KIND: eager, eager_default, compile, ipex

Commands on standard input: "losses N", the losses of the next N steps; "train N", the milliseconds of N steps; "version".
"""

import sys
import time

import torch
import torch.nn.functional as F

import models


class Trainee:
    def __init__(self, model, row, kind, bf16):
        sgd = models.ROWS[row][3] == "sgd"
        fused = {} if kind in ("eager_default", "ipex") else {"fused": True}
        self.bf16 = bf16
        if sgd:
            self.optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **fused)
        else:
            self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, **fused)
        self.model = model.train()
        if kind == "ipex":
            import intel_extension_for_pytorch as ipex
            self.model, self.optimizer = ipex.optimize(model, optimizer=self.optimizer,
                                                       dtype=torch.bfloat16 if bf16 else torch.float32)
        if kind == "compile":
            self.model = torch.compile(self.model)

    def step(self, x, y):
        self.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def answer(line, trainee, x, y):
    command, *count = line.split()
    if command == "version":
        names = [f"torch {torch.__version__}"]
        if "intel_extension_for_pytorch" in sys.modules:
            names.append("IPEX " + sys.modules["intel_extension_for_pytorch"].__version__)
        return ", ".join(names)
    if command == "losses":
        return " ".join(repr(trainee.step(x, y).item()) for _ in range(int(count[0])))
    times = []
    for _ in range(int(count[0])):
        start = time.perf_counter()
        trainee.step(x, y)
        times.append(1e3 * (time.perf_counter() - start))
    return " ".join(map(str, times))


def main():
    kind, row, weights, data, dtype, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    layout = torch.contiguous_format if kind == "eager_default" else torch.channels_last
    model = models.make(row)
    model.load_state_dict(torch.load(weights))
    model = model.to(memory_format=layout)
    batch = torch.load(data)
    x, y = batch["x"].contiguous(memory_format=layout), batch["y"]
    trainee = Trainee(model, row, kind, dtype == "bf16")
    for line in sys.stdin:
        print(answer(line, trainee, x, y), flush=True)


if __name__ == "__main__":
    main()

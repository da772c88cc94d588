"""Writes the small archives of tests/graph/capture/data, which the capture's unit tests read without Python.

    python tests/export/make_golden.py [--out tests/graph/capture/data]

Runs under torch 2.8 too, whose archives keep the weights in a pickle; those files have the version in their names.
Each module shows one thing that a reader must handle; values are seeded. Beside each archive NAME.pt2 stands
NAME.safetensors with `input/<i>`, `eval/output/<i>` and `step/...` as README.md defines them.
"""
import argparse
import collections
import pathlib
import re
import sys

import torch
import torch.nn.functional as F
from torch import nn
from safetensors.torch import save_file

import export_pair
import reference

BATCH = 3
Heads = collections.namedtuple("Heads", "logits auxiliary")


class Tiny(nn.Module):
    """conv, batch norm, relu, dropout, linear."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.drop, self.fc = nn.Dropout(0.25), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.drop(F.relu(self.bn(self.conv(x))).mean((2, 3))))


class NamedOutputs(nn.Module):
    """An auxiliary head in train mode only, in a named tuple; a tensor in eval mode."""

    def __init__(self):
        super().__init__()
        self.body, self.fc, self.aux = nn.Conv2d(2, 4, 1), nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        y = self.body(x).flatten(2).mean(-1)
        return Heads(self.fc(y), self.aux(y)) if self.training else self.fc(y)


class Dropping(nn.Module):
    """Stochastic depth in the three forms of torchvision, timm and transformers; every branch is scaled or not."""

    def __init__(self):
        super().__init__()
        self.fc = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
        self.rate = 0.4

    def forward(self, x):
        keep, shape = 1 - self.rate, (x.shape[0], 1)
        for form, fc in enumerate(self.fc):
            y = fc(x)
            if self.training and self.rate > 0.0:
                y = self.drop(y, form, keep, shape)
            x = x + y
        return x

    def drop(self, y, form, keep, shape):
        if form == 0:
            return y * torch.empty(shape, dtype=y.dtype, device=y.device).bernoulli_(keep).div_(keep)
        if form == 1:
            return y * y.new_empty(shape).bernoulli_(keep).div_(keep)
        if form == 2:
            mask = keep + torch.rand(shape, dtype=y.dtype, device=y.device)
            return y.div(keep) * mask.floor_()
        return y * y.new_empty(shape).bernoulli_(keep)


class Views(nn.Module):
    """Writes through views of views, into a copy and into a buffer inside no_grad."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.register_buffer("average", torch.zeros(6))
        self.register_buffer("mask", torch.tensor([1.0, 0, 1, 0, 1, 0]), persistent=False)

    def forward(self, x):
        y = self.fc(x).clone()
        y[:, 1:3].mul_(2.0)
        y.view(-1, 2, 3)[:, 0, 1:].add_(x[:, :2])
        y.t()[5].copy_(x[:, 0])
        y[:, 4] = 1.5
        if self.training:
            with torch.no_grad():
                self.average.lerp_(y.mean(0), 0.1)
        return F.relu_(y) * self.mask - self.average


class Tied(nn.Module):
    """A linear weight under two names, a convolution called twice, a transposed view that shares storage."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.conv = nn.Linear(4, 4), nn.Linear(4, 4), nn.Conv1d(1, 1, 3, padding=1)
        self.second.weight = self.first.weight
        self.register_buffer("table", torch.arange(12.0).reshape(3, 4))
        self.register_buffer("turned", self.table.t())

    def forward(self, x):
        y = self.second(torch.tanh(self.first(x)))
        y = self.conv(self.conv(y.unsqueeze(1))).squeeze(1)
        return y @ self.turned + self.table[:, :3].sum(0)


class Keywords(nn.Module):
    """Token ids and a mask by keyword, embedding tied to the output, attention with dropout, a dict comes out."""

    def __init__(self):
        super().__init__()
        self.embed, self.qkv, self.norm = nn.Embedding(11, 8), nn.Linear(8, 24), nn.LayerNorm(8)
        self.rate = 0.1

    def forward(self, ids, mask=None, scale=1.0):
        x = self.embed(ids)
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        allowed = mask[:, None, None, :].bool()
        y = F.scaled_dot_product_attention(q, k, v, allowed, dropout_p=self.rate if self.training else 0.0)
        y = self.norm(x + y.transpose(1, 2).flatten(2) * scale)
        return {"logits": y @ self.embed.weight.t(), "hidden": {"last": y, "none": None}}


def cases():
    """name -> (module, args, kwargs): tensors with the batch as axis 0."""
    image = lambda batch: ((torch.randn(batch, 2, 5, 5),), {})
    vector = lambda width: lambda batch: ((torch.randn(batch, width),), {})

    def words(batch):
        mask = (torch.arange(5) < 5 - torch.arange(batch)[:, None] % 3).long()
        return (torch.randint(0, 11, (batch, 5)),), {"mask": mask, "scale": 0.5}

    return {"tiny": (Tiny(), image), "named_outputs": (NamedOutputs(), image), "dropping": (Dropping(), vector(4)),
            "views": (Views(), vector(6)), "tied": (Tied(), vector(4)), "keywords": (Keywords(), words)}


def without_paths(program):
    """Shortens the file names in stack traces to what is the same on every machine."""
    for module in program.graph_module.modules():
        for node in getattr(module, "graph", torch.fx.Graph()).nodes:
            trace = node.meta.get("stack_trace")
            if trace:
                node.meta["stack_trace"] = re.sub(r'File "[^"]*?([^/"]+/[^/"]+)"', r'File "\1"', trace)
    return program


def set_rates(module, value):
    """Replaces every drop rate."""
    for child in module.modules():
        if isinstance(child, nn.Dropout):
            child.p = value
        elif hasattr(child, "rate"):
            child.rate = value


def write_case(name, module, inputs, out, suffix):
    torch.manual_seed(len(name))
    args, kwargs = inputs(BATCH)
    pair = export_pair.export_pair(module, args, None, kwargs)
    programs = {"eval": pair["eval"], "train": pair["train"]}
    if not suffix:
        programs["eval_b1"] = export_pair._export(module.eval(), *inputs(1), None)
    if name == "tiny" and not suffix:
        programs["eval_decomposed"] = pair["eval"].run_decompositions()
        programs["train_decomposed"] = pair["train"].run_decompositions()
    for mode, program in programs.items():
        torch.export.save(without_paths(program), out / f"{name}_{mode}{suffix}.pt2")
    if not suffix or name == "tiny":
        pair = {mode: programs[mode] for mode in ("eval", "train")}
        export_pair.package_pt2(str(out / f"{name}_pair{suffix}.pt2"), exported_programs=pair)
    write_results(name, module, (args, kwargs), out, suffix)


def write_results(name, module, inputs, out, suffix):
    record = {f"input/{i}": tensor for i, tensor in enumerate(reference.tensor_leaves(inputs))}
    with reference.run_settings():
        with torch.no_grad():
            outputs = reference.tensor_leaves(module.eval()(*inputs[0], **inputs[1]))
        record |= {f"eval/output/{i}": tensor.clone() for i, tensor in enumerate(outputs)}
        set_rates(module.train(), 0.0)
        record |= reference.step(module, dict(module.named_parameters()), dict(module.named_buffers()), inputs, 7)
    path = out / f"{name}{suffix}.safetensors"
    save_file({key: tensor.detach().clone().contiguous() for key, tensor in record.items()}, path)
    path.chmod(0o644)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/graph/capture/data"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    version = ".".join(torch.__version__.split(".")[:2])
    suffix = "" if version == "2.13" else f"_torch{version}"
    torch.manual_seed(1)
    for name, (module, inputs) in cases().items():
        write_case(name, module, inputs, arguments.out, suffix)
    return 0


if __name__ == "__main__":
    sys.exit(main())

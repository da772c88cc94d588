"""Writes the files that the tests of limbeck/graph/weights read, with Python's own torch.save.

    .venv/bin/python tests/graph/weights/data/make_data.py

Values follow a pattern that the tests compute again: element i (in row-major order) of a tensor made by pattern() is
i * 0.25 - 1. The files are committed; torch 2.13.0 wrote them.
"""
import argparse
import collections
import io
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent
LEGACY = {"_use_new_zipfile_serialization": False}


def pattern(*shape, dtype=torch.float32):
    count = 1
    for size in shape:
        count *= size
    return (torch.arange(count, dtype=torch.float64) * 0.25 - 1).to(dtype).reshape(shape)


class Net(nn.Module):
    """Linear and batch norm: parameters, buffers and an int64 counter."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.bn = nn.BatchNorm1d(2)
        with torch.no_grad():
            for tensor in self.state_dict().values():
                if tensor.is_floating_point():
                    tensor.copy_(pattern(*tensor.shape))
            self.bn.num_batches_tracked.fill_(7)

    def forward(self, x):
        return self.bn(self.fc(x))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(4, 3)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight
        with torch.no_grad():
            self.embed.weight.copy_(pattern(4, 3))


def save(name, value, both=True, **options):
    torch.save(value, HERE / f"{name}.pth", **options)
    if both:
        torch.save(value, HERE / f"{name}_legacy.pth", **LEGACY, **options)


def dtypes():
    return {
        "f64": pattern(2, 3, dtype=torch.float64),
        "f32": pattern(2, 3),
        "f16": pattern(2, 3, dtype=torch.float16),
        "bf16": pattern(2, 3, dtype=torch.bfloat16),
        "i64": torch.tensor([-(2**62), 0, 2**62]),
        "i32": torch.tensor([-1, 0, 2**31 - 1], dtype=torch.int32),
        "i16": torch.tensor([-300, 300], dtype=torch.int16),
        "i8": torch.tensor([-128, 127], dtype=torch.int8),
        "u8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "c64": torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex64),
        "c64_conj": torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex64).conj(),
        "u16": torch.tensor([0, 65535], dtype=torch.uint16),
        "f8": torch.tensor([0.5, -2.0]).to(torch.float8_e4m3fn),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "requires_grad": pattern(2).requires_grad_(),
    }


def views():
    base = pattern(4, 6)
    return {
        "base": base,
        "transposed": base.t(),
        "columns": base[:, 2:4],
        "row": base[3],
        "expanded": base[0, :1].expand(5),
        "channels_last": pattern(1, 2, 2, 2).to(memory_format=torch.channels_last),
    }


def checkpoint():
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(pattern(4, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "arch": "net",
        "best": 0.875,
        "big": 2**80,
        "args": argparse.Namespace(lr=0.1, layers=[1, 2], name="größe"),
        "model_state_dict": Net().state_dict(),
        "optimizer": optimizer.state_dict(),
        "dtype": torch.float16,
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "bytes": b"\x00\xff\x80",
        "set": {1, 2},
        "counts": collections.defaultdict(int, a=1),
        "nothing": None,
        "flags": (True, False),
    }


def parameters():
    tagged = nn.Parameter(pattern(2, 2))
    tagged.note = "an attribute"
    attributed = pattern(3)
    attributed.note = "an attribute"
    return {"plain": nn.Parameter(pattern(3), requires_grad=False), "tagged": tagged, "attributed": attributed}


def values():
    """What a pickle of plain values may hold; the tests spell the same value out as text."""
    nested = {"deep": [(), [], {}]}
    return {
        "ints": [0, 255, 256, 65536, -1, 2**31, -(2**63)],
        "floats": (1.5, -0.0, 1e300),
        "flags": (True, False, None),
        "text": "h\u00e9 \u20ac \U0001f600",
        "bytes": b"\x00\x7f\xff",
        "set": {7},
        "twice": [nested, nested],
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "pair": (1, "x"),
        "four": (1, 2, 3, 4),
        "object": argparse.Namespace(lr=0.5),
        "class": collections.Counter,
    }


def legacy_view(path):
    """Storages that are views of another one, as torch wrote them before 0.4: by hand, since no torch of today does."""
    buffer = io.BytesIO()
    pickle.dump(torch.serialization.MAGIC_NUMBER, buffer, protocol=2)
    pickle.dump(1001, buffer, protocol=2)
    pickle.dump({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, buffer, protocol=2)
    root = pattern(10)

    class View:
        def __init__(self, offset, count):
            self.offset, self.count = offset, count

    class Tensor:
        def __init__(self, view, *shape):
            self.view, self.shape = view, shape

        def __reduce__(self):
            return (torch._utils._rebuild_tensor_v2, (self.view, 1, self.shape, (1,), False, collections.OrderedDict()))

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            if isinstance(value, View):
                return ("storage", torch.FloatStorage, "77", "cpu", 10, (str(value.offset), value.offset, value.count))
            return None

    Pickler(buffer, protocol=2).dump({"a": Tensor(View(2, 4), 3), "b": Tensor(View(5, 5), 4)})
    pickle.dump(["77"], buffer, protocol=2)
    buffer.write(struct.pack("<q", 10))
    buffer.write(struct.pack("<10f", *root.tolist()))
    path.write_bytes(buffer.getvalue())


def repack(source, target, compression=zipfile.ZIP_STORED, replace=None):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            content = old.read(name)
            for ending, other in (replace or {}).items():
                if name.endswith(ending):
                    content = other
            new.writestr(zipfile.ZipInfo(name), content, compression)


def main():
    torch.manual_seed(0)
    save("state_dict", Net().state_dict())
    save("dtypes", dtypes())
    save("views", views())
    save("checkpoint", checkpoint())
    save("tied", Tied().state_dict())
    save("parameters", parameters())
    save("module", Net())
    save("module_nested", {"epoch": 1, "model": Net()}, both=False)
    save("data_parallel", nn.DataParallel(Net()).state_dict(), both=False)
    save("averaged", torch.optim.swa_utils.AveragedModel(Net(), use_buffers=True).state_dict(), both=False)
    wrapped = {f"_orig_mod.module.{name}": tensor for name, tensor in Net().state_dict().items()}
    save("compiled", {"state_dict": wrapped}, both=False)
    save("no_weights", {"epoch": 1, "history": [0.5, 0.25]}, both=False)
    save("empty", nn.Identity().state_dict(), both=False)
    save("list", [pattern(2), 1], both=False)
    quantized = torch.quantize_per_tensor(pattern(4), 0.1, 0, torch.qint8)
    save("quantized", {"w": quantized, "plain": pattern(2)}, both=False)
    for protocol in (1, 3, 4, 5):
        save(f"protocol{protocol}", Net().state_dict(), both=False, pickle_protocol=protocol)
    old = Net().state_dict()
    del old["bn.num_batches_tracked"]
    save("before_batch_counters", old, both=False)
    for protocol in range(6):
        (HERE / f"values_protocol{protocol}.pkl").write_bytes(pickle.dumps(values(), protocol=protocol))
    legacy_view(HERE / "view_legacy.pth")
    repack(HERE / "state_dict.pth", HERE / "compressed.pth", compression=zipfile.ZIP_DEFLATED)
    repack(HERE / "state_dict.pth", HERE / "repacked.pth")
    repack(HERE / "state_dict.pth", HERE / "big_endian.pth", replace={"/byteorder": b"big"})
    content = (HERE / "state_dict_legacy.pth").read_bytes()
    little = b"little_endianq\x02\x88"
    assert little in content
    (HERE / "big_endian_legacy.pth").write_bytes(content.replace(little, b"little_endianq\x02\x89"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Linear(2, 2)).save(str(HERE / "script.pt"))
    torch.export.save(torch.export.export(nn.Linear(2, 2), (pattern(1, 2),)), HERE / "exported.pt2")
    forget_machine()


def forget_machine():
    """Replaces the folder of this checkout, which pickles and stack traces name, by another of the same length."""
    here = str(Path(__file__).parents[4]).encode()
    other = (b"/checkout" + b"/" * len(here))[: len(here)]
    legacy = HERE / "module_legacy.pth"
    legacy.write_bytes(legacy.read_bytes().replace(here, other))
    exported = HERE / "exported.pt2"
    with zipfile.ZipFile(exported) as archive:
        records = [(name, archive.read(name).replace(here, other)) for name in archive.namelist()]
    with zipfile.ZipFile(exported, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records:
            archive.writestr(zipfile.ZipInfo(name), content)


if __name__ == "__main__":
    main()

"""What limbeck/graph/weights/pth_writer wrote, read by Python: torch.load(weights_only=True), then strictly into a module.

Runs graph_weights_test of the build tree to write the files, so it is started in the build tree (by ctest).
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "data"))
from make_data import Net, pattern  # noqa: E402


def find_binary():
    for folder in (Path.cwd() / "tests", Path.cwd()):
        if (folder / "graph_weights_test").exists():
            return folder / "graph_weights_test"
    raise SystemExit("graph_weights_test is not in the build tree: " + str(Path.cwd()))


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))


def check_various(path):
    state = torch.load(path, weights_only=True)
    for mapped in (torch.load(path, weights_only=True, mmap=True),):
        assert all(same(state[name], mapped[name]) for name in state if state[name].dim()), "mmap differs"
    base = pattern(4, 6)
    complex64 = torch.complex(pattern(2), pattern(2))
    expected = {
        "f64": pattern(2, 3, dtype=torch.float64),
        "f32": pattern(2, 3),
        "f16": pattern(2, 3, dtype=torch.float16),
        "bf16": pattern(2, 3, dtype=torch.bfloat16),
        "i64": torch.full((2,), 2**62),
        "i32": torch.full((2,), -5, dtype=torch.int32),
        "i16": torch.full((2,), -5, dtype=torch.int16),
        "i8": torch.full((2,), -5, dtype=torch.int8),
        "u8": torch.full((2,), 250, dtype=torch.uint8),
        "bool": torch.tensor([True, True]),
        "u16": torch.tensor([65535, 65535], dtype=torch.uint16),
        "f8": torch.tensor([0.5, 0.5]).to(torch.float8_e4m3fn),
        "c64": complex64,
        "c64_conj": complex64.conj().resolve_conj(),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "base": base,
        "transposed": base.t(),
        "row": base[3],
        "tied": base,
        "part": pattern(1000)[10:12],
        "channels_last": pattern(1, 2, 2, 2).to(memory_format=torch.channels_last),
        "requires_grad": pattern(2),
        "größe": pattern(1),
    }
    assert list(state) == list(expected), list(state)
    for name, tensor in expected.items():
        got = state[name]
        assert got.dtype == tensor.dtype and got.shape == tensor.shape, name
        assert got.dim() == 0 and torch.equal(got, tensor) or got.dim() and same(got, tensor), name
        assert not got.requires_grad, name
    assert state["transposed"].stride() == (1, 6)
    assert state["channels_last"].is_contiguous(memory_format=torch.channels_last)
    assert state["tied"].data_ptr() == state["base"].data_ptr()
    assert state["row"].untyped_storage().data_ptr() == state["base"].untyped_storage().data_ptr()


def check_net(path):
    net = Net()
    result = net.load_state_dict(torch.load(path, weights_only=True), strict=True)
    assert not result.missing_keys and not result.unexpected_keys
    assert torch.equal(net.fc.weight, pattern(2, 3) * 2)
    assert net.bn.num_batches_tracked.item() == 9
    nn.Identity().load_state_dict(torch.load(path.parent / "nothing.pth", weights_only=True), strict=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, LIMBECK_WRITE_TO=folder)
        names = "PthWriter.ReadsBackWhatItWrote:PthWriter.WritesAStateDictForPython"
        subprocess.run([find_binary(), "--gtest_filter=" + names, "--gtest_brief=1"], env=environment, check=True)
        check_various(Path(folder) / "various.pth")
        check_net(Path(folder) / "net.pth")
    print("Python reads what pth_writer wrote")


if __name__ == "__main__":
    main()

"""torchvision's own JPEG decoder, also where its library, built for CUDA, meets a libtorch without."""

import ctypes
import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from side_by_side import declare_torchvision_operators  # noqa: E402

_declared = declare_torchvision_operators()


def _provide_cuda_symbols(image_library):
    """Libraries of the names that it asks for, whose functions stop the program: the CPU's decoder calls none of them."""
    listing = subprocess.run(["nm", "-D", "--undefined-only", image_library], capture_output=True, text=True, check=True)
    symbols = re.findall(r"\b(_ZN?K?\w*c104cuda\w+)", listing.stdout)
    code = "".join(f"void* {name};\n" if "allocator" in name else f"void {name}(void) {{ __builtin_trap(); }}\n"
                   for name in symbols)
    with tempfile.TemporaryDirectory() as folder:
        for name, source in (("libc10_cuda.so", code), ("libtorch_cuda.so", "")):
            path = pathlib.Path(folder) / name
            subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", path, "-x", "c", "-"], input=source,
                           text=True, check=True)
            ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


def load():
    """Loads torchvision's image library; afterwards torch.ops.image.decode_jpeg is there."""
    library = str(pathlib.Path(importlib.util.find_spec("torchvision").submodule_search_locations[0]) / "image.so")
    try:
        torch.ops.load_library(library)
    except OSError:
        _provide_cuda_symbols(library)
        torch.ops.load_library(library)


load()

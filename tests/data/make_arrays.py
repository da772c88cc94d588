"""Writes .npy files as NumPy writes them into tests/data/arrays. Every array counts 0, 1, 2, ... in C order, [2, 3, 4].

    .venv/bin/python tests/data/make_arrays.py [--out tests/data/arrays]
"""
import argparse
import pathlib

import numpy as np
from numpy.lib import format as npy

DTYPES = ["|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", ">i4", ">f8", ">u2"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "arrays")
    folder = parser.parse_args().out
    folder.mkdir(exist_ok=True)
    counting = np.arange(24).reshape(2, 3, 4)
    for dtype in DTYPES:
        name = dtype.replace("|", "").replace("<", "little_").replace(">", "big_")
        np.save(folder / f"{name}.npy", counting.astype(dtype))
    np.save(folder / "fortran.npy", np.asfortranarray(counting.astype(np.int32)))
    np.save(folder / "scalar.npy", np.float32(7))
    np.save(folder / "empty.npy", np.zeros((0, 3), np.uint8))
    for version in ((1, 0), (2, 0), (3, 0)):
        with open(folder / f"version_{version[0]}.npy", "wb") as out:
            npy.write_array(out, counting.astype(np.int16), version=version)
    np.save(folder / "object.npy", np.array([{}, 1], object), allow_pickle=True)
    np.save(folder / "records.npy", np.zeros(2, [("a", "<i4"), ("b", "<f4")]))
    np.save(folder / "text.npy", np.array(["ab", "c"]))
    np.save(folder / "complex.npy", np.zeros(2, np.complex64))


if __name__ == "__main__":
    main()

"""Splits Fashion-MNIST by class for `npy:FOLDER`: OUT/first has all images of the classes 0, 2, 4, 6, 8, OUT/second 100
training images and all test images of the classes 1, 3, 5, 7, 9. Usage: split_fashion_mnist.py FOLDER_OF_IDX_FILES OUT"""
import gzip
import pathlib
import sys

import numpy as np


def idx(folder, name, header):
    path = next(folder.glob(name + "*"))
    data = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    return np.frombuffer(data, np.uint8, offset=header)


source, out = map(pathlib.Path, sys.argv[1:])
for part, remainder, limit in (("first", 0, None), ("second", 1, 100)):
    (out / part).mkdir(parents=True, exist_ok=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        images = idx(source, name + "-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
        labels = idx(source, name + "-labels-idx1-ubyte", 8)
        chosen = np.flatnonzero(labels % 2 == remainder)[: limit if split == "train" else None]
        np.save(out / part / f"{split}_images.npy", images[chosen])
        np.save(out / part / f"{split}_labels.npy", (labels[chosen] // 2).astype(np.int64))

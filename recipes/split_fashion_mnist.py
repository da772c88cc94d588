"""Splits Fashion-MNIST by class for `npy:FOLDER`: OUT/first has all images of T-shirt, trouser, pullover, sandal and sneaker,
OUT/second all test images of dress, coat, shirt, bag and ankle boot, and the first 100 training images of each.
Usage: split_fashion_mnist.py FOLDER_OF_IDX_FILES OUT"""
import gzip
import pathlib
import sys

import numpy as np

PARTS = {"first": ([0, 1, 2, 5, 7], None), "second": ([3, 4, 6, 8, 9], 100)}  # classes, training images of each


def idx(folder, name, header):
    path = next(folder.glob(name + "*"))
    data = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    return np.frombuffer(data, np.uint8, offset=header)


source, out = map(pathlib.Path, sys.argv[1:])
for part, (classes, limit) in PARTS.items():
    (out / part).mkdir(parents=True, exist_ok=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        images = idx(source, name + "-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
        labels = idx(source, name + "-labels-idx1-ubyte", 8)
        of_each = [np.flatnonzero(labels == label)[: limit if split == "train" else None] for label in classes]
        chosen = np.sort(np.concatenate(of_each))
        np.save(out / part / f"{split}_images.npy", images[chosen])
        np.save(out / part / f"{split}_labels.npy", np.searchsorted(classes, labels[chosen]).astype(np.int64))

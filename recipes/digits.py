"""Writes scikit-learn's handwritten digits as 28x28 images for `npy:FOLDER`: 100 to train on, the other 1,697 to test."""
import pathlib
import sys

import numpy as np
from sklearn.datasets import load_digits

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
digits = load_digits()
images = np.kron(digits.images * 255 / 16, np.ones((1, 3, 3)))               # 8x8 in 0..16  ->  24x24 in 0..255
images = np.pad(images, ((0, 0), (2, 2), (2, 2))).round().astype(np.uint8)[:, None]
for split, part in (("train", slice(None, 100)), ("test", slice(100, None))):
    np.save(folder / f"{split}_images.npy", images[part])
    np.save(folder / f"{split}_labels.npy", digits.target[part].astype(np.int64))

"""Real data of a few kilobytes: scikit-learn's 8x8 digits, which come with it."""

import copy
import functools

import numpy
import torch
from sklearn.datasets import load_digits
from torch import nn

import limbeck as lb


@functools.lru_cache(maxsize=None)
def digits():
    """(images uint8 [1797, 1, 8, 8] in 0..255, labels int64 [1797])."""
    found = load_digits()
    pixels = torch.tensor(found.images * (255 / 16), dtype=torch.uint8)[:, None]
    return pixels, torch.tensor(found.target)


def split():
    """((images, labels) to train on, the same to test on)."""
    images, labels = digits()
    return (images[:1400], labels[:1400]), (images[1400:], labels[1400:])


def write_npy_folder(folder):
    """The folder that the dataset npy:FOLDER reads."""
    for name, (images, labels) in zip(("train", "test"), split()):
        numpy.save(folder / f"{name}_images.npy", images.numpy())
        numpy.save(folder / f"{name}_labels.npy", labels.numpy().astype("int64"))
    return f"npy:{folder}"


def module(seed=0, width=12):
    """A convolution, a batch norm and a classifier, as PyTorch has them."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(width * 16, 10))


@functools.lru_cache(maxsize=None)
def _captured(width):
    return lb.capture(module(width=width), torch.zeros(2, 1, 8, 8))


def net(seed=0, width=12):
    """The same as a Model of its own; captured once, since that takes a second."""
    model = copy.deepcopy(_captured(width))
    model.load_state_dict(module(seed, width).state_dict())
    return model

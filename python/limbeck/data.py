"""lb.data: Limbeck's deterministic loader, over its own datasets and over any of Python.

A torch DataLoader works with everything here as it is. This loader is for transforms in C++ (torchvision's, pixel for
pixel) by threads of this process, and for batches that are the same with any number of workers.
"""

import torch

from limbeck._extension import core as _core


def _sides(size):
    return [size] if isinstance(size, int) else list(size)


def resize(size, max_size=0):
    """The shorter side to `size` pixels, or to (height, width); bilinear and antialiased."""
    return _core.resize(_sides(size), max_size)


def center_crop(size):
    """The middle of `size` pixels, or (height, width)."""
    return _core.center_crop(_sides(size))


def random_crop(size=(), padding=4):
    """Pads by `padding` pixels of zero and cuts out a window of `size` (the image's, where none is given) at random."""
    return _core.random_crop(_sides(size), padding)


def random_resized_crop(size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """A box of random area and aspect ratio, resized to `size`."""
    return _core.random_resized_crop(_sides(size), list(scale), list(ratio))


def horizontal_flip(probability=0.5):
    """Mirrors left to right."""
    return _core.horizontal_flip(probability)


def normalize(mean, std):
    """(x - mean) / std of pixels in 0..1, one number a channel or one for all."""
    return _core.normalize(list(mean), list(std))


def trivial_augment():
    """TrivialAugment Wide (arXiv:2103.10158)."""
    return _core.trivial_augment()


class _Samples:
    """What the loader asks of a dataset of Python's: its size, and a sample as (tensor [C, H, W], label)."""

    def __init__(self, dataset, transform):
        self._dataset, self._transform = dataset, transform

    def size(self):
        return len(self._dataset)

    def sample(self, index):
        image, label = self._dataset[index]
        if self._transform is not None:
            image = self._transform(image)
        return _as_image(image), int(label)


def _as_image(image):
    """uint8 or float32 [C, H, W] of a tensor, an array or a PIL image."""
    if isinstance(image, torch.Tensor):
        return image
    import numpy

    array = numpy.asarray(image)
    if hasattr(image, "getbands"):  # PIL: rows of pixels
        array = array[:, :, None] if array.ndim == 2 else array
        return torch.from_numpy(array.copy()).permute(2, 0, 1)
    return torch.from_numpy(array)


def open_dataset(name, split="train", val_size=0):
    """A dataset by name: "fashion-mnist", "cifar10:FOLDER", "folder:FOLDER", "npy:FOLDER", "synthetic:10x1x28x28".

    `val_size`: samples that train gives up to the split "val". ValueError for an unknown name, naming the nearest.
    """
    return _core.open_dataset(name, split, val_size)


class Loader:
    """Batches (images float32 [B, C, H, W], labels int64 [B]). Iterating gives one epoch, and the next one after that.

    `dataset`: one of open_dataset(), or any object with __len__ and __getitem__ that gives (image, label); an image is a
    tensor or array [C, H, W], uint8 or float32, or a PIL image. `transform`: a function of yours on the image, called
    under the interpreter's lock; `transforms`: Limbeck's, after it, without the lock. A Python dataset needs `classes`,
    their number or names. Errors of samples come with the sample's index; with `skip_unreadable` samples whose reading
    raises OSError are left out.
    """

    def __init__(self, dataset, batch_size=128, *, shuffle=False, drop_last=False, channels_last=False, workers=0, seed=0,
                 transforms=(), transform=None, classes=None, skip_unreadable=False):
        self._dataset = _as_dataset(dataset, transform, classes)
        self._is_sought = False  # the place to iterate from is the one of seek()
        self._core = _core.Loader(self._dataset, batch_size, shuffle, drop_last, channels_last, workers, seed,
                                  list(transforms), skip_unreadable)

    def __len__(self):
        return self._core.batches_per_epoch()

    def __iter__(self):
        epoch, step = self._core.state()
        if step == len(self):  # all its batches were taken, and nobody asked for one more
            self._core.seek(epoch + 1, 0)
        elif step > 0 and not self._is_sought:  # an epoch that was left begins anew
            self._core.seek(epoch, 0)
        self._is_sought = False
        return iter(self._core.next, None)

    @property
    def state(self):
        """(epoch, step) of the next batch: all that a checkpoint needs."""
        return self._core.state()

    def seek(self, epoch, step=0):
        """Goes on from a state: the next iteration gives the batches of a run that was never interrupted."""
        self._core.seek(epoch, step)
        self._is_sought = True


def _as_dataset(dataset, transform, classes):
    if isinstance(dataset, _core.Dataset):
        if transform is not None or classes is not None:
            raise ValueError("[data] transform= and classes= are for datasets of Python's; this one has its own classes")
        return dataset
    if classes is None:
        raise ValueError("[data] a dataset of Python's needs classes=, their number or names")
    names = [str(i) for i in range(classes)] if isinstance(classes, int) else [str(name) for name in classes]
    return _core.python_dataset(_Samples(dataset, transform), type(dataset).__name__, names)

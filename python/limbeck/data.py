"""lb.data: Limbeck's deterministic loader, its datasets and transforms; all of them go with those of Python.

A torch DataLoader works with everything here as it is, and every dataset here with a DataLoader. This loader is for
transforms in C++ (torchvision's, pixel for pixel) by threads of this process, and for batches that are the same with any
number of workers.

The transforms are functions of torchvision's names: resize, center_crop, random_crop, random_resized_crop, pad,
random_horizontal_flip, random_vertical_flip, color_jitter, grayscale, random_grayscale, random_erasing, auto_augment,
rand_augment, trivial_augment_wide, normalize; of batches: mixup, cutmix.
"""

import atexit
import weakref

import torch

from limbeck import transforms as _transforms
from limbeck._extension import core as _core

Dataset = _core.Dataset
globals().update(_transforms.functions)
_loaders = weakref.WeakSet()  # those of _core, which iterators may hold alone


@atexit.register
def _close_loaders():
    """Ends all workers while they can still have the interpreter's lock to finish their samples."""
    for loader in list(_loaders):
        loader.close()


def mixup(alpha=1.0):
    """Each sample mixed with the one before it in the batch, by one share of Beta(alpha, alpha) (arXiv:1710.09412)."""
    return _core.mixup(alpha)


def cutmix(alpha=1.0):
    """A random box of each sample from the one before it in the batch, by Beta(alpha, alpha) (arXiv:1905.04899)."""
    return _core.cutmix(alpha)


def apply(transforms, image, *, seed=0, epoch=0, index=0):
    """What the loader makes of an image: float32 [C, H, W] of a tensor uint8 or float32 [C, H, W], or a PIL image.

    Random transforms draw what they draw for the sample `index` in that epoch of a loader with that seed.
    """
    return _core.apply_transforms(_as_list(transforms), _as_image(image), seed, epoch, index)


def open(name, split="train", val_size=0, path=None):
    """A dataset by name: "fashion-mnist", "cifar10:FOLDER", "folder:FOLDER", "npy:FOLDER", "safetensors:FILE",
    "synthetic:10x1x28x28".

    It has a length and items (image, label), `classes`, `name` and `shape`. `val_size`: samples that train gives up to
    the split "val". `path`: where the data lies, for names that are searched for. ValueError for an unknown name, naming
    the nearest; OSError for files that are missing or damaged.
    """
    return _core.open_dataset(name, split, val_size, None if path is None else str(path))


class Loader:
    """Batches (images float32 [B, C, H, W], labels int64 [B]). Iterating gives one epoch, and the next one after that.

    `dataset`: one of lb.data.open(), or any object with __len__ and __getitem__ that gives (image, label); an image is a
    tensor or array [C, H, W], uint8 or float32, or a PIL image. `transform`: a function of yours on the image, called
    under the interpreter's lock; `transforms`: Limbeck's, after it, without the lock. `batch_transforms`: mixup and
    cutmix, of which each batch draws one; labels are then targets, float32 [B, classes]. A dataset of Python's needs
    `classes`, their number or names, unless it has them as its `classes`.
    Errors of samples come with the sample's index; with on_error="skip", samples whose reading raises OSError are left
    out and counted in num_skipped. `scaled_decoding`: large JPEGs may be decoded at 1/2 to 1/8, for training alone.
    `prefetch`: batches held ready at most; 0: two a worker.
    """

    def __init__(self, dataset, batch_size=128, *, shuffle=False, drop_last=False, channels_last=False, pin_memory=False,
                 workers=0, prefetch=0, seed=0, transforms=(), batch_transforms=(), transform=None, classes=None,
                 on_error="raise", scaled_decoding=False):
        options = _core.LoaderOptions()
        options.batch_size, options.seed = batch_size, seed
        options.shuffle, options.drop_last = shuffle, drop_last
        options.channels_last, options.pin_memory = channels_last, pin_memory
        options.workers, options.prefetch = workers, prefetch
        options.set_on_error(on_error)
        options.set_scaled_decoding(scaled_decoding)
        options.set_transforms(_as_list(transforms))
        options.set_batch_transforms(_as_list(batch_transforms))
        self._has_own_code = transform is not None or not isinstance(dataset, Dataset)
        self.has_class_names = isinstance(dataset, Dataset) or _names(dataset, classes) is not None
        self._dataset = _as_dataset(dataset, transform, classes)
        self._is_sought = False  # the place to iterate from is the one of seek()
        self._core = _core.Loader(self._dataset, options)
        _loaders.add(self._core)

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
    def dataset(self):
        return self._dataset

    @property
    def classes(self):
        """Names of the classes; their numbers where the dataset has no names."""
        return self._core.class_names()

    @property
    def num_skipped(self):
        """Samples that could not be read and were left out so far."""
        return self._core.num_skipped()

    @property
    def preprocessing(self):
        """What an application must do to an image file before a model that was fed by this loader, as Model.preprocessing
        takes it; None where the loader can't say: with random transforms, code of yours, or images that are no bytes."""
        return None if self._has_own_code else self._core.preprocessing()

    @property
    def state(self):
        """(epoch, step) of the next batch: all that a checkpoint needs."""
        return self._core.state()

    def seek(self, epoch, step=0):
        """Goes on from a state: the next iteration gives the batches of a run that was never interrupted."""
        self._core.seek(epoch, step)
        self._is_sought = True


def preprocessing(transforms, shape):
    """Deterministic transforms that end in normalize, for images of `shape` (channels, height, width; -1 for a side that
    varies), as Model.preprocessing takes it. ValueError for a list that draws something or leaves the size open."""
    return _core.make_preprocessing(_as_list(transforms), list(shape))


def as_loader(data, *, split="train", classes=None, count_classes=None, **options):
    """The Loader of what lb.fit takes: a Loader as it is; a DataLoader as the loader of its dataset; else a new one with
    `options`. `count_classes(image)` is asked where a dataset of Python's does not say its classes."""
    if isinstance(data, Loader):
        return data
    if isinstance(data, torch.utils.data.DataLoader):
        data, options = _taken_apart(data, options)
    if isinstance(data, str):
        data = open(data, split)
    if isinstance(data, (tuple, list)) and len(data) == 2 and hasattr(data[0], "shape"):
        data = torch.utils.data.TensorDataset(*(torch.as_tensor(part) for part in data))
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        raise ValueError("[data] data must be an lb.data.Loader, a DataLoader, a dataset with a length and items, a pair "
                         f"of tensors (images, labels) or a dataset's name, got {type(data).__name__}")
    if not isinstance(data, Dataset) and classes is None and getattr(data, "classes", None) is None:
        classes = count_classes(_as_image(_as_pair(data[0])[0]))
    options["batch_size"] = min(options["batch_size"], max(len(data), 1))
    return Loader(data, classes=classes, **options)


def _taken_apart(loader, options):
    """A DataLoader's dataset, and its options as those of our Loader. What it samples or collates in another way than
    PyTorch's default would be lost, and is refused."""
    samplers = {torch.utils.data.SequentialSampler: False, torch.utils.data.RandomSampler: True}
    kind = type(loader.sampler)
    own = [name for name, is_own in (
        ("sampler", kind not in samplers or getattr(loader.sampler, "replacement", False)),
        ("batch_sampler", loader.batch_sampler is None or type(loader.batch_sampler) is not torch.utils.data.BatchSampler),
        ("collate_fn", loader.collate_fn is not torch.utils.data.default_collate),
    ) if is_own]
    if own:
        raise ValueError(f"[data] a DataLoader with its own {' and '.join(own)} can't be read by Limbeck's loader, which "
                         "makes the batches of a training. Give lb.data.Loader(dataset, ...), or train in a loop of your "
                         "own with lb.optimize.")
    return loader.dataset, {**options, "batch_size": loader.batch_size, "shuffle": samplers[kind],
                            "drop_last": loader.drop_last, "workers": loader.num_workers,
                            "pin_memory": loader.pin_memory and torch.accelerator.is_available()}


class _Samples:
    """What the loader asks of a dataset of Python's: its size, and a sample as (tensor [C, H, W], label)."""

    def __init__(self, dataset, transform):
        self._dataset, self._transform = dataset, transform

    def size(self):
        return len(self._dataset)

    def sample(self, index):
        image, label = _as_pair(self._dataset[index])
        if self._transform is not None:
            image = self._transform(image)
        return _as_image(image), _as_class(label)


_OWN_LOOP = "Data of other forms goes into a loop of your own: see lb.optimize."


def _as_pair(sample):
    """(image, label) of a sample. ValueError for what is not two."""
    if isinstance(sample, (tuple, list)) and len(sample) == 2:
        return sample
    if isinstance(sample, dict):
        what = f"a dict of {', '.join(map(str, sample))}"
    elif isinstance(sample, (tuple, list)):
        what = f"{len(sample)} of {', '.join(type(part).__name__ for part in sample)}"
    else:
        what = type(sample).__name__
    raise ValueError(f"[data] a sample must be a pair (image, label), got {what}. {_OWN_LOOP}")


def _as_class(label):
    """The label as a whole number. ValueError for a target that is none: several numbers, a fraction, a text."""
    try:
        number = int(label)
        if number == label:
            return number
    except (TypeError, ValueError, OverflowError, RuntimeError):  # what int() raises by type
        pass
    raise ValueError(f"[data] a label must be one class, a whole number, got {_describe(label)}. {_OWN_LOOP}")


def _describe(value):
    """Type and shape of an array, else the value."""
    if getattr(value, "shape", ()):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return repr(value)


def _as_image(image):
    """uint8 or float32 [C, H, W] of a tensor, an array or a PIL image. ValueError for another number of axes."""
    tensor = image if isinstance(image, torch.Tensor) else _from_array(image)
    if tensor.dim() != 3:
        raise ValueError(f"[data] an image must have the shape [C, H, W], got {_describe(tensor)}; features are images of "
                         f"height 1. {_OWN_LOOP}")
    return tensor


def _from_array(image):
    import numpy

    array = numpy.asarray(image)
    if hasattr(image, "getbands"):  # PIL: rows of pixels
        array = array[:, :, None] if array.ndim == 2 else array
        return torch.from_numpy(array.copy()).permute(2, 0, 1)
    return torch.from_numpy(array)


def _as_list(given):
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _names(dataset, classes):
    """Class names of a dataset of Python's; None where there are numbers at most."""
    found = classes if classes is not None else getattr(dataset, "classes", None)
    return None if found is None or isinstance(found, int) else [str(name) for name in found]


def _as_dataset(dataset, transform, classes):
    if isinstance(dataset, Dataset):
        if classes is not None:
            raise ValueError("[data] classes= is for datasets of Python's; this one has its own")
        if transform is None:
            return dataset
        return _core.python_dataset(_Samples(dataset, transform), dataset.name, dataset.classes)
    names = _names(dataset, classes)
    if names is None and classes is None:
        raise ValueError("[data] a dataset of Python's needs classes=, their number or names")
    return _core.python_dataset(_Samples(dataset, transform), type(dataset).__name__,
                                names if names is not None else [str(i) for i in range(classes)])

"""lb.data: Limbeck's loader over datasets of Python's."""

import re
import subprocess
import sys
import threading
import traceback

import pytest
import torch
from digits import split, write_npy_folder

import limbeck as lb


class Pictures:
    """Any object with a length and items will do."""

    def __init__(self, count=20, sizes=(8,), error=None):
        self.count, self.sizes, self.error, self.threads = count, sizes, error, set()

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.threads.add(threading.get_ident())
        if self.error is not None and index == 7:
            raise self.error
        side = self.sizes[index % len(self.sizes)]
        image = torch.full((3, side, side), index % 256, dtype=torch.uint8)
        return image, index % 4


def everything(loader):
    batches = list(loader)
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def test_loads_a_users_dataset():
    loader = lb.data.Loader(Pictures(), 8, classes=4)
    assert len(loader) == 3
    x, y = everything(loader)
    assert x.shape == (20, 3, 8, 8) and x.dtype == torch.float32
    torch.testing.assert_close(x[:, 0, 0, 0], torch.arange(20) / 255)
    assert y.tolist() == [index % 4 for index in range(20)]


def test_workers_give_the_same_batches():
    transforms = [lb.data.random_crop(padding=2), lb.data.random_horizontal_flip(), lb.data.normalize([0.5], [0.25])]
    options = {"shuffle": True, "seed": 3, "transforms": transforms, "classes": 4}
    pictures = Pictures()
    threaded = lb.data.Loader(pictures, 8, workers=2, **options)
    alone = lb.data.Loader(Pictures(), 8, **options)
    first = everything(threaded)
    for ours, theirs in zip(first, everything(alone)):
        assert torch.equal(ours, theirs)
    assert len(pictures.threads - {threading.get_ident()}) >= 1
    assert not torch.equal(everything(threaded)[1], first[1])  # the next epoch has another order
    threaded.seek(0, 1)
    assert torch.equal(everything(threaded)[1], first[1][8:])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_ends_unasked_is_over(workers):
    """zip and break take the last batch without asking for the one after it."""
    options = {"shuffle": True, "classes": 4, "workers": workers}
    loader, expected = lb.data.Loader(Pictures(), 8, **options), lb.data.Loader(Pictures(), 8, **options)
    epochs = [everything(expected)[1] for _ in range(4)]
    taken = [y for _, (_, y) in zip(range(len(loader)), loader)]
    assert torch.equal(torch.cat(taken), epochs[0]) and loader.state == (0, 3)
    taken = []
    for _, y in loader:
        taken.append(y)
        if len(taken) == len(loader):
            break
    assert torch.equal(torch.cat(taken), epochs[1])
    next(iter(loader))  # an epoch that was left begins anew
    assert torch.equal(everything(loader)[1], epochs[2])
    loader.seek(2, len(loader))  # a checkpoint of an epoch's end
    assert torch.equal(everything(loader)[1], epochs[3])


def test_images_of_many_sizes_are_resized():
    loader = lb.data.Loader(Pictures(sizes=(8, 11, 30)), 20, classes=4, transforms=[lb.data.resize(6), lb.data.center_crop(6)])
    x, _ = everything(loader)
    assert x.shape == (20, 3, 6, 6)


def test_users_transform_and_pil_images():
    from PIL import Image

    pictures = [(Image.new("RGB", (5, 4), (10 * i, 0, 255)), i % 2) for i in range(6)]
    loader = lb.data.Loader(pictures, 6, classes=["a", "b"], transform=lambda image: image.rotate(180))
    x, _ = everything(loader)
    assert x.shape == (6, 3, 4, 5)
    torch.testing.assert_close(x[:, 0, 0, 0], 10 * torch.arange(6) / 255)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_keep_their_class_and_name_the_sample(workers):
    with pytest.raises(ValueError, match="7.*broken|broken.*7"):
        list(lb.data.Loader(Pictures(error=ValueError("broken")), 8, classes=4, workers=workers))
    with pytest.raises(OSError, match="gone"):
        list(lb.data.Loader(Pictures(error=OSError("gone")), 8, classes=4, workers=workers))
    skipping = lb.data.Loader(Pictures(error=OSError("gone")), 8, classes=4, workers=workers, on_error="skip")
    assert len(everything(skipping)[1]) == 19 and skipping.num_skipped == 1
    with pytest.raises(KeyboardInterrupt):
        list(lb.data.Loader(Pictures(error=KeyboardInterrupt()), 8, classes=4, workers=workers))


def test_can_be_left_at_any_time():
    for _ in range(5):
        iterator = iter(lb.data.Loader(Pictures(500), 4, classes=4, workers=2))
        next(iterator)
        del iterator


SCRIPT_THAT_ENDS_IN_AN_EPOCH = """
import time, torch, limbeck as lb

class Slow:
    def __len__(self):
        return 1000

    def __getitem__(self, index):
        time.sleep(0.002)
        return torch.zeros(1, 4, 4, dtype=torch.uint8), index % 2

loader = lb.data.Loader(Slow(), batch_size=2, classes=2, workers=4)
batches = iter(loader)
next(batches)
{last_line}
print("end")
"""


@pytest.mark.parametrize("last_line", ["", "del loader", "raise SystemExit(print('end'))"])
def test_a_script_may_end_in_an_epoch(last_line):
    script = SCRIPT_THAT_ENDS_IN_AN_EPOCH.format(last_line=last_line)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "end\n", "")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error, kind", [(KeyError("k"), ValueError), (OSError("gone"), OSError)])
def test_the_users_exception_is_the_cause(workers, error, kind):
    batches = iter(lb.data.Loader(Pictures(error=error), 8, classes=4, workers=workers))
    for _ in range(2):  # it fails again, as long as nobody seeks
        with pytest.raises(kind, match="sample 7 of Pictures: .*(gone|KeyError: 'k')") as failure:
            next(batches)
        assert failure.value.__cause__ is error
        assert traceback.extract_tb(error.__traceback__)[-1].name == "__getitem__"


class Lopsided(Pictures):
    """All of one size but the one at 5."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return (image[:, :6] if index == 5 else image), label


def test_says_what_to_do_where_sizes_vary():
    with pytest.raises(ValueError, match=re.escape(
            "sample 5 of Lopsided: the image is [3, 6, 8], where the dataset's are [3, 8, 8], and a batch needs one size. "
            "Add random_resized_crop, center_crop or resize with height and width.")):
        list(lb.data.Loader(Lopsided(), 8, classes=4))
    x, _ = everything(lb.data.Loader(Lopsided(), 8, classes=4, transforms=[lb.data.resize((4, 4))]))
    assert x.shape == (20, 3, 4, 4)


def test_reads_one_sample_to_know_the_shape():
    asked = []

    class Watched(Pictures):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    lb.data.Loader(Watched(), 8, classes=4)
    assert asked == [0]


def test_a_dataset_smaller_than_a_batch_is_one_short_batch():
    loader = lb.data.Loader(Pictures(5), classes=4)
    assert [len(y) for _, y in loader] == [5]
    with pytest.raises(ValueError, match="leave drop_last out"):
        lb.data.Loader(Pictures(5), classes=4, drop_last=True)


def test_datasets_by_name():
    loader = lb.data.Loader(lb.data.open("synthetic:10x1x8x8?n=32"), 16)
    assert lb.evaluate(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), loader).samples == 32
    with pytest.raises(ValueError, match="fashion-mnist"):
        lb.data.open("fashion-mnits")
    with pytest.raises(ValueError, match="needs classes="):
        lb.data.Loader(Pictures())
    with pytest.raises(ValueError, match="'raise' or 'skip', got 'ignore'"):
        lb.data.Loader(Pictures(), classes=4, on_error="ignore")


def test_datasets_are_sequences(tmp_path):
    dataset = lb.data.open(write_npy_folder(tmp_path), "test")
    (_, _), (images, labels) = split()
    assert len(dataset) == len(images) and dataset.shape == (1, 8, 8) and dataset.classes == [str(i) for i in range(10)]
    assert dataset.name.startswith("npy") and dataset.label(3) == labels[3]
    image, label = dataset[-1]
    assert torch.equal(image, images[-1]) and label == labels[-1]
    assert len(list(dataset)) == len(dataset)
    x, y = next(iter(torch.utils.data.DataLoader(dataset, 16)))  # a dataset of torch's, too
    assert torch.equal(x, images[:16]) and torch.equal(y, labels[:16])
    held_out = lb.data.open(f"npy:{tmp_path}", "val", val_size=100)
    assert len(held_out) == 100 and len(lb.data.open(f"npy:{tmp_path}", val_size=100)) == 1300
    with pytest.raises(OSError, match="images.npy"):
        lb.data.open(f"npy:{tmp_path / 'elsewhere'}")


def test_a_transform_of_ones_own_on_any_dataset(tmp_path):
    dataset = lb.data.open(write_npy_folder(tmp_path), "test")
    loader = lb.data.Loader(dataset, 16, transform=lambda image: 255 - image, transforms=lb.data.random_crop(6, 0), workers=2)
    x, y = next(iter(loader))
    plain, _ = next(iter(lb.data.Loader(dataset, 16, transforms=lb.data.random_crop(6, 0))))
    torch.testing.assert_close(x, 1 - plain)
    assert loader.classes == dataset.classes and loader.preprocessing is None

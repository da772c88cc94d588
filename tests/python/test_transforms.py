"""lb.data's transforms: the library's table as functions, and what they do."""

import ast
import inspect
import pathlib

import pytest
import torch
from digits import digits

import limbeck as lb
from limbeck import transforms

PICTURE = torch.randint(256, (3, 21, 17), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]

# One call with options of every transform.
CALLS = {
    "random_crop": lambda: lb.data.random_crop(12, padding=3, padding_mode="reflect"),
    "random_horizontal_flip": lambda: lb.data.random_horizontal_flip(p=0.5),
    "normalize": lambda: lb.data.normalize(MEAN, std=STD),
    "resize": lambda: lb.data.resize(14, max_size=18, interpolation="bicubic"),
    "center_crop": lambda: lb.data.center_crop((11, 9)),
    "random_resized_crop": lambda: lb.data.random_resized_crop(12, scale=(0.3, 1)),
    "pad": lambda: lb.data.pad([1, 2], padding_mode="edge"),
    "random_vertical_flip": lambda: lb.data.random_vertical_flip(0.5),
    "color_jitter": lambda: lb.data.color_jitter(0.3, 0.3, 0.3, 0.1),
    "grayscale": lambda: lb.data.grayscale(3),
    "random_grayscale": lambda: lb.data.random_grayscale(0.5),
    "random_erasing": lambda: lb.data.random_erasing(0.9, value=7),
    "auto_augment": lambda: lb.data.auto_augment("cifar10"),
    "rand_augment": lambda: lb.data.rand_augment(3, magnitude=12),
    "trivial_augment_wide": lambda: lb.data.trivial_augment_wide(),
}


def test_every_transform_of_the_table_is_here():
    assert set(CALLS) == set(transforms.functions)
    for name, function in transforms.functions.items():
        assert getattr(lb.data, name) is function
        assert function.__doc__ and set(inspect.signature(function).parameters) <= set(function.__doc__.split())


def test_the_stub_has_the_functions_with_their_options():
    stub = ast.parse(pathlib.Path(lb.__file__).with_name("data.pyi").read_text())
    declared = {entry.name: [argument.arg for argument in entry.args.args]
                for entry in stub.body if isinstance(entry, ast.FunctionDef)}
    for name, function in transforms.functions.items():
        assert declared[name] == list(inspect.signature(function).parameters), name


@pytest.mark.parametrize("name", CALLS)
def test_the_loader_does_what_apply_does(name):
    transform = CALLS[name]()
    assert name in repr(transform)
    pictures = [(PICTURE, 0), (PICTURE.flip(2), 1), (PICTURE // 2, 1)]
    loader = lb.data.Loader(pictures, 1, classes=2, seed=11, transforms=[transform])
    loader.seek(4)
    for index, (x, _) in enumerate(loader):
        assert torch.equal(x[0], lb.data.apply(transform, pictures[index][0], seed=11, epoch=4, index=index))


@pytest.mark.parametrize("name", [name for name in CALLS if name.startswith(("random", "color", "auto", "rand", "triv"))])
def test_random_ones_draw_by_seed_epoch_and_sample(name):
    transform = CALLS[name]()
    shown = [lb.data.apply(transform, PICTURE, seed=1, epoch=0, index=index) for index in range(12)]
    assert all(torch.equal(image, lb.data.apply(transform, PICTURE, seed=1, index=i)) for i, image in enumerate(shown))
    assert any(not torch.equal(image, shown[0]) for image in shown[1:])
    assert any(not torch.equal(image, lb.data.apply(transform, PICTURE, seed=2, index=i)) for i, image in enumerate(shown))


def test_deterministic_ones_by_their_definition():
    as_float = PICTURE / 255
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(lb.data.apply(CALLS["normalize"](), PICTURE), (as_float - mean) / std)
    assert torch.equal(lb.data.apply(CALLS["center_crop"](), PICTURE), as_float[:, 5:16, 4:13])
    padded = torch.nn.functional.pad(as_float, (1, 1, 2, 2), mode="replicate")
    assert torch.equal(lb.data.apply(CALLS["pad"](), PICTURE), padded)
    resized = torch.nn.functional.interpolate(as_float[None], (14, 12), mode="bilinear", antialias=True)[0]
    ours = lb.data.apply(lb.data.resize((14, 12)), PICTURE)
    assert (ours - resized).abs().max() <= 1.01 / 255
    luma = (as_float * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    assert (lb.data.apply(CALLS["grayscale"](), PICTURE) - luma).abs().max() <= 1.01 / 255


def test_lists_and_pil_images():
    from PIL import Image

    pixels = digits()[0][5, 0].numpy()
    ours = lb.data.apply([lb.data.resize(16), lb.data.center_crop(12), lb.data.normalize([0.5], [0.5])],
                         Image.fromarray(pixels))
    assert ours.shape == (1, 12, 12) and ours.dtype == torch.float32 and ours.min() == -1


def test_mixing_batches():
    images = torch.arange(4, dtype=torch.float32)[:, None, None, None].expand(4, 1, 6, 6).contiguous()
    data = torch.utils.data.TensorDataset(images, torch.arange(4))
    for transform in (lb.data.mixup(0.7), lb.data.cutmix(1.0)):
        x, targets = next(iter(lb.data.Loader(data, 4, classes=4, seed=2, batch_transforms=transform)))
        share = targets[1, 1].item()
        assert 0 < share < 1 and targets[1, 0].item() == pytest.approx(1 - share, abs=1e-6)
        # What is mixed into a sample is the one before it, in the share of its label.
        assert x[1].mean().item() == pytest.approx(share, abs=1e-6)
        assert x[0].mean().item() == pytest.approx((1 - share) * 3, abs=1e-6)
    assert x.unique().tolist() == [0, 1, 2, 3]  # cutmix pastes
    assert repr(lb.data.cutmix(0.5)) == '{"cutmix": {"alpha": 0.5}}'


def test_wrong_options_are_named():
    with pytest.raises(TypeError, match="sides"):
        lb.data.resize(sides=3)
    with pytest.raises(ValueError, match="resize.size.*must be an integer"):
        lb.data.resize("large")
    with pytest.raises(ValueError, match="must be a known name"):
        lb.data.auto_augment("imagnet")
    with pytest.raises(ValueError, match="alpha"):
        lb.data.mixup(0)
    with pytest.raises(ValueError, match="resize"):
        lb.data.Loader([(PICTURE, 0)], 1, classes=2, transforms=[lb.data.resize(0)])

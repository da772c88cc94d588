"""JPEG files for bench/image_speed: the two photographs that scikit-learn brings, cut, turned, tiled and resized."""

import random

from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

# Name: shorter and longer side at least and at most, images. The first is as ImageNet's are.
SETS = {"500 px": (333, 500, 48), "1,000 px": (667, 1000, 24), "2,000 px": (1333, 2000, 12), "4,000 px": (2667, 4000, 4)}


def photograph(rng, sources, width, height):
    """A piece of a photograph in its own resolution, tiled with others where more pixels are wanted."""
    canvas = Image.new("RGB", (width, height))
    for top in range(0, height, 380):
        for left in range(0, width, 600):
            tile = rng.choice(sources).rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, expand=False)
            tile = ImageEnhance.Brightness(tile).enhance(rng.uniform(0.7, 1.3))
            canvas.paste(tile.crop((20, 20, 620, 400)), (left, top))
    return canvas


def write_set(folder, short, long, count):
    """Files in folder/photographs, half of them upright, with the qualities and samplings of cameras and the web."""
    rng = random.Random(long)
    sources = [Image.fromarray(image) for image in load_sample_images().images]
    (folder / "photographs").mkdir(parents=True)
    for index in range(count):
        width, height = (long, short) if index % 2 == 0 else (short, long)
        picture = photograph(rng, sources, width, height)
        picture.save(folder / "photographs" / f"{index:03}.jpg", quality=rng.choice([75, 85, 90, 95]),
                     subsampling=rng.choice([2, 2, 2, 1, 0]))

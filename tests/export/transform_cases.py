"""What torchvision makes of images, for tests/data/torchvision_test.cpp: images, choices and results.

Each file OUT/NN.safetensors holds images `image/I` (uint8 [H, W, C]) and results `result/R` (uint8 or float32 [C, H, W]),
and under the metadata key `cases` a list of {"image": I, "op": NAME, "args": {...}, "result": R}. The images are of all
kinds: parts of two photographs, noise, ramps, flat and gray ones, 17 to --largest pixels a side, odd and extreme.
"""
import argparse
import json
import math
import pathlib
import random

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

library = torch.library.Library("torchvision", "DEF")  # its own operators are missing beside a CPU build of torch
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torchvision.transforms import v2  # noqa: E402
from torchvision.transforms.v2 import functional as F  # noqa: E402

IMAGES_PER_FILE = 10
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def photographs():
    from sklearn.datasets import load_sample_images
    return load_sample_images().images


def draw_sides(rng, largest):
    kind = rng.randrange(4)
    if kind == 0:  # usual photographs
        return rng.randint(200, min(700, largest)), rng.randint(200, min(700, largest))
    if kind == 1:  # extreme aspect ratio
        sides = [rng.randint(17, 40), rng.randint(largest // 2, largest)]
        rng.shuffle(sides)
        return tuple(sides)
    if kind == 2:  # small
        return rng.randint(17, 64), rng.randint(17, 64)
    side = int(math.exp(rng.uniform(math.log(17), math.log(largest))))
    other = int(math.exp(rng.uniform(math.log(17), math.log(largest))))
    return side, other


def make_image(rng, photos, largest):
    height, width = draw_sides(rng, largest)
    kind = rng.randrange(10)
    numpy_rng = np.random.default_rng(rng.randrange(2**32))
    if kind < 6:  # a real photograph, at another size
        photo = Image.fromarray(photos[rng.randrange(len(photos))])
        pixels = np.array(photo.resize((width, height), Image.BICUBIC))
    elif kind == 6:
        pixels = numpy_rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    elif kind == 7:  # black and white
        pixels = numpy_rng.integers(0, 2, (height, width, 3), dtype=np.uint8) * 255
    elif kind == 8:  # ramps
        y, x = np.mgrid[:height, :width]
        pixels = np.stack([y * 255 // height, x * 255 // width, (x + y) % 256], axis=-1).astype(np.uint8)
    else:
        pixels = np.full((height, width, 3), numpy_rng.integers(0, 256, 3), dtype=np.uint8)
    if rng.random() < 0.2:
        pixels = np.array(Image.fromarray(pixels).convert("L"))[..., None]
    return np.ascontiguousarray(pixels)


def resized_crop_cases(rng, height, width):
    for size in ([224, 224], [97, 131]):
        for interpolation in ("bilinear", "bicubic"):
            h, w = rng.randint(1, height), rng.randint(1, width)
            yield "resized_crop", {"top": rng.randint(0, height - h), "left": rng.randint(0, width - w), "height": h,
                                   "width": w, "size": size, "interpolation": interpolation}


def geometry_cases(rng, height, width):
    for interpolation in ("nearest", "bilinear", "bicubic"):
        yield "resize", {"size": [rng.randint(1, 300), rng.randint(1, 300)], "interpolation": interpolation}
    if max(height, width) <= 12 * min(height, width):
        yield "resize", {"size": [rng.choice([32, 224, 256])], "interpolation": "bilinear"}
        yield "resize", {"size": [100], "max_size": 171, "interpolation": "bilinear"}
    yield from resized_crop_cases(rng, height, width)
    yield "center_crop", {"size": [rng.randint(1, 300), rng.randint(1, 300)]}
    yield "crop", {"top": rng.randint(-20, height - 1), "left": rng.randint(-20, width - 1), "height": 30, "width": 41}


def border_cases():
    yield "horizontal_flip", {}
    yield "vertical_flip", {}
    for mode in ("constant", "edge", "reflect"):
        yield "pad", {"padding": [3, 16, 0, 5], "padding_mode": mode, "fill": 77 if mode == "constant" else 0}


def color_cases(rng):
    for operation in ("brightness", "contrast", "saturation", "sharpness"):
        yield operation, {"factor": rng.choice([0.0, 0.4, 1.7, rng.uniform(0, 3)])}
    yield "hue", {"factor": rng.choice([-0.5, 0.5, rng.uniform(-0.5, 0.5)])}
    for channels in (1, 3):
        yield "grayscale", {"channels": channels}
    yield "posterize", {"bits": rng.randint(0, 8)}
    yield "solarize", {"threshold": rng.choice([0.0, 255.0, rng.uniform(0, 255)])}
    for operation in ("autocontrast", "equalize", "invert"):
        yield operation, {}


def augment_cases(rng, width):
    for kind in ("ShearX", "ShearY"):
        yield "augment", {"kind": kind, "magnitude": rng.uniform(-0.99, 0.99)}
    for kind in ("TranslateX", "TranslateY"):
        yield "augment", {"kind": kind, "magnitude": rng.uniform(-0.4 * width, 0.4 * width)}
    yield "augment", {"kind": "Rotate", "magnitude": rng.choice([0.0, 90.0, -90.0, 180.0, rng.uniform(-135, 135)])}
    for kind in ("Brightness", "Color", "Contrast", "Sharpness"):
        yield "augment", {"kind": kind, "magnitude": rng.uniform(-0.9, 0.9)}
    yield "augment", {"kind": "Posterize", "magnitude": float(rng.randint(2, 8))}
    yield "augment", {"kind": "Solarize", "magnitude": rng.random()}
    for kind in ("Identity", "AutoContrast", "Equalize", "Invert"):
        yield "augment", {"kind": kind, "magnitude": 0.0}


def whole_cases(height, width, channels):
    if max(height, width) <= 12 * min(height, width):
        yield "evaluation", {"resize": 256, "crop": 224, "mean": MEAN[:channels], "std": STD[:channels]}



def augment(image, kind, magnitude):
    """The functional calls that v2.AutoAugment, RandAugment and TrivialAugmentWide make."""
    policy = v2.TrivialAugmentWide()
    return policy._apply_image_or_video_transform(image, kind, magnitude, interpolation=v2.InterpolationMode.NEAREST,
                                                  fill=policy._fill)


def evaluation(image, resize, crop, mean, std):
    steps = [v2.Resize(resize), v2.CenterCrop(crop), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    return v2.Compose(steps)(image)


def interpolation(args):
    return args | {"interpolation": v2.InterpolationMode[args["interpolation"].upper()]}


OPERATIONS = {
    "resize": lambda x, **a: F.resize(x, **interpolation(a)),
    "resized_crop": lambda x, **a: F.resized_crop(x, **interpolation(a)),
    "center_crop": lambda x, size: F.center_crop(x, size),
    "crop": lambda x, **a: F.crop(x, **a),
    "horizontal_flip": lambda x: F.horizontal_flip(x),
    "vertical_flip": lambda x: F.vertical_flip(x),
    "pad": lambda x, **a: F.pad(x, **a),
    "brightness": lambda x, factor: F.adjust_brightness(x, factor),
    "contrast": lambda x, factor: F.adjust_contrast(x, factor),
    "saturation": lambda x, factor: F.adjust_saturation(x, factor),
    "sharpness": lambda x, factor: F.adjust_sharpness(x, factor),
    "hue": lambda x, factor: F.adjust_hue(x, factor),
    "grayscale": lambda x, channels: F.rgb_to_grayscale(x, channels),
    "posterize": lambda x, bits: F.posterize(x, bits),
    "solarize": lambda x, threshold: F.solarize(x, threshold),
    "autocontrast": lambda x: F.autocontrast(x),
    "equalize": lambda x: F.equalize(x),
    "invert": lambda x: F.invert(x),
    "augment": augment,
    "evaluation": evaluation,
}


def cases_of(rng, image):
    height, width, channels = image.shape
    yield from geometry_cases(rng, height, width)
    yield from whole_cases(height, width, channels)
    if height * width <= 500 * 500:  # results as large as the image
        yield from border_cases()
        yield from color_cases(rng)
        yield from augment_cases(rng, width)


def write_file(path, images, rng):
    tensors, cases = {}, []
    for number, pixels in enumerate(images):
        tensors[f"image/{number}"] = torch.from_numpy(pixels)
        image = tensors[f"image/{number}"].permute(2, 0, 1)
        for operation, args in cases_of(rng, pixels):
            result = f"result/{len(cases)}"
            tensors[result] = OPERATIONS[operation](image, **args).contiguous().clone()
            cases.append({"image": f"image/{number}", "op": operation, "args": args, "result": result})
    save_file(tensors, path, metadata={"cases": json.dumps(cases)})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--largest", type=int, default=700, help="longest side in pixels")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    rng, photos = random.Random(4), photographs()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for old in arguments.out.glob("*.safetensors"):
        old.unlink()
    for first in range(0, arguments.images, IMAGES_PER_FILE):
        count = min(IMAGES_PER_FILE, arguments.images - first)
        images = [make_image(rng, photos, arguments.largest) for _ in range(count)]
        write_file(arguments.out / f"{first // IMAGES_PER_FILE:02}.safetensors", images, rng)


if __name__ == "__main__":
    main()

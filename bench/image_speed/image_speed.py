"""Images to a model's input on one core: Limbeck against torchvision.

Both have the files in memory; both decode them with libjpeg-turbo, cut the same boxes out, resize those to 224x224 with
antialiasing, mirror the same ones, and normalize to float32. torchvision: io.decode_jpeg, then transforms.v2.functional on
uint8 tensors, its fastest way. Before timing, results are compared. Rounds of the two alternate, and the ratio is the
median of the ratios of throughput within a turn.

    .venv/bin/python bench/image_speed/image_speed.py --server build/release/bench/image_speed_server
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile
import time

import safetensors.torch
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import pictures  # noqa: E402
import torchvision_image  # noqa: E402, F401  first: it makes torchvision's decoder loadable
import torchvision  # noqa: E402
from side_by_side import Server, alternate, cpu_name, median_ratio  # noqa: E402
from torchvision.transforms.v2 import functional as F  # noqa: E402

LEAST_RATIO = 0.9
MEAN, STDDEV = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# Both libraries' decoders and resizes round alike but for a bit here and there: 1/255 in units of the result.
TOLERANCE = 1.01 / 255 / min(STDDEV)


class Torchvision:
    """The same choices as Limbeck's, given as text."""

    def __init__(self, choices, side):
        self.side, self.work = side, []
        for choice in choices.split("\t"):
            path, *numbers = choice.rsplit(" ", 5)
            top, left, height, width, flip = map(int, numbers)
            self.work.append((torchvision.io.read_file(path), (top, left, height, width), bool(flip)))

    def image(self, file, box, flip):
        image = torchvision.io.decode_jpeg(file, mode=torchvision.io.ImageReadMode.RGB)
        image = F.resized_crop(image, *box, [self.side, self.side], antialias=True)
        if flip:
            image = F.horizontal_flip(image)
        return F.normalize(F.to_dtype(image, torch.float32, scale=True), MEAN, STDDEV)

    def images(self):
        return torch.stack([self.image(*one) for one in self.work])

    def time(self):
        start = time.perf_counter()
        for one in self.work:
            self.image(*one)
        return 1e3 * (time.perf_counter() - start)


def check(limbeck, peer, folder):
    """Exact decoding must give torchvision's images; returns the share of values that differ by more than a bit."""
    path = folder / "images.safetensors"
    limbeck.ask(f"check {path} exact")
    difference = (safetensors.torch.load_file(path)["images"] - peer.images()).abs()
    share = (difference > TOLERANCE).float().mean().item()
    if share > 1e-3:
        raise SystemExit(f"results differ: {share:.2%} of the values by more than 1/255, at most {difference.max():.3f}")
    limbeck.ask(f"check {path} scaled")
    scaled = (safetensors.torch.load_file(path)["images"] - peer.images()).abs().mean().item() * 255 * min(STDDEV)
    return share, scaled


def compare(limbeck, peer, turns):
    """Milliseconds of each side in each turn; a first turn warms up."""
    times = alternate({"torchvision": peer.time, "exact": lambda: float(limbeck.ask("time exact")),
                       "scaled": lambda: float(limbeck.ask("time scaled"))}, turns + 1)
    return {name: values[1:] for name, values in times.items()}


def run_set(options, name, short, long, count, folder):
    pictures.write_set(folder / "pictures", short, long, count)
    limbeck = Server(options.server, threads=1)
    limbeck.ask(f"load {folder / 'pictures'} {options.side}")
    peer = Torchvision(limbeck.ask("choices"), options.side)
    share, scaled = check(limbeck, peer, folder)
    times = compare(limbeck, peer, options.rounds)
    limbeck.close()
    rate = {side: 1e3 * count / statistics.median(values) for side, values in times.items()}
    ratio = {side: median_ratio(times["torchvision"], times[side]) for side in ("exact", "scaled")}
    print(f"{name:>9} {rate['torchvision']:12.0f} {rate['exact']:8.0f} {ratio['exact']:7.2f} {rate['scaled']:8.0f} "
          f"{ratio['scaled']:7.2f}   {share:.4%} off by more than 1/255; scaled: {scaled:.2f}/255 off on average", flush=True)
    return ratio["exact"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="build/release/bench/image_speed_server")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{cpu_name()}, ISA {torch.backends.cpu.get_cpu_capability()}, one thread; torch {torch.__version__}, torchvision "
          f"{torchvision.__version__}; load {os.getloadavg()[0]:.1f}; median of {options.rounds} turns, images/s")
    print(f"{'longer':>9} {'torchvision':>12} {'exact':>8} {'ratio':>7} {'scaled':>8} {'ratio':>7}")
    ratios = {}
    for name, (short, long, count) in pictures.SETS.items():
        with tempfile.TemporaryDirectory() as folder:
            ratios[name] = run_set(options, name, short, long, count, pathlib.Path(folder))
    slow = [name for name, ratio in ratios.items() if ratio < LEAST_RATIO]
    if slow:
        sys.exit(f"below {LEAST_RATIO} of torchvision's throughput: {', '.join(slow)}")


if __name__ == "__main__":
    main()

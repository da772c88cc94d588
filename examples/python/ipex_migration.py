"""A training script of an IPEX user, after the move to Limbeck: the import and the call of optimize are all that changed.

Trains torchvision's ResNet-50 on Fashion-MNIST (grey images as RGB, at --size pixels) in fp32 and bf16, saves a
checkpoint, loads it into the plain torchvision class, and prints accuracy and latency. docs/from-ipex.md has the diff.

    python examples/python/ipex_migration.py                                   # some minutes on two cores
    python examples/python/ipex_migration.py --steps 3 --size 32 --test 64      # a quick look
"""

import argparse
import gzip
import pathlib
import tempfile
import time

import torch
import torchvision

import limbeck as lb

DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default=DATA, help="folder with Fashion-MNIST's four IDX files, .gz")
    parser.add_argument("--precisions", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--steps", type=int, default=60, help="training steps")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64, help="pixels of an image's side; ImageNet models are made for 224")
    parser.add_argument("--test", type=int, default=1000, help="test images")
    parser.add_argument("--lr", type=float, default=0.02)
    return parser.parse_args()


# --- data ------------------------------------------------------------------------------------------------------------


class FashionImages(torch.utils.data.Dataset):
    """Fashion-MNIST as normalized RGB images of one size."""

    def __init__(self, folder, split, size, limit=None):
        self.images = self.read(folder / f"{split}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[:limit]
        self.labels = self.read(folder / f"{split}-labels-idx1-ubyte.gz", 8)[:limit].long()
        self.size = size

    @staticmethod
    def read(path, header_bytes):
        return torch.frombuffer(bytearray(gzip.decompress(path.read_bytes())[header_bytes:]), dtype=torch.uint8)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index].float().div(255).sub(0.286).div(0.353)
        image = torch.nn.functional.interpolate(image[None], size=(self.size, self.size), mode="bilinear")[0]
        return image.expand(3, -1, -1), self.labels[index]


# --- what any training script does -----------------------------------------------------------------------------------


def train(model, optimizer, scheduler, loader, dtype):
    criterion = torch.nn.CrossEntropyLoss()
    model.train()
    losses, seconds = [], []
    for data, target in loader:
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.amp.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            output = model(data)
            loss = criterion(output, target)
        loss.backward()
        optimizer.step()
        scheduler.step()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
    return losses, seconds


@torch.no_grad()
def accuracy(model, loader, dtype):
    model.eval()
    right = 0
    with torch.amp.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        for data, target in loader:
            right += (model(data).argmax(1) == target).sum().item()
    return right / len(loader.dataset)


@torch.no_grad()
def latencies(models, data, dtype, rounds=9):
    """Median milliseconds of each model's call, the models taking turns."""
    seconds = [[] for _ in models]
    with torch.amp.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        for turn in range(rounds + 2):
            for model, times in zip(models, seconds):
                start = time.perf_counter()
                model.eval()(data)
                if turn >= 2:
                    times.append(time.perf_counter() - start)
    return [1000 * sorted(times)[len(times) // 2] for times in seconds]


def run(name, arguments, loaders, folder):
    dtype, (train_loader, test_loader) = DTYPES[name], loaders
    torch.manual_seed(0)
    model = torchvision.models.resnet50(num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9)
    sample = next(iter(test_loader))[0]

    model, optimizer = lb.optimize(model, optimizer=optimizer, dtype=dtype, sample_input=sample)

    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arguments.steps)
    losses, seconds = train(model, optimizer, scheduler, train_loader, dtype)
    trained = accuracy(model, test_loader, dtype)

    torch.save({"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()},
               folder / "checkpoint.pth")
    checkpoint = torch.load(folder / "checkpoint.pth")
    plain = torchvision.models.resnet50(num_classes=10)
    plain.load_state_dict(checkpoint["model_state_dict"], strict=True)
    plain_optimizer = torch.optim.SGD(plain.parameters(), lr=arguments.lr, momentum=0.9)
    plain_optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    reloaded = accuracy(plain, test_loader, dtype)
    eager_ms, model_ms = latencies([plain, model], sample, dtype)

    step_ms = 1000 * sorted(seconds)[len(seconds) // 2]
    return (f"| {name} | {losses[0]:.3f} | {sum(losses[-5:]) / len(losses[-5:]):.3f} | {trained:.1%} | {reloaded:.1%} "
            f"| {step_ms:.0f} | {model_ms:.0f} | {eager_ms:.0f} |")


def main():
    arguments = parse_arguments()
    training = FashionImages(arguments.data, "train", arguments.size, arguments.steps * arguments.batch)
    test = FashionImages(arguments.data, "t10k", arguments.size, arguments.test)
    rows = []
    for name in arguments.precisions:
        generator = torch.Generator().manual_seed(0)
        loaders = (torch.utils.data.DataLoader(training, arguments.batch, shuffle=True, generator=generator),
                   torch.utils.data.DataLoader(test, arguments.batch))
        with tempfile.TemporaryDirectory() as folder:
            rows.append(run(name, arguments, loaders, pathlib.Path(folder)))
    print("| precision | first loss | last losses | top-1 | top-1 reloaded | step ms | forward ms | eager forward ms |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()

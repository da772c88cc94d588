"""A training script of an IPEX user, after the move to Limbeck: the import and the call of optimize are all that changed.

Trains torchvision's ResNet-50 on Fashion-MNIST (grey images as RGB, at --size pixels) in fp32 and bf16, saves a
checkpoint, loads it into the plain torchvision class, and prints accuracy and times beside those of that class, run
eagerly. docs/from-ipex.md has the diff and the table.

    python examples/python/ipex_migration.py                                  # some minutes on two cores
    python examples/python/ipex_migration.py --steps 3 --test 64               # a quick look
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
    parser.add_argument("--steps", type=int, default=100, help="training steps")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=32, help="pixels of an image's side; ImageNet models are made for 224")
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


def train(model, optimizer, loader, dtype, scheduler=None):
    criterion = torch.nn.CrossEntropyLoss()
    model.train()
    losses = []
    for data, target in loader:
        optimizer.zero_grad()
        with torch.amp.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            output = model(data)
            loss = criterion(output, target)
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def accuracy(model, loader, dtype):
    model.eval()
    right = 0
    with torch.amp.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        for data, target in loader:
            right += (model(data).argmax(1) == target).sum().item()
    return right / len(loader.dataset)


def median_ms(calls, rounds):
    """Median milliseconds of each call, the calls taking turns; the first two rounds don't count."""
    seconds = [[] for _ in calls]
    for _ in range(rounds + 2):
        for call, times in zip(calls, seconds):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return [1000 * sorted(times[2:])[rounds // 2] for times in seconds]


def step_ms(pairs, batch, dtype, rounds=7):
    """Of a training step of each (model, optimizer), in turns."""
    return median_ms([lambda pair=pair: train(*pair, [batch], dtype) for pair in pairs], rounds)


@torch.no_grad()
def forward_ms(models, data, dtype, rounds=9):
    """Of an inference call of each model, in turns."""
    with torch.amp.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        return median_ms([lambda model=model: model.eval()(data) for model in models], rounds)


def run(name, arguments, loaders, folder):
    dtype, (train_loader, test_loader) = DTYPES[name], loaders
    torch.manual_seed(0)
    model = torchvision.models.resnet50(num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9)
    sample = next(iter(test_loader))[0]

    model, optimizer = lb.optimize(model, optimizer=optimizer, dtype=dtype, sample_input=sample)

    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arguments.steps)
    losses = train(model, optimizer, train_loader, dtype, scheduler)
    trained = accuracy(model, test_loader, dtype)

    torch.save({"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()},
               folder / "checkpoint.pth")
    checkpoint = torch.load(folder / "checkpoint.pth")
    plain = torchvision.models.resnet50(num_classes=10)
    plain.load_state_dict(checkpoint["model_state_dict"], strict=True)
    plain_optimizer = torch.optim.SGD(plain.parameters(), lr=arguments.lr, momentum=0.9)
    plain_optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    reloaded = accuracy(plain, test_loader, dtype)

    ours_forward, eager_forward = forward_ms([model, plain], sample, dtype)
    ours_step, eager_step = step_ms([(model, optimizer), (plain, plain_optimizer)], next(iter(train_loader)), dtype)
    return (f"| {name} | {losses[0]:.3f} | {sum(losses[-5:]) / len(losses[-5:]):.3f} | {trained:.1%} | {reloaded:.1%} "
            f"| {ours_step:.0f} | {eager_step:.0f} | {ours_forward:.0f} | {eager_forward:.0f} |")


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
    print("| precision | first loss | last losses | top-1 | top-1 reloaded | step ms | eager step ms | forward ms "
          "| eager forward ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()

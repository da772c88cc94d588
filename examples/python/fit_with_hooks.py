"""Trains a module of PyTorch with lb.fit, and looks at it with hooks: its losses, its rate, and an end of one's own.

    python examples/python/fit_with_hooks.py [--data npy:FOLDER] [--folder runs/hooks] [--target 0.9]

A second call goes on from the folder's last checkpoint.
"""

import argparse

import torch
from torch import nn

import limbeck as lb


class Progress:
    """A hook: prints every so many steps, and ends the training once the held-out samples are classified well enough."""

    def __init__(self, target, every=100):
        self.target, self.every, self.losses = target, every, []

    def on_step(self, step):
        self.losses.append(step.loss)
        if step.step % self.every == 0:
            recent = self.losses[-self.every:]
            print(f"  step {step.step}: loss {sum(recent) / len(recent):.3f}, lr {step.lr:.2g}")

    def on_epoch(self, epoch):
        print(f"epoch {epoch.epoch + 1}: train {epoch.train_accuracy:.2%}, held out {epoch.val_accuracy:.2%}")
        return lb.STOP if epoch.val_accuracy >= self.target else None


def make_net(channels, classes):
    layers, before = [], channels
    for width in (16, 32):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * before, classes))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="fashion-mnist", help="a dataset's name, as lb.data.open() has it")
    parser.add_argument("--folder", help="for checkpoints and metrics")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--target", type=float, default=0.88, help="accuracy at which to stop")
    parser.add_argument("--output", default="model.lmb")
    arguments = parser.parse_args()

    normalize = lb.data.normalize([0.3], [0.35])
    train_set, test_set = lb.data.open(arguments.data), lb.data.open(arguments.data, "test")
    train = lb.data.Loader(train_set, 64, shuffle=True, transforms=[lb.data.random_crop(padding=1), normalize])
    test = lb.data.Loader(test_set, 250, transforms=[normalize])

    torch.manual_seed(0)
    net = make_net(train_set.shape[0], len(train_set.classes))
    result = lb.fit(net, train, test, epochs=arguments.epochs, optimizer={"kind": "adamw", "lr": 3e-3},
                    hooks=Progress(arguments.target), folder=arguments.folder)

    lb.save(result.model, arguments.output)
    print(f"{result.steps} steps, {'to the end' if result.completed else 'stopped by the hook'}; {arguments.output}: "
          f"{lb.evaluate(lb.load(arguments.output), test)}")


if __name__ == "__main__":
    main()

"""Small modules and data that the tests train."""

import torch
from torch import nn


class ConvNet(nn.Module):
    """Convolutions, batch norms, a residual, a classifier: [B, 3, 8, 8] to [B, classes]."""

    def __init__(self, classes=4, width=8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        y = self.stem(x)
        return self.fc(torch.relu(self.body(y) + y).mean((2, 3)))


def conv_net(seed=0, **options):
    torch.manual_seed(seed)
    return ConvNet(**options)


def images(count=6, seed=1):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def labels(count=6, classes=4, seed=2):
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def batches(count, size=6):
    """`count` batches (x, y), each its own."""
    return [(images(size, 10 + i), labels(size, seed=100 + i)) for i in range(count)]


def snapshot(module):
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def assert_same(actual, expected, tolerance=0.0):
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def distance(actual, expected):
    """Relative 2-norm of the difference of two states, all tensors together, in float64."""
    assert actual.keys() == expected.keys()
    squares = sum((actual[name].double() - expected[name].double()).square().sum() for name in expected)
    return (squares / sum(tensor.double().square().sum() for tensor in expected.values())).sqrt().item()

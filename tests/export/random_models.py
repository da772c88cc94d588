"""Small architectures drawn from a seed: what foreign models do, in combinations that no published model has.

The first blocks of consecutive seeds walk through BLOCKS, so that a dozen seeds use every block at least once; the
rest is drawn. Modules keep a channel count that is a multiple of four and a map of at least 4 x 4.
"""
import random

import torch
import torch.nn.functional as F
from torch import nn

import models

SIZE = 16


class Conv(nn.Module):
    """Convolution, a drawn norm and a drawn activation; groups, dilation and stride drawn too."""

    def __init__(self, draw, width, out=None, groups=1, size=None):
        super().__init__()
        size, out = size or draw.choice([1, 3, 5]), out or width
        dilation = draw.choice([1, 2]) if size == 3 else 1
        self.conv = nn.Conv2d(width, out, size, padding=dilation * (size // 2), dilation=dilation, groups=groups,
                              bias=draw.random() < 0.5, padding_mode=draw.choice(["zeros", "zeros", "reflect"]))
        self.norm = draw.choice([nn.BatchNorm2d(out), nn.BatchNorm2d(out, momentum=0.3, eps=1e-3),
                                 nn.BatchNorm2d(out, track_running_stats=False), nn.GroupNorm(1 + (out % 2 == 0), out),
                                 nn.InstanceNorm2d(out, affine=True, track_running_stats=True), nn.Identity()])
        self.act = draw.choice([nn.ReLU(inplace=True), nn.SiLU(), nn.GELU(), nn.Hardswish(inplace=True),
                                nn.LeakyReLU(0.1), nn.PReLU(out), nn.ReLU6(), nn.Tanh()])

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Residual(nn.Module):
    def __init__(self, draw, width):
        super().__init__()
        self.body, self.inplace = nn.Sequential(Conv(draw, width), Conv(draw, width)), draw.random() < 0.5

    def forward(self, x):
        y = self.body(x)
        if self.inplace:
            y += x
            return y
        return F.relu(x + y)


class Concat(nn.Module):
    """Three branches, as in Inception."""

    def __init__(self, draw, width):
        super().__init__()
        self.a, self.b = Conv(draw, width, width // 2, size=1), Conv(draw, width, width // 4, size=3)
        self.c = Conv(draw, width, width // 4, size=1)

    def forward(self, x):
        return torch.cat([self.a(x), self.b(x), self.c(F.max_pool2d(x, 3, 1, 1))], dim=1)


class SplitShuffle(nn.Module):
    """Half of the channels pass, half are worked on; then channels are shuffled, as in ShuffleNet."""

    def __init__(self, draw, width):
        super().__init__()
        self.body, self.by_chunk = Conv(draw, width // 2), draw.random() < 0.5

    def forward(self, x):
        left, right = x.chunk(2, dim=1) if self.by_chunk else torch.split(x, x.shape[1] // 2, dim=1)
        y = torch.cat((left, self.body(right)), dim=1)
        batch, channels, height, width = y.shape
        return y.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, -1, height, width)


class Separable(nn.Module):
    """Expansion, depthwise convolution, squeeze and excitation, projection, as in MobileNetV3."""

    def __init__(self, draw, width):
        super().__init__()
        self.expand = Conv(draw, width, 2 * width, size=1)
        self.depthwise = Conv(draw, 2 * width, groups=2 * width, size=3)
        self.down, self.up = nn.Conv2d(2 * width, width // 2, 1), nn.Conv2d(width // 2, 2 * width, 1)
        self.project = Conv(draw, 2 * width, width, size=1)

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        gate = self.up(F.relu(self.down(y.mean((2, 3), keepdim=True)), inplace=True))
        return x + self.project(y * F.hardsigmoid(gate))


class Grouped(nn.Module):
    def __init__(self, draw, width):
        super().__init__()
        self.body = nn.Sequential(Conv(draw, width, groups=4), Conv(draw, width, groups=2))

    def forward(self, x):
        return self.body(x)


class Attention(nn.Module):
    """Self-attention over pixels with a learned position bias; by one fused op or written out."""

    def __init__(self, draw, width):
        super().__init__()
        self.heads, self.fused, self.drop = 2, draw.random() < 0.5, 0.1
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.register_buffer("place", torch.arange(SIZE * SIZE) % 7, persistent=draw.random() < 0.5)
        self.bias = nn.Parameter(0.1 * torch.randn(self.heads, 7))

    def forward(self, x):
        batch, channels, height, width = x.shape
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(tokens).reshape(batch, -1, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.bias[:, self.place[: height * width]].unsqueeze(1)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, bias.expand(-1, height * width, -1).unsqueeze(0),
                                               dropout_p=self.drop if self.training else 0.0)
        else:
            weights = (q @ k.transpose(-2, -1) * (channels // self.heads) ** -0.5 + bias).softmax(-1)
            y = F.dropout(weights, self.drop, self.training) @ v
        y = self.out(y.transpose(1, 2).reshape(batch, height * width, channels))
        return x + y.transpose(1, 2).view(batch, channels, height, width)


class Tied(nn.Module):
    """One convolution called twice, and a second name for a linear weight."""

    def __init__(self, draw, width):
        super().__init__()
        self.conv, self.first, self.second = Conv(draw, width), nn.Linear(width, width), nn.Linear(width, width)
        self.second.weight = self.first.weight

    def forward(self, x):
        y = self.conv(self.conv(x))
        gate = self.second(torch.tanh(self.first(y.mean((2, 3)))))
        return y + gate[:, :, None, None]


class InPlace(nn.Module):
    """Writes through views, and a buffer that training moves."""

    def __init__(self, draw, width):
        super().__init__()
        self.conv, self.half = Conv(draw, width), width // 2
        self.register_buffer("average", torch.zeros(width))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        y = self.conv(x).clone()
        y[:, : self.half].mul_(0.5).add_(x[:, self.half :])
        y[:, -1] = x[:, 0]
        y.select(1, 0).clamp_(min=-1.0)
        if self.training:
            with torch.no_grad():
                self.average.lerp_(y.mean((0, 2, 3)), 0.1)
                self.calls += 1
        return y - self.average.view(1, -1, 1, 1)


class Dropping(nn.Module):
    """The three ways to drop: elements, channels, and a sample's whole branch."""

    def __init__(self, draw, width):
        super().__init__()
        self.body, self.elements, self.channels = Conv(draw, width), nn.Dropout(0.2), nn.Dropout2d(0.1)
        self.drop_prob = 0.2

    def forward(self, x):
        y = self.channels(self.elements(self.body(x)))
        if self.training and self.drop_prob > 0.0:
            keep = 1 - self.drop_prob
            y = y * y.new_empty((y.shape[0],) + (1,) * (y.ndim - 1)).bernoulli_(keep).div_(keep)
        return x + y


class Scales(nn.Module):
    """Down by pooling, up by interpolation, joined; as in feature pyramids."""

    def __init__(self, draw, width):
        super().__init__()
        self.low, self.high, self.mode = Conv(draw, width), Conv(draw, width), draw.choice(["nearest", "bilinear"])

    def forward(self, x):
        low = self.low(F.avg_pool2d(x, 2))
        return self.high(x) + F.interpolate(low, size=x.shape[-2:], mode=self.mode)


BLOCKS = [Residual, Concat, SplitShuffle, Separable, Grouped, Attention, Tied, InPlace, Dropping, Scales]


class RandomNet(nn.Module):
    """Stem, drawn blocks with one down-sampling between, pooled head; a tensor, a tuple or a dict comes out."""

    def __init__(self, seed: int):
        super().__init__()
        draw = random.Random(seed)
        width = draw.choice([8, 12, 16])
        self.stem = Conv(draw, 3, width, size=3)
        kinds = [BLOCKS[seed % len(BLOCKS)], *(draw.choice(BLOCKS) for _ in range(draw.choice([2, 3])))]
        self.blocks = nn.ModuleList(kind(draw, width) for kind in kinds)
        self.pool = draw.choice([nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1), nn.Conv2d(width, width, 2, 2)])
        self.drop, self.head = nn.Dropout(0.1), nn.Linear(width, models.CLASSES)
        self.result = draw.choice(["tensor", "tuple", "dict", "train_only"])

    def forward(self, x):
        x = self.blocks[0](self.stem(x))
        middle = self.pool(x)
        x = middle
        for block in self.blocks[1:]:
            x = block(x)
        logits = self.head(self.drop(F.adaptive_avg_pool2d(x, 1).flatten(1)))
        if self.result == "tuple" or (self.result == "train_only" and self.training):
            return logits, middle.mean((2, 3))
        return {"logits": logits, "middle": middle} if self.result == "dict" else logits


def name(seed: int) -> str:
    return f"random_{seed:02d}"


def entry(model: str) -> models.Entry:
    """The entry of a name that `name` gave."""
    seed = int(model.removeprefix("random_"))
    return models.Entry(name(seed), "random", lambda: RandomNet(seed), models.image(SIZE))

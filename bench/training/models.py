"""The models of bench/training: torchvision's where it has them, else plain PyTorch. Nothing random inside."""

import torch
import torch.nn.functional as F
from torch import nn

ROWS = {  # name: (batch, image size, classes, optimizer)
    "resnet18": (32, 112, 1000, "sgd"),
    "mobilenet_v2": (32, 112, 1000, "sgd"),
    "efficientnet_b0": (32, 112, 1000, "sgd"),
    "cifar_resnet20": (128, 32, 10, "sgd"),
    "vit_tiny": (32, 112, 1000, "adamw"),
}


class CifarBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


class CifarResNet20(nn.Module):
    """He et al. 2016, section 4.2, with projection shortcuts."""

    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        plan = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        self.stages = nn.Sequential(*(CifarBlock(inputs if i == 0 else outputs, outputs, stride if i == 0 else 1)
                                      for inputs, outputs, stride in plan for i in range(3)))
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        return self.fc(self.stages(self.stem(x)).mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VitTiny(nn.Module):
    """Width 192, 12 blocks of 3 heads, patches of 16 pixels (Touvron et al. 2021, table 1)."""

    def __init__(self, classes, size):
        super().__init__()
        self.patch = nn.Conv2d(3, 192, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, 192))
        self.position = nn.Parameter(0.02 * torch.randn(1, (size // 16) ** 2 + 1, 192))
        self.blocks = nn.Sequential(*(Block(192, 3) for _ in range(12)))
        self.norm, self.head = nn.LayerNorm(192), nn.Linear(192, classes)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


def load_torchvision():
    """torchvision's Python models; where its own library does not load, its operators are only declared."""
    try:
        import torchvision
    except RuntimeError:
        global _library
        _library = torch.library.Library("torchvision", "FRAGMENT")
        _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return torchvision.models


def make(row):
    batch, size, classes, _ = ROWS[row]
    if row == "cifar_resnet20":
        return CifarResNet20(classes)
    if row == "vit_tiny":
        return VitTiny(classes, size)
    zoo = load_torchvision()
    if row == "mobilenet_v2":
        return zoo.mobilenet_v2(dropout=0.0)
    if row == "efficientnet_b0":
        return zoo.efficientnet_b0(dropout=0.0, stochastic_depth_prob=0.0)
    return zoo.resnet18()

"""Two well-known networks, written once for both libraries: a residual network and a vision transformer."""

from __future__ import annotations

from typing import Any


def resnet18(t: Any, classes: int = 10) -> Any:
    """Return ResNet-18 (He et al., 2015) for (N, 3, H, W) images."""
    nn, relu = t.nn, t.nn.functional.relu

    class Block(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(width)
            self.way = nn.Identity()
            if stride != 1 or before != width:
                self.way = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

        def forward(self, x: Any) -> Any:
            y = relu(self.norm1(self.conv1(x)))
            return relu(self.norm2(self.conv2(y)) + self.way(x))

    blocks, before = [], 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Block(before, width, stride), Block(width, width, 1)]
        before = width
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes),
    )  # fmt: skip


def vit_tiny(t: Any, size: int = 64, patch: int = 8, depth: int = 12, classes: int = 10) -> Any:
    """Return ViT-Ti (Dosovitskiy et al., 2020; width 192, three heads) for (N, 3, size, size) images."""
    nn, width = t.nn, 192

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, width, patch, patch)
            self.token = nn.Parameter(t.zeros(1, 1, width))
            self.places = nn.Parameter(t.randn(1, (size // patch) ** 2 + 1, width) * 0.02)
            layer = nn.TransformerEncoderLayer(
                width, 3, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = t.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.places
            return self.head(self.norm(self.layers(x))[:, 0])

    return ViT()

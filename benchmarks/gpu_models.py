"""GPT-2, ResNet-50 and a vision transformer for a library with PyTorch's names, and one training step of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sizes:
    """How large the models are; `tiny` is for a run without a GPU, which shows that they run at all."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    vocabulary: int = 50257
    length: int = 1024
    sequences: int = 8
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    channels: int = 64
    image: int = 224
    images: int = 64
    patch: int = 16
    classes: int = 1000


FULL = Sizes()
TINY = Sizes(1, 16, 2, 32, 4, 1, (1, 1), 4, 16, 1, 8, 3)


def attention(t: Any, width: int, heads: int, causal: bool) -> Any:
    """Self-attention with one projection for queries, keys and values."""
    nn, F = t.nn, t.nn.functional

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside, self.outside = nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x: Any) -> Any:
            b, n, _ = x.shape
            q, k, v = (part.view(b, n, heads, width // heads).transpose(1, 2) for part in self.inside(x).chunk(3, -1))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
            return self.outside(y.transpose(1, 2).reshape(b, n, width))

    return Attention()


def block(t: Any, width: int, heads: int, causal: bool) -> Any:
    """A transformer block with the norms in front."""
    nn = t.nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attention = attention(t, width, heads, causal)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.first(x))
            return x + self.mlp(self.second(x))

    return Block()


def gpt2(t: Any, s: Sizes) -> Any:
    """GPT-2: token and position embeddings, causal blocks, the embedding once more as the output layer."""
    nn, F = t.nn, t.nn.functional

    class GPT2(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(s.vocabulary, s.width), nn.Embedding(s.length, s.width)
            self.blocks = nn.ModuleList([block(t, s.width, s.heads, True) for _ in range(s.layers)])
            self.norm = nn.LayerNorm(s.width)

        def forward(self, x: Any) -> Any:
            x = self.tokens(x) + self.places.weight[: x.shape[1]]
            for layer in self.blocks:
                x = layer(x)
            return F.linear(self.norm(x), self.tokens.weight)

    return GPT2()


def vit(t: Any, s: Sizes) -> Any:
    """A vision transformer (base): patches by a convolution, a class token, plain blocks."""
    nn = t.nn
    count = (s.image // s.patch) ** 2

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, s.width, s.patch, s.patch)
            self.token = nn.Parameter(t.zeros(1, 1, s.width))
            self.places = nn.Parameter(t.zeros(1, count + 1, s.width))
            self.blocks = nn.Sequential(*[block(t, s.width, s.heads, False) for _ in range(s.layers)])
            self.norm, self.head = nn.LayerNorm(s.width), nn.Linear(s.width, s.classes)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = t.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
            return self.head(self.norm(self.blocks(x))[:, 0])

    return ViT()


def resnet(t: Any, s: Sizes) -> Any:
    """ResNet-50: four stages of bottlenecks."""
    nn = t.nn

    def normed(inside: int, outside: int, kernel: int, stride: int = 1) -> list:
        return [nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outside)]

    class Bottleneck(nn.Module):
        def __init__(self, inside: int, middle: int, stride: int) -> None:
            super().__init__()
            first, second = normed(inside, middle, 1), normed(middle, middle, 3, stride)
            self.path = nn.Sequential(
                *first, nn.ReLU(inplace=True), *second, nn.ReLU(inplace=True), *normed(middle, 4 * middle, 1)
            )
            changes = stride > 1 or inside != 4 * middle
            self.short = nn.Sequential(*normed(inside, 4 * middle, 1, stride)) if changes else nn.Identity()

        def forward(self, x: Any) -> Any:
            return t.relu(self.path(x) + self.short(x))

    layers = [*normed(3, s.channels, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inside = s.channels
    for stage, count in enumerate(s.blocks):
        middle = s.channels << stage
        for k in range(count):
            layers.append(Bottleneck(inside, middle, 2 if stage and not k else 1))
            inside = 4 * middle
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, s.classes))


def steps(t: Any, s: Sizes) -> dict[str, Callable[[str], Callable[[], Any]]]:
    """Functions by name that, given a dtype, make a function which does one training step and returns the loss."""
    F = t.nn.functional

    def training(net: Any, inputs: Any, target: Any, dtype: str) -> Callable[[], Any]:
        net = net.to("cuda").to(getattr(t, dtype)).train()
        optimizer = t.optim.AdamW(net.parameters(), lr=1e-4, capturable=True)

        def step() -> Any:
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(net(inputs).flatten(0, -2).float(), target)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def language(dtype: str) -> Callable[[], Any]:
        text = t.randint(0, s.vocabulary, (s.sequences, s.length), device="cuda")
        return training(gpt2(t, s), text, text.flatten(), dtype)

    def vision(model: Callable) -> Callable[[str], Callable[[], Any]]:
        def make(dtype: str) -> Callable[[], Any]:
            pictures = t.randn(s.images, 3, s.image, s.image, device="cuda").to(getattr(t, dtype))
            return training(model(t, s), pictures, t.randint(0, s.classes, (s.images,), device="cuda"), dtype)

        return make

    return {"GPT-2 small": language, "ResNet-50": vision(resnet), "ViT-B": vision(vit)}

"""Large operations by family, flowtorch against torch: here the kernel counts, not the call.

Run it with
    python benchmarks/kernels.py [--filter REGEX] [--rounds N] [--threads N] [--json FILE]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from suite import Suite

SUITE = Suite("large operations", rounds_of_each=16, budget=4.0)
Thunk = Callable[[], Any]


def normal(t: Any, *shape: int, seed: int = 0, grad: bool = False) -> Any:
    """Return float32 normal numbers, the same for both libraries."""
    import numpy as np

    x = t.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))
    return x.requires_grad_() if grad else x


def integers(t: Any, high: int, *shape: int, seed: int = 0) -> Any:
    """Return int64 numbers below ``high``."""
    import numpy as np

    return t.from_numpy(np.random.default_rng(seed).integers(0, high, shape, dtype=np.int64))


def add(group: str, cases: dict[str, Callable[[Any], Thunk]], **options: Any) -> None:
    """Add several cases of one family."""
    for name, build in cases.items():
        SUITE.add(name, group, **options)(build)


def on(
    shape: tuple[int, ...], f: Callable[[Any, Any], Any], positive: bool = False
) -> Callable[[Any], Thunk]:
    """Return a case that calls ``f(t, x)`` on a tensor of normal numbers."""

    def build(t: Any) -> Thunk:
        x = normal(t, *shape)
        x = x.abs() + 0.1 if positive else x
        return lambda: f(t, x)

    return build


def on_two(
    shape: tuple[int, ...], other: tuple[int, ...], f: Callable[[Any, Any, Any], Any]
) -> Callable[[Any], Thunk]:
    """Return a case that calls ``f(t, x, y)`` on two tensors."""

    def build(t: Any) -> Thunk:
        x, y = normal(t, *shape), normal(t, *other, seed=1)
        return lambda: f(t, x, y)

    return build


def there_and_back(f: Callable[..., Any], *shapes: tuple[int, ...]) -> Callable[[Any], Thunk]:
    """Return a case of ``f(t, *tensors)`` forward and backward, giving the gradients."""

    def build(t: Any) -> Thunk:
        tensors = [normal(t, *s, seed=i, grad=True) for i, s in enumerate(shapes)]
        g = normal(t, *f(t, *tensors).shape, seed=99)
        return lambda: t.autograd.grad(f(t, *tensors), tensors, g)

    return build


MILLION = (1_000_000,)
add(
    "pointwise",
    {
        "add": on_two(MILLION, MILLION, lambda t, x, y: x + y),
        "mul": on_two(MILLION, MILLION, lambda t, x, y: x * y),
        "div": on_two(MILLION, MILLION, lambda t, x, y: x / y),
        "add scalar": on(MILLION, lambda t, x: x + 2.0),
        "add row": on_two((1000, 1000), (1000,), lambda t, x, y: x + y),
        "add column": on_two((1000, 1000), (1000, 1), lambda t, x, y: x + y),
        "exp": on(MILLION, lambda t, x: t.exp(x)),
        "log": on(MILLION, lambda t, x: t.log(x), positive=True),
        "sqrt": on(MILLION, lambda t, x: t.sqrt(x), positive=True),
        "tanh": on(MILLION, lambda t, x: t.tanh(x)),
        "erf": on(MILLION, lambda t, x: t.erf(x)),
        "sigmoid": on(MILLION, lambda t, x: t.sigmoid(x)),
        "relu": on(MILLION, lambda t, x: t.relu(x)),
        "gelu": on(MILLION, lambda t, x: t.nn.functional.gelu(x)),
        "silu": on(MILLION, lambda t, x: t.nn.functional.silu(x)),
        "greater": on_two(MILLION, MILLION, lambda t, x, y: x > y),
        "where": on_two(MILLION, MILLION, lambda t, x, y: t.where(x > 0, x, y)),
        "clamp": on(MILLION, lambda t, x: x.clamp(-1, 1)),
    },
)
add(
    "casts and copies",
    {
        "to float64": on(MILLION, lambda t, x: x.double()),
        "to int32": on(MILLION, lambda t, x: x.int()),
        "to bfloat16": on(MILLION, lambda t, x: x.bfloat16()),
        "add bfloat16": lambda t: lambda x=normal(t, *MILLION).bfloat16(): x + x,
        "clone": on(MILLION, lambda t, x: x.clone()),
        "transpose, contiguous": on((1000, 1000), lambda t, x: x.t().contiguous()),
        "cat": on_two((1000, 500), (1000, 500), lambda t, x, y: t.cat((x, y), dim=1)),
    },
)
add(
    "reductions",
    {
        "sum": on(MILLION, lambda t, x: x.sum()),
        "sum, dim 0": on((1000, 1000), lambda t, x: x.sum(0)),
        "sum, dim 1": on((1000, 1000), lambda t, x: x.sum(1)),
        "mean": on(MILLION, lambda t, x: x.mean()),
        "max": on(MILLION, lambda t, x: x.max()),
        "amax, dim 1": on((1000, 1000), lambda t, x: x.amax(1)),
        "argmax, dim 1": on((1000, 1000), lambda t, x: x.argmax(1)),
        "var, dim 1": on((1000, 1000), lambda t, x: x.var(1)),
        "norm": on(MILLION, lambda t, x: x.norm()),
        "cumsum, dim 1": on((1000, 1000), lambda t, x: x.cumsum(1)),
    },
)
add(
    "softmax, norms and losses",
    {
        "softmax": on((1000, 1000), lambda t, x: t.softmax(x, -1)),
        "softmax, short rows": on((16384, 64), lambda t, x: t.softmax(x, -1)),
        "log_softmax": on((1000, 1000), lambda t, x: t.log_softmax(x, -1)),
        "softmax and backward": there_and_back(lambda t, x: t.softmax(x, -1), (1000, 1000)),
        "layer_norm": on((2048, 512), lambda t, x: t.nn.functional.layer_norm(x, (512,))),
        "layer_norm and backward": there_and_back(
            lambda t, x, w, b: t.nn.functional.layer_norm(x, (512,), w, b), (2048, 512), (512,), (512,)
        ),
        "batch_norm, training": on(
            (32, 64, 28, 28), lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True)
        ),
        "batch_norm and backward": there_and_back(
            lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True),
            (32, 64, 28, 28), (64,), (64,),
        ),
    },
)  # fmt: skip


@SUITE.add("cross_entropy and backward", "softmax, norms and losses")
def _cross_entropy(t: Any) -> Thunk:
    x, y = normal(t, 2048, 1000, grad=True), integers(t, 1000, 2048)
    return lambda: t.autograd.grad(t.nn.functional.cross_entropy(x, y), x)


add(
    "matmul",
    {
        "64 x 64": on_two((64, 64), (64, 64), lambda t, x, y: x @ y),
        "256 x 256": on_two((256, 256), (256, 256), lambda t, x, y: x @ y),
        "512 x 512": on_two((512, 512), (512, 512), lambda t, x, y: x @ y),
        "512 x 512, second transposed": on_two((512, 512), (512, 512), lambda t, x, y: x @ y.t()),
        "batch of 64, 64 x 64": on_two((64, 64, 64), (64, 64, 64), lambda t, x, y: x @ y),
        "linear, 2048 x 256 to 1024": on_two(
            (8, 256, 256), (1024, 256), lambda t, x, y: t.nn.functional.linear(x, y)
        ),
        "linear and backward": there_and_back(
            lambda t, x, w, b: t.nn.functional.linear(x, w, b), (8, 128, 256), (512, 256), (512,)
        ),
        "einsum bij,bjk->bik": on_two(
            (32, 64, 64), (32, 64, 64), lambda t, x, y: t.einsum("bij,bjk->bik", x, y)
        ),
    },
)


# The layers of ResNet-50, largest first, then one with a filter for each channel and two of a net for digits:
# name -> (images, channels, size, channels of the result, size of the filter, options)
CONVOLUTIONS: dict[str, tuple[int, int, int, int, int, dict[str, int]]] = {
    "3 to 64 channels, 224, k7, stride 2": (1, 3, 224, 64, 7, {"padding": 3, "stride": 2}),
    "64 to 64 channels, 56, k3": (2, 64, 56, 64, 3, {"padding": 1}),
    "64 to 256 channels, 56, k1": (2, 64, 56, 256, 1, {}),
    "128 to 128 channels, 28, k3": (4, 128, 28, 128, 3, {"padding": 1}),
    "128 to 128 channels, 28, k3, stride 2": (4, 128, 28, 128, 3, {"padding": 1, "stride": 2}),
    "256 to 512 channels, 28, k1, stride 2": (4, 256, 28, 512, 1, {"stride": 2}),
    "256 to 256 channels, 14, k3": (4, 256, 14, 256, 3, {"padding": 1}),
    "1024 to 256 channels, 14, k1": (4, 1024, 14, 256, 1, {}),
    "512 to 512 channels, 7, k3": (4, 512, 7, 512, 3, {"padding": 1}),
    "depthwise, 128 channels, 28, k3": (4, 128, 28, 128, 3, {"padding": 1, "groups": 128}),
    "8 to 16 channels, 14, k3": (50, 8, 14, 16, 3, {"padding": 1}),
    "1 to 8 channels, 28, k3": (50, 1, 28, 8, 3, {"padding": 1}),
}


def _conv(
    n: int, c: int, size: int, out: int, k: int, options: dict[str, int], back: bool
) -> Callable[[Any], Thunk]:
    shapes = (n, c, size, size), (out, c // options.get("groups", 1), k, k)

    def f(t: Any, x: Any, w: Any) -> Any:
        return t.nn.functional.conv2d(x, w, **options)

    return there_and_back(f, *shapes) if back else on_two(*shapes, f)


add("convolution", {name: _conv(*layer, back=False) for name, layer in CONVOLUTIONS.items()})
add(
    "convolution, forward and backward",
    {name: _conv(*layer, back=True) for name, layer in CONVOLUTIONS.items()},
)
add(
    "pooling",
    {
        "max_pool2d": on((16, 64, 56, 56), lambda t, x: t.nn.functional.max_pool2d(x, 2)),
        "max_pool2d and backward": there_and_back(
            lambda t, x: t.nn.functional.max_pool2d(x, 2), (16, 32, 28, 28)
        ),
        "avg_pool2d": on((16, 64, 56, 56), lambda t, x: t.nn.functional.avg_pool2d(x, 2)),
    },
)

QKV = ((8, 8, 256, 64),) * 3
add(
    "attention",
    {
        "causal, forward": lambda t: _attention(t),
        "causal, forward and backward": there_and_back(
            lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True), *QKV
        ),
    },
)


def _attention(t: Any) -> Thunk:
    q, k, v = (normal(t, *s, seed=i) for i, s in enumerate(QKV))
    return lambda: t.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def _embedding(t: Any) -> Thunk:
    w, i = normal(t, 50_000, 64), integers(t, 50_000, 64, 128)
    return lambda: t.nn.functional.embedding(i, w)


def _embedding_backward(symbols: int) -> Callable[[Any], Thunk]:
    def build(t: Any) -> Thunk:
        w, i = normal(t, symbols, 64, grad=True), integers(t, symbols, 2048)
        g = normal(t, 2048, 64, seed=1)
        return lambda: t.autograd.grad(t.nn.functional.embedding(i, w), w, g)

    return build


def _index(f: Callable[[Any, Any, Any], Any]) -> Callable[[Any], Thunk]:
    def build(t: Any) -> Thunk:
        x, i = normal(t, 10_000, 64), integers(t, 10_000, 8192)
        return lambda: f(t, x, i)

    return build


def _scatter(t: Any, add: bool = False) -> Thunk:
    x = normal(t, 1000, 1000)
    if add:
        i = integers(t, 1000, 1000, 1000)
        return lambda: x.scatter_add(1, i, x)
    i = t.argsort(x, dim=1, stable=True)  # no place twice: which of several wins is nobody's promise
    return lambda: x.scatter(1, i, x)


add(
    "indexing and sorting",
    {
        "embedding, 50,000 rows": _embedding,
        "embedding and backward, 50,000 rows": _embedding_backward(50_000),
        "embedding and backward, 65 rows": _embedding_backward(65),
        "x[index]": _index(lambda t, x, i: x[i]),
        "index_select": _index(lambda t, x, i: x.index_select(0, i)),
        "index_add": _index(lambda t, x, i: x.index_add(0, i, x[:8192])),
        "gather": on((1000, 1000), lambda t, x: x.gather(1, (x > 0).long())),
        "scatter": lambda t: _scatter(t),
        "scatter_add": lambda t: _scatter(t, add=True),
        "x[x > 0]": on(MILLION, lambda t, x: x[x > 0]),
        "sort": on((100, 1000), lambda t, x: x.sort(dim=1).values),
        "topk 10": on((100, 1000), lambda t, x: x.topk(10, dim=1).values),
    },
)
add(
    "random numbers",
    {
        "randn": lambda t: lambda: t.randn(1_000_000),
        "rand": lambda t: lambda: t.rand(1_000_000),
        "randperm": lambda t: lambda: t.randperm(100_000),
        "dropout": on(MILLION, lambda t, x: t.nn.functional.dropout(x, 0.5)),
    },
    check=None,
)


def _optimizer(make: Callable[[Any, Any], Any]) -> Callable[[Any], Thunk]:
    def build(t: Any) -> Thunk:
        parameters = [normal(t, 500, 500, seed=i, grad=True) for i in range(4)]
        for i, p in enumerate(parameters):
            p.grad = normal(t, 500, 500, seed=10 + i)
        return make(t, parameters).step

    return build


add(
    "optimiser steps on a million numbers",
    {
        "SGD, momentum": _optimizer(lambda t, p: t.optim.SGD(p, lr=1e-6, momentum=0.9)),
        "Adam": _optimizer(lambda t, p: t.optim.Adam(p, lr=1e-6)),
        "Adam, torch fused": _optimizer(lambda t, p: t.optim.Adam(p, lr=1e-6, fused=True)),
        "AdamW": _optimizer(lambda t, p: t.optim.AdamW(p, lr=1e-6)),
    },
)

if __name__ == "__main__":
    sys.exit(SUITE.main())

"""What a small call costs: thirty operations on 4 x 4 tensors, plain and recorded, and whole small steps.

    python benchmarks/overhead.py [--filter REGEX] [--rounds N] [--json FILE]

Those that compute are measured on 16 x 16 and 64 x 64 numbers too; a view costs the same whatever it views.
The targets: geometric mean of flowtorch/torch at most 0.6 in each group, and no simple operation above 0.8.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from suite import Suite

SUITE = Suite("overhead of small calls")


def values(*shape: int, seed: int = 0) -> Any:
    """Return float32 numbers between 0.1 and 1, the same for both libraries."""
    import numpy as np

    return np.random.default_rng(seed).uniform(0.1, 1.0, shape).astype(np.float32)


# name -> (simple?, f(t, a, b) giving the callable). `a` is recorded in the second group, `b` never is.
SMALL: dict[str, tuple[bool, Callable[[Any, Any, Any], Callable[[], Any]]]] = {
    "a + b": (True, lambda t, a, b: lambda: a + b),
    "a - b": (True, lambda t, a, b: lambda: a - b),
    "a * b": (True, lambda t, a, b: lambda: a * b),
    "a / b": (True, lambda t, a, b: lambda: a / b),
    "a * 2.0": (True, lambda t, a, b: lambda: a * 2.0),
    "1.0 - a": (True, lambda t, a, b: lambda: 1.0 - a),
    "-a": (True, lambda t, a, b: lambda: -a),
    "a ** 2": (True, lambda t, a, b: lambda: a**2),
    "a + row (broadcast)": (True, lambda t, a, b: lambda row=b[0].detach(): a + row),
    "a @ b": (True, lambda t, a, b: lambda: a @ b),
    "F.linear": (True, lambda t, a, b: _linear(t, a, b)),
    "a.view(16)": (True, lambda t, a, b: lambda: a.view(16)),
    "a.reshape(2, 8)": (True, lambda t, a, b: lambda: a.reshape(2, 8)),
    "a.t()": (True, lambda t, a, b: lambda: a.t()),
    "a.permute(1, 0)": (True, lambda t, a, b: lambda: a.permute(1, 0)),
    "a.unsqueeze(0)": (True, lambda t, a, b: lambda: a.unsqueeze(0)),
    "a[0]": (True, lambda t, a, b: lambda: a[0]),
    "a[1:3]": (True, lambda t, a, b: lambda: a[1:3]),
    "a[:, 1]": (True, lambda t, a, b: lambda: a[:, 1]),
    "exp(a)": (True, lambda t, a, b: lambda: t.exp(a)),
    "relu(a)": (True, lambda t, a, b: lambda: t.relu(a)),
    "tanh(a)": (True, lambda t, a, b: lambda: t.tanh(a)),
    "a.sum()": (True, lambda t, a, b: lambda: a.sum()),
    "a.sum(dim=1)": (True, lambda t, a, b: lambda: a.sum(dim=1)),
    "a.mean()": (True, lambda t, a, b: lambda: a.mean()),
    "a.max()": (True, lambda t, a, b: lambda: a.max()),
    "cat((a, b))": (True, lambda t, a, b: lambda: t.cat((a, b))),
    "softmax(a, -1)": (False, lambda t, a, b: lambda: t.softmax(a, -1)),
    "F.layer_norm": (False, lambda t, a, b: _layer_norm(t, a)),
    "F.cross_entropy": (False, lambda t, a, b: _cross_entropy(t, a)),
    "F.gelu": (False, lambda t, a, b: lambda: t.nn.functional.gelu(a)),
}

# Calls that make no sense on a recorded leaf, or whose result is no tensor.
PLAIN_ONLY: dict[str, Callable[[Any, Any, Any], Callable[[], Any]]] = {
    "a.add_(b)": lambda t, a, b: lambda zero=t.zeros(4, 4): a.add_(zero),
    "a > b": lambda t, a, b: lambda: a > b,
    "a.sum().item()": lambda t, a, b: lambda s=a.sum(): s.item(),
    "zeros(4, 4)": lambda t, a, b: lambda: t.zeros(4, 4),
    "a.detach()": lambda t, a, b: lambda: a.detach(),
    "a.shape[0]": lambda t, a, b: lambda: a.shape[0],
}


def _linear(t: Any, a: Any, b: Any) -> Callable[[], Any]:
    bias, linear = b[0].clone(), t.nn.functional.linear
    return lambda: linear(a, b, bias)


def _layer_norm(t: Any, a: Any) -> Callable[[], Any]:
    shape, layer_norm = (a.shape[1],), t.nn.functional.layer_norm
    return lambda: layer_norm(a, shape)


def _cross_entropy(t: Any, a: Any) -> Callable[[], Any]:
    target, cross_entropy = t.arange(a.shape[0]), t.nn.functional.cross_entropy
    return lambda: cross_entropy(a, target)


VIEWS = ("a.view(16)", "a.reshape(2, 8)", "a.t()", "a.permute(1, 0)", "a.unsqueeze(0)", "a[0]", "a[1:3]", "a[:, 1]")
SIZES = {4: "", 16: ", 16 x 16", 64: ", 64 x 64"}


def _small(
    f: Callable[[Any, Any, Any], Callable[[], Any]], recorded: bool, size: int = 4
) -> Callable[[Any], Callable[[], Any]]:
    def build(t: Any) -> Callable[[], Any]:
        a, b = t.from_numpy(values(size, size)), t.from_numpy(values(size, size, seed=1))
        return f(t, a.requires_grad_() if recorded else a, b)

    return build


for _size, _ending in SIZES.items():
    for _recorded in (False, True):
        for _name, (_simple, _f) in SMALL.items():
            if _size == 4 or _name not in VIEWS:
                _group = ("recorded" if _recorded else "plain") + _ending
                SUITE.add(_name, _group, limit=0.8 if _simple else 2.5)(_small(_f, _recorded, _size))
for _name, _f in PLAIN_ONLY.items():
    SUITE.add(_name, "plain")(_small(_f, recorded=False))


@SUITE.add("100 muls, forward", "steps")
def _chain_forward(t: Any) -> Callable[[], Any]:
    x, c = t.ones(4, 4, requires_grad=True), t.ones(4, 4)

    def run() -> Any:
        y = x
        for _ in range(100):
            y = y * c
        return y

    return run


@SUITE.add("100 muls, forward and backward", "steps")
def _chain(t: Any) -> Callable[[], Any]:
    forward = _chain_forward(t)
    g = t.ones(4, 4)

    def run() -> None:
        forward().backward(g)

    return run


def _mlp_step(t: Any, optimizer: Any) -> Callable[[], Any]:
    nn = t.nn
    t.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
    x, y = t.from_numpy(values(32, 8)), t.from_numpy(values(32, 1, seed=1))
    opt = optimizer(model.parameters())
    loss_of = nn.MSELoss()

    def run() -> Any:
        opt.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return run


@SUITE.add("MLP training step, batch 32, SGD", "steps")
def _mlp_sgd(t: Any) -> Callable[[], Any]:
    return _mlp_step(t, lambda p: t.optim.SGD(p, lr=1e-3))


@SUITE.add("MLP training step, batch 32, Adam", "steps")
def _mlp_adam(t: Any) -> Callable[[], Any]:
    return _mlp_step(t, lambda p: t.optim.Adam(p, lr=1e-4))


def _parameters(t: Any) -> list[Any]:
    parameters = []
    for i in range(20):
        p = t.from_numpy(values(8, 8, seed=i)).requires_grad_()
        p.grad = t.from_numpy(values(8, 8, seed=100 + i))
        parameters.append(p)
    return parameters


@SUITE.add("SGD step, 20 parameters", "steps")
def _sgd_step(t: Any) -> Callable[[], Any]:
    return t.optim.SGD(_parameters(t), lr=1e-6).step


@SUITE.add("SGD momentum step, 20 parameters", "steps")
def _momentum_step(t: Any) -> Callable[[], Any]:
    return t.optim.SGD(_parameters(t), lr=1e-6, momentum=0.9).step


@SUITE.add("Adam step, 20 parameters", "steps")
def _adam_step(t: Any) -> Callable[[], Any]:
    return t.optim.Adam(_parameters(t), lr=1e-6).step


if __name__ == "__main__":
    sys.exit(SUITE.main())

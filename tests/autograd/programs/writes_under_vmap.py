"""In-place writes inside vmap."""
# ruff: noqa

import torch

from torch.func import vmap, grad

x = torch.arange(6.0).reshape(3, 2)


def f(x):
    y = torch.zeros(2)
    y.add_(x)
    return y


def f(x):
    y = x.clone()
    y[0] = 5
    y.mul_(2)
    return y


told("ok", lambda: vmap(f)(x))


def f(x):
    x.add_(1)
    return x


z = x.clone()
told("in", lambda: vmap(f)(z))
print(z)


def f(x):
    y = torch.zeros_like(x)
    y[0] += x[1]
    return y


told("zl", lambda: vmap(f)(x))


def f(x):
    y = x.new_zeros(2)
    y.copy_(x)
    return y


told("nz", lambda: vmap(f)(x))


def f(i, x):
    y = x.clone()
    y[i] = 0
    return y


told("g", lambda: vmap(grad(lambda x: x.clone().mul_(x).sum()))(x))


def f(x, b):
    b += x
    return b


b = torch.zeros(2)
print(b)


def f(x):
    v = x.view(2, 1)
    v.mul_(3)
    return x


z = x.clone()
told("view", lambda: vmap(f)(z))
print(z)
told("scatter", lambda: vmap(lambda x: torch.zeros(2).scatter(0, torch.tensor([0, 1]), x))(x))

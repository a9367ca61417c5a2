"""Compositions of three transforms, every one in every place, against the reference."""

import functools
import itertools
import warnings

import numpy as np
import pytest
import torch

import flowtorch

DTYPES = ("float64", "complex128")


def base(N, x):
    return (x.sin() * x.cumsum(0)).tanh() + x * x.flip(0)


def scalar(N, t):
    total = (t * t.cos()).sum()
    return total.real if total.is_complex() else total


# Each makes of a function on vectors another one: (library, function, vector) -> vector
TRANSFORMS = {
    "grad": lambda N, f, x: N.func.grad(lambda x: scalar(N, f(x)))(x),
    "vmap": lambda N, f, x: N.vmap(lambda s: f(x * s).sum(0))(N.linspace(0.5, 1, 3, dtype=N.float64)),
    "jvp": lambda N, f, x: N.func.jvp(f, (x,), (x.cos(),))[1],
    "vjp": lambda N, f, x: N.func.vjp(f, x)[1](x.sin())[0],
    "jacrev": lambda N, f, x: N.func.jacrev(f)(x).sum(0),
    "jacfwd": lambda N, f, x: N.func.jacfwd(f)(x).sum(1),
    "functionalize": lambda N, f, x: N.func.functionalize(f)(x),
    "in place": lambda N, f, x: f(x.clone().mul_(0.5)).add_(x),
}


def compose(N, names, x):
    f = functools.partial(base, N)
    for name in reversed(names):
        f = functools.partial(TRANSFORMS[name], N, f)
    return f(x)


def values(dtype):
    x = np.array([0.3, -0.7, 1.1])
    return x + 0.2j * x[::-1] if dtype == "complex128" else x


# Real inputs take all; Jacobians of complex functions are refused by the reference.
TRIPLES = [
    (d, t)
    for d in DTYPES
    for t in itertools.product(TRANSFORMS, repeat=3)
    if d == "float64" or not {"jacrev", "jacfwd", "in place", "functionalize"} & set(t)
]


@pytest.mark.parametrize("outer", TRANSFORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_three_deep(outer, dtype):
    wrong = []
    for names in [t for d, t in TRIPLES if d == dtype and t[0] == outer]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = compose(torch, names, torch.from_numpy(values(dtype).copy()))
            except Exception:  # what torch itself refuses is no case
                continue
            got = compose(flowtorch, names, flowtorch.from_numpy(values(dtype).copy()))
        a, b = got.detach().resolve_conj().numpy(), expected.detach().resolve_conj().numpy()
        if a.shape != b.shape or not np.allclose(a, b, rtol=1e-8, atol=1e-10):
            wrong.append(f"{' of '.join(names)}: {a} instead of {b}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("inner", [n for n in TRANSFORMS if n != "functionalize"])
def test_linearize_is_jvp_inside_and_outside_of_everything(inner):
    F = flowtorch.func
    x = flowtorch.from_numpy(values("float64"))
    f = functools.partial(TRANSFORMS[inner], flowtorch, functools.partial(base, flowtorch))
    v = x.cos()
    assert flowtorch.allclose(F.linearize(f, x)[1](v), F.jvp(f, (x,), (v,))[1])

    def pushed(x):
        return F.linearize(functools.partial(base, flowtorch), x)[1](v)

    def reference(x):
        return F.jvp(functools.partial(base, flowtorch), (x,), (v,))[1]

    got, want = (TRANSFORMS[inner](flowtorch, g, x) for g in (pushed, reference))
    assert flowtorch.allclose(got, want)

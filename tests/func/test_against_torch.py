"""Compositions of transforms, and their errors, against the reference."""

import functools

import numpy as np
import pytest
import torch as T

import flowtorch as F


def body(N, x):
    return (x.sin() * x).sum() + (x.softmax(0) * N.arange(x.shape[0])).sum()


COMPOSITIONS = {
    "grad": lambda N, x: N.func.grad(lambda x: body(N, x[0]))(x),
    "grad of grad": lambda N, x: N.func.grad(lambda x: N.func.grad(lambda x: body(N, x))(x).square().sum())(
        x[0]
    ),
    "vmap of grad": lambda N, x: N.vmap(N.func.grad(lambda r: body(N, r)))(x),
    "grad of vmap of grad": lambda N, x: N.func.grad(
        lambda x: N.vmap(N.func.grad(lambda r: body(N, r)))(x).square().sum()
    )(x),
    "vmap of grad of vmap": lambda N, x: N.vmap(N.func.grad(lambda m: N.vmap(lambda r: body(N, r))(m).sum()))(
        N.stack([x, x * 2])
    ),
    "jacrev": lambda N, x: N.func.jacrev(lambda r: r.exp().cumsum(0))(x[0]),
    "jacfwd": lambda N, x: N.func.jacfwd(lambda r: r.exp().cumsum(0))(x[0]),
    "jacfwd of jacrev": lambda N, x: N.func.jacfwd(N.func.jacrev(lambda r: r.sin().cumsum(0)))(x[0]),
    "jacrev of jacfwd": lambda N, x: N.func.jacrev(N.func.jacfwd(lambda r: r.sin().cumprod(0)))(x[0]),
    "jacrev of jacrev": lambda N, x: N.func.jacrev(N.func.jacrev(lambda r: r.sin() * r))(x[0]),
    "jacfwd of jacfwd": lambda N, x: N.func.jacfwd(N.func.jacfwd(lambda r: r.sin() * r))(x[0]),
    "hessian of vmap": lambda N, x: N.func.hessian(lambda x: N.vmap(lambda r: body(N, r))(x).prod())(x),
    "vmap of hessian": lambda N, x: N.vmap(N.func.hessian(lambda r: body(N, r)))(x),
    "vmap of jvp": lambda N, x: N.vmap(lambda r: N.func.jvp(lambda r: body(N, r), (r,), (r * 2,)))(x),
    "jvp of vmap": lambda N, x: N.func.jvp(N.vmap(lambda r: body(N, r)), (x,), (x * 2,)),
    "jvp of grad": lambda N, x: N.func.jvp(N.func.grad(lambda r: body(N, r)), (x[0],), (x[1],)),
    "grad of jvp": lambda N, x: N.func.grad(lambda r: N.func.jvp(lambda r: body(N, r), (r,), (x[1],))[1])(
        x[0]
    ),
    "jvp of jvp": lambda N, x: N.func.jvp(
        lambda r: N.func.jvp(lambda r: r.sin() * r, (r,), (x[1],))[1], (x[0],), (x[2],)
    ),
    "vjp": lambda N, x: N.func.vjp(lambda a, b: (a @ b, a.sum()), x[0], x[1])[1](
        (N.tensor(2.0), N.tensor(3.0))
    ),
    "linearize": lambda N, x: N.func.linearize(lambda r: r.sin(), x)[1](x),
    "grad_and_value aux": lambda N, x: N.func.grad_and_value(
        lambda a, b: ((a * b).sum(), a.sum()), (0, 1), True
    )(x, x + 1),
    "tree": lambda N, x: N.func.grad(lambda d: (d["a"] * d["b"][0]).sum())({"a": x, "b": [x * 2]})["b"][0],
    "assign into zeros": lambda N, x: N.func.grad(lambda r: _filled(N, r).sin().sum())(x[0]),
    "assign forward": lambda N, x: N.func.jvp(lambda r: _filled(N, r).sin().sum(), (x[0],), (x[1],)),
    "in place": lambda N, x: N.func.grad(lambda r: r.clone().mul_(r).add_(1).log().sum())(x[0]),
    "in place on a view": lambda N, x: N.func.grad(lambda r: _halved(r.clone()).square().sum())(x[0]),
    "captured leaf": lambda N, x: _through_leaf(N, x),
    "batched grads": lambda N, x: _batched_grads(N, x),
}


def _filled(N, r):
    out = N.zeros(3)
    out[0] = r[0] * 2
    out[1:] = r[1:3]
    return out


def _halved(r):
    r[:2].mul_(0.5)
    return r


def _through_leaf(N, x):
    w = N.ones(4, requires_grad=True)
    N.func.grad(lambda r: (r * w).sin().sum())(x[0]).sum().backward()
    return w.grad


def _batched_grads(N, x):
    r = x[0].clone().requires_grad_()
    return N.autograd.grad(r.sin() * r, r, N.eye(4), is_grads_batched=True)[0]


def leaves(out):
    return [leaf for o in out for leaf in leaves(o)] if isinstance(out, (tuple, list)) else [out]


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_composition(name):
    data = np.random.default_rng(1).uniform(0.2, 1.0, (3, 4)).astype(np.float32)
    want = leaves(COMPOSITIONS[name](T, T.from_numpy(data.copy())))
    got = leaves(COMPOSITIONS[name](F, F.from_numpy(data.copy())))
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert tuple(g.shape) == tuple(w.shape) and str(g.dtype) == str(w.dtype)
        np.testing.assert_allclose(g.detach().numpy(), w.detach().numpy(), rtol=1e-4, atol=1e-5)


ERRORS = [
    lambda N, x: N.func.grad(lambda x: x)(x),
    lambda N, x: N.func.grad(lambda x: (x, x))(x),
    lambda N, x: N.func.grad(lambda x: x.sum(), has_aux=True)(x),
    lambda N, x: N.func.grad(lambda x: x.sum(), argnums=2)(x),
    lambda N, x: N.func.grad(lambda x: x.sum(), argnums=())(x),
    lambda N, x: N.func.grad(lambda x: x.sum())(N.arange(3)),
    lambda N, x: N.func.grad(lambda x: x * 2)(2.0),
    lambda N, x: N.func.vjp(lambda x: 3, x),
    lambda N, x: N.func.vjp(lambda x: x.sin(), x)[1]((x,)),
    lambda N, x: N.func.vjp(lambda x: x.sin(), x)[1](N.ones(2)),
    lambda N, x: N.func.jvp(lambda x: x, x, x),
    lambda N, x: N.func.jvp(lambda x: x, (x,), (x, x)),
    lambda N, x: N.func.jvp(lambda x: x, (x,), (N.ones(2),)),
    lambda N, x: N.func.jvp(lambda x: 3, (x,), (x,)),
    lambda N, x: N.func.jacrev(lambda x: x, chunk_size=0)(x),
    lambda N, x: N.vmap(lambda x: x, in_dims=5)(x),
    lambda N, x: N.vmap(lambda x: x, in_dims="a")(x),
    lambda N, x: N.vmap(lambda x: x)(),
    lambda N, x: N.vmap(lambda x: x)(3),
    lambda N, x: N.vmap(lambda x, y: x)(x, N.ones(5)),
    lambda N, x: N.vmap(lambda x: 3)(x),
    lambda N, x: N.vmap(lambda x: x, out_dims=None)(x),
    lambda N, x: N.vmap(lambda x: x.sum().item())(x),
    lambda N, x: N.vmap(lambda x: x if x.sum() > 0 else -x)(x),
    lambda N, x: N.vmap(lambda x: x[x > 1])(x),
    lambda N, x: N.vmap(lambda x: x.nonzero())(x),
    lambda N, x: N.vmap(lambda x: _assign_captured(N, x))(x),
    lambda N, x: N.vmap(lambda x: x, randomness="none")(x),
    lambda N, x: N.vmap(lambda x: x, chunk_size=0)(x),
    lambda N, x: N.func.functional_call(N.nn.Linear(2, 2), 3, x),
    lambda N, x: N.func.stack_module_state([]),
    lambda N, x: N.func.functionalize(lambda x: x, remove="a")(x),
]


def _assign_captured(N, x):
    out = N.zeros(4)
    out[0] = x[0]
    return out


@pytest.mark.parametrize("k", range(len(ERRORS)))
def test_error(k):
    with pytest.raises(Exception) as want:
        ERRORS[k](T, T.arange(12.0).reshape(3, 4))
    with pytest.raises(type(want.value)) as got:
        ERRORS[k](F, F.arange(12.0).reshape(3, 4))
    assert str(got.value).replace("flowtorch.", "torch.")[:60] == str(want.value)[:60]


PATTERNS = {"a b c -> c b a": {}, "a b c -> (a b) c": {}, "a (b d) c -> a b c d": {"b": 3}, "a b c -> a b c 1": {},
            "a ... -> ... a": {}, "a ... -> a (...)": {}, "... -> (...)": {}, "a b c -> a () b c": {}, "a b -> b a": {},
            "a b c -> a b": {}, "a b c": {}, "a a b -> b a": {}, "a b c -> a b c": {"d": 3}, "a ( b c-> c": {}}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_rearrange(pattern):
    data = np.arange(24.0).reshape(2, 3, 4)
    try:
        want = T.func.rearrange(T.from_numpy(data), pattern, **PATTERNS[pattern])
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error)[:30].replace("(", ".")):
            F.func.rearrange(F.from_numpy(data), pattern, **PATTERNS[pattern])
    else:
        assert F.func.rearrange(F.from_numpy(data), pattern, **PATTERNS[pattern]).tolist() == want.tolist()


def noted(lines, x):
    lines.append(repr(x))
    return x


def test_repr():
    shown: dict = {}
    for N in (T, F):
        shown[N] = lines = []
        N.vmap(functools.partial(noted, lines))(N.ones(2))
        N.func.grad(lambda x, lines=lines: noted(lines, x * 2).sum())(N.ones(2))
    assert shown[T] == shown[F]


# ---------------------------------------------------------------- modules and Functions


def test_ensemble_of_modules():
    results = []
    for N in (T, F):
        models = []
        for k in range(3):
            m = N.nn.Sequential(N.nn.Linear(4, 5), N.nn.Tanh(), N.nn.Linear(5, 2))
            with N.no_grad():
                for p in m.parameters():
                    p.copy_(N.linspace(-1, 1, p.numel()).reshape(p.shape) * (k + 1))
            models.append(m)
        params, buffers = N.func.stack_module_state(models)
        x = N.linspace(0, 1, 8).reshape(2, 4)

        def loss(p, b, x, m=models[0], N=N):
            return N.nn.functional.cross_entropy(N.func.functional_call(m, (p, b), (x,)), N.tensor([0, 1]))

        grads = N.vmap(N.func.grad(loss), (0, 0, None))(params, buffers, x)
        results.append({name: g.detach().numpy() for name, g in grads.items()})
    for name, want in results[0].items():
        np.testing.assert_allclose(results[1][name], want, rtol=1e-4, atol=1e-6)


def cube(N, **options):
    class Cube(N.autograd.Function):
        generate_vmap_rule = options.get("generate", False)

        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(inputs[0])
            ctx.save_for_forward(inputs[0])

        @staticmethod
        def backward(ctx, g):
            return g * 3 * ctx.saved_tensors[0] ** 2

        @staticmethod
        def jvp(ctx, t):
            return t * 3 * ctx.saved_tensors[0] ** 2

    return Cube


FUNCTION_USES = {
    "grad": lambda N, f, x: N.func.grad(lambda x: f.apply(x).sum())(x),
    "grad of grad": lambda N, f, x: N.func.grad(lambda x: N.func.grad(lambda x: f.apply(x).sum())(x).sum())(
        x
    ),
    "vmap": lambda N, f, x: N.vmap(f.apply)(x),
    "vmap of grad": lambda N, f, x: N.vmap(N.func.grad(lambda x: f.apply(x).sum()))(x),
    "grad of vmap": lambda N, f, x: N.func.grad(lambda x: N.vmap(f.apply)(x).sum())(x),
    "jvp": lambda N, f, x: N.func.jvp(f.apply, (x,), (x,))[1],
    "jacrev": lambda N, f, x: N.func.jacrev(f.apply)(x[0]),
    "hessian": lambda N, f, x: N.func.jacrev(N.func.jacrev(lambda x: f.apply(x).sum()))(x[0]),
}


@pytest.mark.parametrize("name", FUNCTION_USES)
def test_function(name):
    want = FUNCTION_USES[name](T, cube(T, generate=True), T.arange(6.0).reshape(2, 3))
    got = FUNCTION_USES[name](F, cube(F, generate=True), F.arange(6.0).reshape(2, 3))
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5)


def test_function_without_support_is_refused():
    with pytest.raises(RuntimeError, match="does not have vmap support"):
        F.vmap(cube(F).apply)(F.ones(2))

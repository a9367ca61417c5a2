"""vmap against a loop over the examples, alone and with the derivative transforms inside."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import flowtorch as F
from flowtorch.func import batched
from flowtorch.utils._pytree import tree_leaves

sys.path.insert(0, str(Path(__file__).parent))
from vmap_cases import CASES

IDS = [f"{name}-{shapes}" for name, _, shapes in CASES]
SIZE = 3


def batches(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [F.tensor(rng.uniform(0.1, 1.0, (SIZE, *shape)), dtype=F.float32) for shape in shapes]


def check(mapped, looped):
    """Compare the output of vmap with the outputs of the loop."""
    got, want = tree_leaves(mapped), [tree_leaves(one) for one in looped]
    assert len(got) == len(want[0])
    for k, g in enumerate(got):
        w = F.stack([one[k] for one in want])
        assert g.dtype == w.dtype and g.shape == w.shape
        np.testing.assert_allclose(g.detach().numpy(), w.detach().numpy(), rtol=2e-4, atol=1e-5)


@pytest.fixture(autouse=True)
def no_fallback():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="There is a performance drop")
        yield


@pytest.mark.parametrize(("name", "function", "shapes"), CASES, ids=IDS)
def test_all_inputs_mapped(name, function, shapes):
    xs = batches(shapes)
    check(F.vmap(lambda *a: function(F, *a))(*xs), [function(F, *a) for a in zip(*xs, strict=True)])


@pytest.mark.parametrize(
    ("name", "function", "shapes"),
    [c for c in CASES if len(c[2]) > 1],
    ids=[i for i, c in zip(IDS, CASES, strict=True) if len(c[2]) > 1],
)
def test_one_input_mapped(name, function, shapes):
    xs = batches(shapes)
    for k in range(len(xs)):
        given = [x if j == k else x[0] for j, x in enumerate(xs)]
        dims = tuple(0 if j == k else None for j in range(len(xs)))
        want = [function(F, *[x[b] if j == k else x[0] for j, x in enumerate(xs)]) for b in range(SIZE)]
        check(F.vmap(lambda *a: function(F, *a), in_dims=dims)(*given), want)


@pytest.mark.parametrize(("name", "function", "shapes"), CASES, ids=IDS)
def test_last_dimension_mapped(name, function, shapes):
    xs = batches(shapes)
    moved = [x.movedim(0, -1) for x in xs]
    check(
        F.vmap(lambda *a: function(F, *a), in_dims=-1)(*moved),
        [function(F, *a) for a in zip(*xs, strict=True)],
    )


def scalar(function):
    def f(*xs):
        outs = [t for t in tree_leaves(function(F, *xs)) if t.is_floating_point()]
        return sum((t * t).sum() for t in outs)

    return f


DIFFERENTIABLE = [
    (c, i)
    for c, i in zip(CASES, IDS, strict=True)
    if c[0].split(" ")[0] not in ("argmax", "argmin", "any", "all", "count_nonzero")
]


@pytest.mark.parametrize("case", [c for c, _ in DIFFERENTIABLE], ids=[i for _, i in DIFFERENTIABLE])
@pytest.mark.parametrize("how", ["grad", "jvp", "vjp of vmap"])
def test_with_derivatives(case, how):
    _, function, shapes = case
    xs, f = batches(shapes), scalar(function)
    every = tuple(range(len(xs)))
    if how == "grad":
        g = F.func.grad(f, every)
        check(F.vmap(g)(*xs), [g(*a) for a in zip(*xs, strict=True)])
    elif how == "jvp":

        def slope(*a):
            return F.func.jvp(f, a, tuple(x * 0.5 + 0.1 for x in a))[1]

        check(F.vmap(slope)(*xs), [slope(*a) for a in zip(*xs, strict=True)])
    else:
        g = F.func.grad(lambda *a: F.vmap(f)(*a).sum(), every)
        check(g(*xs), [F.func.grad(f, every)(*a) for a in zip(*xs, strict=True)])


def test_the_loop_serves_ops_without_rule_and_warns(monkeypatch):
    monkeypatch.setattr(batched, "find_rule", lambda op: None)
    monkeypatch.setattr(batched, "looped", set())
    x = F.rand(3, 5)
    edges = F.tensor([0.2, 0.5])
    with pytest.warns(
        UserWarning, match="There is a performance drop because we have not yet implemented the batching rule"
    ):
        got = F.vmap(lambda x: F.bucketize(x, edges))(x)
    assert got.tolist() == F.bucketize(x, edges).tolist()
    assert "_searchsorted" in batched.looped


def test_number_of_ops_without_rule():
    """Random fills have a path of their own."""
    from flowtorch.func import rules  # noqa: F401
    from flowtorch.ops.op import REGISTRY

    without = [
        n for n, op in REGISTRY.items() if batched.find_rule(op) is None and op.family.name != "random"
    ]
    assert not without


# ---------------------------------------------------------------- arguments and structure


def test_nested_and_chunked():
    x = F.arange(24.0).reshape(2, 3, 4)
    want = (x * 2).sum(-1)
    assert F.equal(F.vmap(F.vmap(lambda r: (r * 2).sum()))(x), want)
    assert F.equal(F.vmap(F.vmap(lambda r: (r * 2).sum(), in_dims=0), in_dims=1, out_dims=1)(x), want)
    assert F.equal(F.vmap(lambda r: r * 2, chunk_size=2, in_dims=1, out_dims=1)(x), x * 2)


def test_trees_of_arguments_and_results():
    x, y = F.arange(6.0).reshape(2, 3), F.arange(3.0)
    f = F.vmap(
        lambda d, k: {"s": d["x"] + d["y"], "p": (d["x"].sum(), k)},
        in_dims=({"x": 0, "y": None}, None),
        out_dims={"s": 1, "p": (0, None)},
    )
    out = f({"x": x, "y": y}, 7)
    assert F.equal(out["s"], (x + y).T) and F.equal(out["p"][0], x.sum(1)) and out["p"][1] == 7


def test_writes_reach_the_mapped_tensor():
    x = F.zeros(3, 2)
    F.vmap(lambda r: r.add_(1), in_dims=1)(x)
    assert F.equal(x, F.ones(3, 2))


def test_randomness():
    x = F.zeros(3, 2)
    different = F.vmap(lambda r: r + F.randn(2), randomness="different")(x)
    same = F.vmap(lambda r: r + F.randn(2), randomness="same")(x)
    assert len({tuple(r) for r in different.tolist()}) == 3 and len({tuple(r) for r in same.tolist()}) == 1
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        F.vmap(lambda r: r + F.randn(2))(x)
    twice = F.vmap(F.vmap(lambda r: F.rand(()), randomness="different"), randomness="different")(x)
    assert twice.shape == (3, 2) and len(set(twice.flatten().tolist())) == 6

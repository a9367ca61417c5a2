"""Ops that move data, on device "cuda" under Triton's interpreter: joins, pads, indices, masks, scans, sorting.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_data.py
"""

import warnings

import numpy as np
import pytest

import flowtorch as ft

F = ft.nn.functional
warnings.filterwarnings("ignore", message="index_reduce")


def numbers(*shape, dtype="float32", seed=0, grad=False):
    array = np.random.default_rng(seed).standard_normal(shape) * 3
    if dtype.startswith("complex"):
        return ft.tensor(array + 1j * np.random.default_rng(seed + 9).standard_normal(shape)).to(getattr(ft, dtype))
    return ft.tensor(array).to(getattr(ft, dtype)).requires_grad_(grad)


def indices(below, *shape, seed=0):
    return ft.tensor(np.random.default_rng(seed).integers(0, below, shape))


COPIES = {
    "cat": lambda x: ft.cat([x, x[:1]]),
    "cat columns": lambda x: ft.cat([x, x.t()[:, :3].t().clone()[:, :2].expand(3, 2)], 1),
    "stack": lambda x: ft.stack([x, x], 1),
    "repeat": lambda x: x.repeat(2, 1, 3),
    "flip": lambda x: x.flip(0, 1),
    "roll": lambda x: x.roll((1, -2), (0, 1)),
    "roll flat": lambda x: x.t().roll(5),
    "pad": lambda x: F.pad(x, (1, 2, 0, -1), value=3),
    "tril": lambda x: x.tril(-1),
    "triu": lambda x: x.t().triu(1),
    "diag_embed": lambda x: ft.diag_embed(x, 1),
    "select_scatter": lambda x: x.select_scatter(x[0], 0, 1),
    "slice_scatter": lambda x: x.slice_scatter(x[:, :2], 1, 1, 3),
    "diagonal_scatter": lambda x: x.diagonal_scatter(x[0, :3]),
    "strided clone": lambda x: x[:, ::2].clone(),
    "masked_fill": lambda x: x.masked_fill(x == x[0, 0], 2),
    "setitem": lambda x: setitem(x.clone()),
}


def setitem(x):
    x[0, 1:3] = x[1, 1:3]
    x[:, 0] = 1
    return x


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool", "complex64", "complex128"])
@pytest.mark.parametrize("name", COPIES)
def test_copies(name, dtype, same):
    if name == "masked_fill" and dtype.startswith("complex"):
        pytest.skip("comparing complex numbers has no kernel")
    x = numbers(3, 4, dtype=dtype, grad=dtype == "float32")
    same(COPIES[name], x, grad=x.requires_grad)


READS = {
    "gather": (lambda x, i: x.gather(1, i), (indices(5, 4, 3),)),
    "index_select": (lambda x, i: x.index_select(1, i), (indices(5, 7),)),
    "one index": (lambda x, i: x[i], (indices(4, 3, 2),)),
    "second index": (lambda x, i: x[:, i - 2], (indices(5, 3, 2),)),
    "two indices": (lambda x, i, j: x[i, j], (indices(4, 3, 1), indices(5, 1, 2))),
    "apart": (lambda x, i, j: x.unsqueeze(1)[i, :, j], (indices(4, 3, 1), indices(5, 1, 2))),
    "mask": (lambda x, m: x[m], (indices(2, 4, 5).bool(),)),
    "row mask": (lambda x, m: x[m], (indices(2, 4).bool(),)),
    "take": (lambda x, i: x.t().take(i - 5), (indices(20, 3, 2),)),
    "masked_select": (lambda x, m: x.masked_select(m), (indices(2, 1, 5).bool(),)),
    "repeat_interleave": (lambda x, n: x.repeat_interleave(n, 0), (ft.tensor([1, 2, 0, 3]),)),
    "embedding": (lambda x, i: F.embedding(i, x), (indices(4, 2, 4),)),
}
WRITES = {
    "scatter": (lambda x, i, v: x.scatter(1, i, v), (ft.tensor([[0, 2, 1], [1, 0, 4], [3, 4, 0], [1, 2, 3]]),)),
    "scatter_add": (lambda x, i, v: x.scatter_add(1, i, v), (indices(5, 4, 3),)),
    "index_add": (lambda x, i, v: x.index_add(1, i, v), (indices(5, 3),)),
    "index_copy": (lambda x, i, v: x.index_copy(1, i, v), (ft.tensor([0, 3, 1]),)),
    "index_put": (lambda x, i, v: x.index_put((i,), x[0], accumulate=True), (indices(4, 3),)),
    "put": (lambda x, i, v: x.clone().put_(i, v[0], accumulate=True), (indices(20, 3),)),
    "masked_scatter": (lambda x, m, v: x.masked_scatter(m, v), (ft.tensor([True, False, True, True, False]),)),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "complex64", "complex128", "bool"])
@pytest.mark.parametrize("name", READS)
def test_reading_at_indices(name, dtype, same):
    function, given = READS[name]
    x = numbers(4, 5, dtype=dtype, grad=dtype == "float32")
    same(function, x, *given, grad=x.requires_grad)


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "complex64", "bool"])
@pytest.mark.parametrize("name", WRITES)
def test_writing_at_indices(name, dtype, deterministic, same):
    function, given = WRITES[name]
    x = numbers(4, 5, dtype=dtype, grad=dtype == "float32")
    values = numbers(4, 3, dtype=dtype, seed=1, grad=dtype == "float32")
    ft.use_deterministic_algorithms(deterministic)
    try:
        same(function, x, *given, values, grad=x.requires_grad)
    finally:
        ft.use_deterministic_algorithms(False)


def _gradient(function):
    """Run backward, where the additions are."""
    leaf = numbers(6, 4).to("cuda").requires_grad_()
    function(leaf).sum().backward()


ADDING = {
    "embedding": lambda i: _gradient(lambda w: F.embedding(i, w)),
    "index_select": lambda i: _gradient(lambda x: x.index_select(0, i)),
    "gather": lambda i: _gradient(lambda x: x.gather(0, i[:, None])),
    "index": lambda i: _gradient(lambda x: x[i]),
    "index_add": lambda i: numbers(6, 4).to("cuda").index_add(0, i, numbers(3, 4).to("cuda")),
    "scatter_add": lambda i: numbers(6, 4).to("cuda").scatter_add(0, i[:, None], numbers(3, 1).to("cuda")),
    "index_put": lambda i: numbers(6, 4).to("cuda").index_put((i,), numbers(3, 4).to("cuda"), accumulate=True),
}


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("name", ADDING)
def test_nothing_is_added_atomically_where_results_must_not_vary(name, deterministic, monkeypatch):
    from flowtorch.array.cuda import kernel_module

    launch, sources = kernel_module("launch"), []
    before = launch._launcher

    def noted(kernel, grid, arguments):
        sources.append(kernel.source or "")
        before(kernel, grid, arguments)

    monkeypatch.setattr(launch, "_launcher", noted)
    ft.use_deterministic_algorithms(deterministic)
    try:
        ADDING[name](ft.tensor([2, 0, 2], device="cuda"))
    finally:
        ft.use_deterministic_algorithms(False)
    assert sources and any("atomic" in source for source in sources) is not deterministic


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("rule", ["sum", "prod", "mean", "amax", "amin"])
def test_reductions_at_indices(rule, include_self, same):
    for dtype in ("float32", "bfloat16", "int64"):
        x, values = numbers(4, 5, dtype=dtype), numbers(4, 3, dtype=dtype, seed=1)
        same(lambda x, i, v: x.scatter_reduce(1, i, v, rule, include_self=include_self), x, indices(5, 4, 3), values)
        if rule != "sum":
            same(lambda x, i, v: x.index_reduce(1, i, v, rule, include_self=include_self), x, indices(5, 3), values)


def test_embedding_gradients(same):
    weight = numbers(6, 3, grad=True)
    same(lambda w, i: F.embedding(i, w, padding_idx=2, scale_grad_by_freq=True), weight, indices(6, 2, 4), grad=True)


def test_nonzero(same):
    for x in (indices(3, 4, 5) - 1, numbers(3, 4), ft.tensor(2.0), ft.tensor(0), ft.zeros(0, 3)):
        same(lambda x: x.nonzero(), x)


@pytest.mark.parametrize(
    "read",
    [
        lambda x, i: x.gather(0, i.reshape(1, 1)),
        lambda x, i: x[i],
        lambda x, i: x.take(i + 90),
        lambda x, i: F.embedding(i, x),
        lambda x, i: x.index_add(0, i, x[:1]),
    ],
)
def test_indices_out_of_bounds_are_refused_as_on_the_cpu(read):
    errors = []
    for device in ("cpu", "cuda"):
        with pytest.raises((IndexError, RuntimeError)) as caught:
            read(numbers(4, 5).to(device), ft.tensor([9]).to(device))
        errors.append((caught.type, str(caught.value).replace(" on cuda:0", "")))
    assert errors[0] == errors[1]


def test_a_kernel_reports_what_the_host_could_not_see():
    """On a GPU nothing waits to look at the indices: the kernel leaves word, and the next wait raises it."""
    from flowtorch.array.cuda import faults, to_host
    from flowtorch.ops.cuda.places import read, slices

    x, index = numbers(4, 5).to("cuda")._array, np.array([1, 9])
    result = read(x, slices(x, 0, index, "index_select()"))
    np.testing.assert_array_equal(result[0], x[1])
    with pytest.raises(RuntimeError, match=r"device-side assert triggered: index_select\(\): index out of bounds"):
        to_host(result)
    assert faults.word()[0] == 0
    to_host(result)


ALONG = {
    "cumsum": lambda x, d: x.cumsum(d),
    "cummax": lambda x, d: x.cummax(d),
    "cummin": lambda x, d: x.cummin(d),
    "max": lambda x, d: x.max(d),
    "min": lambda x, d: x.min(d, True),
    "argmax": lambda x, d: x.argmax(d),
    "argmin all": lambda x, d: x.argmin(),
    "sort": lambda x, d: x.sort(d, stable=True),
    "sort down": lambda x, d: x.sort(d, descending=True),
    "topk": lambda x, d: x.topk(2, d)[0],
    "kthvalue": lambda x, d: x.kthvalue(2, d),
    "median": lambda x, d: x.median(d),
    "mode": lambda x, d: x.mode(d),
    "count_nonzero": lambda x, d: x.count_nonzero(d),
    "cumprod": lambda x, d: (x / 2 if x.is_floating_point() else x).cumprod(d),
    "logcumsumexp": lambda x, d: (x if x.is_floating_point() else x.double()).logcumsumexp(d),
    "nanmedian": lambda x, d: (x if x.is_floating_point() else x.double()).nanmedian(d)[0],
    "norm": lambda x, d: (x if x.is_floating_point() else x.double()).norm(dim=d),
    "norm 3": lambda x, d: (x if x.is_floating_point() else x.double()).norm(3, dim=d),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "uint8"])
@pytest.mark.parametrize("name", ALONG)
def test_along_a_dimension(name, dtype, same):
    for shape in ((2, 5, 7), (70,)):
        array = np.round(np.random.default_rng(0).standard_normal(shape) * 2)
        if dtype == "uint8":
            array = abs(array)
        x = ft.tensor(array).to(getattr(ft, dtype))
        if x.is_floating_point() and name not in ("norm", "norm 3"):
            x.view(-1)[5] = float("nan")
        same(lambda x: ALONG[name](x, 0), x)
        if x.dim() > 1:
            same(lambda x: ALONG[name](x.transpose(0, 2), 1), x)


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "max", "sort", "logcumsumexp", "cummax", "median", "norm"])
def test_gradients_along_a_dimension(name, same):
    same(lambda x: ALONG[name](x, 1), numbers(3, 5, dtype="float64", grad=True), grad=True, scale=100)


def test_long_rows_are_walked_and_merged():
    """Tiles smaller than a row, and the merging network instead of a sort in registers."""
    from flowtorch.array.cuda import kernel_module
    from flowtorch.codegen.triton_map import run
    from flowtorch.ops.cuda.scans import order, state_type

    x = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32)
    result = np.empty_like(x)
    sizes = {"ROWS": 2, "COLS": 8}
    run(kernel_module("scan").running, (2,), x, result, 3, 50, RULE="sum", STATE=state_type("float32"), **sizes)
    np.testing.assert_allclose(result, x.cumsum(1), rtol=1e-5, atol=1e-5)
    values, places = np.empty((3, 1), np.float32), np.empty((3, 1), np.int64)
    function = kernel_module("scan").extreme_place
    run(function, (2,), x, values, places, 3, 50, RULE="min", STATE=state_type("float32"), **sizes)
    np.testing.assert_array_equal(places[:, 0], x.argmin(1))
    for down in (False, True):
        expected = np.argsort(-x if down else x, axis=1, kind="stable")
        np.testing.assert_array_equal(order(x, down), expected)
        np.testing.assert_array_equal(order(x[:, :20].copy(), down), np.argsort(-x[:, :20] if down else x[:, :20]))


# ---------------------------------------------------------------- products


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "complex64"])
def test_products(dtype, same):
    real = not dtype.startswith("complex")
    make = lambda *shape, seed=0: numbers(*shape, dtype=dtype, seed=seed, grad=real)  # noqa: E731
    a, b, c, x, y = make(3, 4), make(4, 5, seed=1), make(5, seed=2), make(2, 3, 4, seed=3), make(2, 4, 5, seed=4)
    scale = 8
    same(lambda a, b: a.mm(b), a, b, grad=real, scale=scale)
    same(lambda c: c.dot(c), c, grad=real, scale=scale)
    same(lambda c: c.vdot(c), c, scale=scale)
    same(lambda x, y: x.bmm(y), x, y, grad=real, scale=scale)
    same(lambda x, b: x @ b, x, b, grad=real, scale=scale)
    same(lambda b, c: b.mv(c), b, c, grad=real, scale=scale)
    same(lambda x, w, c: F.linear(x, w.t(), c), x, b, c, grad=real, scale=scale)
    if real:
        same(lambda c, a, b: ft.addmm(c, a, b, beta=0.5, alpha=2.0), c, a, b, grad=True, scale=scale)
        same(lambda c, x, y: ft.baddbmm(c, x, y, alpha=3.0), c, x, y, grad=True, scale=scale)
        same(lambda c, x, y: ft.addbmm(c, x, y), c, x, y, grad=True, scale=scale)
        same(lambda c, a, b: ft.addmv(a[0], b, c, beta=2), c, a, b, grad=True, scale=scale)
        same(lambda a: ft.linalg.cross(a[:, :3], a[:1, 1:]), a, grad=True, scale=scale)


def test_integer_products(same):
    same(lambda a, b, c: ft.addmm(c, a, b, beta=2, alpha=3), indices(9, 3, 4), indices(9, 4, 2), indices(9, 2))


# ---------------------------------------------------------------- random numbers

N = 4096
DRAWS = {
    "uniform": (lambda x: x.uniform_(-1, 3), 1, 4 / 12**0.5),
    "normal": (lambda x: x.normal_(2, 3), 2, 3),
    "exponential": (lambda x: x.exponential_(0.5), 2, 2),
    "bernoulli": (lambda x: x.bernoulli_(0.3), 0.3, 0.21**0.5),
    "bernoulli of tensors": (lambda x: ft.bernoulli(ft.full_like(x, 0.3)), 0.3, 0.21**0.5),
    "geometric": (lambda x: x.geometric_(0.4), 2.5, 0.6**0.5 / 0.4),
    "random": (lambda x: x.random_(-4, 5), 0, (80 / 12) ** 0.5),
    "poisson": (lambda x: ft.poisson(ft.full_like(x, 3)), 3, 3**0.5),
    "large poisson": (lambda x: ft.poisson(ft.full_like(x, 40)), 40, 40**0.5),
    "gamma": (lambda x: ft._standard_gamma(ft.full_like(x, 2.5)), 2.5, 2.5**0.5),
    "small gamma": (lambda x: ft._standard_gamma(ft.full_like(x, 0.5)), 0.5, 0.5**0.5),
    "binomial": (lambda x: ft.binomial(ft.full_like(x, 10), ft.full_like(x, 0.7)), 7, 2.1**0.5),
    "normal of tensors": (lambda x: ft.normal(ft.full_like(x, 2), ft.full_like(x, 3)), 2, 3),
    "dropout": (lambda x: F.dropout(ft.ones_like(x), 0.25), 1, (1 / 3) ** 0.5),
}


@pytest.mark.parametrize("name", DRAWS)
def test_moments_of_draws(name):
    draw, mean, deviation = DRAWS[name]
    ft.manual_seed(5)
    drawn = draw(ft.empty(N, device="cuda")).double().cpu().numpy()
    assert abs(drawn.mean() - mean) < 5 * deviation / N**0.5
    assert abs(drawn.std() - deviation) < 0.12 * deviation


def test_numbers_depend_on_seed_call_and_element_alone():
    generator = ft.Generator("cuda").manual_seed(3)
    first = ft.rand(8, device="cuda", generator=generator)
    second = ft.rand(8, device="cuda", generator=generator)
    assert not (first == second).any()
    again = ft.Generator("cuda").manual_seed(3)
    assert (ft.rand(3000, device="cuda", generator=again)[:8] == first).all()  # another launch grid
    state = again.get_state()
    other = ft.Generator("cuda")
    other.set_state(state)
    assert (ft.rand(8, device="cuda", generator=other) == second).all()
    ft.manual_seed(1)
    x = ft.randn(5, device="cuda")
    ft.manual_seed(1)
    assert (ft.randn(5, device="cuda") == x).all()
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
        ft.rand(3, device="cuda", generator=ft.Generator())


def test_permutations_and_categories():
    permutation = ft.randperm(100, device="cuda")
    assert (permutation.sort()[0] == ft.arange(100, device="cuda")).all()
    assert (permutation[:5].cpu() != ft.arange(5)).any()
    weights = ft.tensor([0.0, 1.0, 3.0]).to("cuda")
    drawn = ft.multinomial(weights, N, True)
    assert drawn.min() == 1 and abs(drawn.double().mean().item() - 1.75) < 0.05
    assert (ft.multinomial(weights, 2).sort()[0].cpu() == ft.tensor([1, 2])).all()

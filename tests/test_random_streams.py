"""The random streams against PyTorch's: the same numbers, and the same state afterwards."""

from __future__ import annotations

import warnings

import ml_dtypes
import numpy as np
import pytest
import torch

from flowtorch.random import Generator
from flowtorch.streams import integers, normal, samplers, uniform
from flowtorch.streams.categorical import multinomial

SEEDS = (0, 1, 987654321987)
SIZES = (0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 48, 100, 1000, 16384, 16385, 33001)
FLOATS = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}
COMPLEX = {"complex64": np.complex64, "complex128": np.complex128}
INTEGERS = {name: np.dtype(name).type for name in ("int64", "int32", "int16", "int8", "uint8")}
UNSIGNED = {name: np.dtype(name).type for name in ("uint16", "uint32", "uint64")}
ALL = FLOATS | COMPLEX | INTEGERS | UNSIGNED | {"bool": np.bool_}
# Streams whose float64 results pass through a transcendental function agree to the last bits that numpy's
# have right.
ULPS = 4


def to_numpy(tensor):
    if tensor.dtype == torch.bfloat16:
        return tensor.float().numpy().astype(ml_dtypes.bfloat16)
    return tensor.numpy()


def assert_same(expected, actual, exact=True):
    expected = to_numpy(expected)
    assert expected.dtype == actual.dtype
    assert expected.shape == actual.shape
    if exact:
        # Bit for bit, so that NaN equals NaN and -0 differs from 0.
        np.testing.assert_array_equal(expected.copy().view(np.uint8), actual.copy().view(np.uint8))
    elif expected.dtype.kind == "c":
        np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=1e-15)
    else:
        # Sums of a mean and a scaled normal lose digits to cancellation: an absolute unit goes with the
        # relative one.
        np.testing.assert_allclose(actual, expected, rtol=ULPS * 2.0**-52, atol=ULPS * 2.0**-52 * scale(expected))


def scale(values):
    finite = np.abs(values[np.isfinite(values)])
    return np.median(finite) if finite.size else 1.0


def compare(ours, theirs, exact=True, seeds=SEEDS):
    """Call both under several seeds; numbers and states must agree."""
    gen = Generator()
    for seed in seeds:
        torch.manual_seed(seed)
        gen.manual_seed(seed)
        for _ in range(2):
            assert_same(theirs(), ours(gen), exact)
        np.testing.assert_array_equal(torch.get_rng_state().numpy(), gen._state_bytes())


def compare_outcome(ours, theirs):
    """The same numbers, or the same error with the same words."""
    gen = Generator()
    torch.manual_seed(3)
    gen.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = theirs()
        except Exception as error:
            with pytest.raises(type(error)) as raised:
                ours(gen)
            assert str(raised.value) == str(error).split("  (Could this error")[0]
            return
        assert_same(expected, ours(gen))
    np.testing.assert_array_equal(torch.get_rng_state().numpy(), gen._state_bytes())


def is_exact(name):
    return name not in ("float64", "complex128")


@pytest.mark.parametrize("name", [*FLOATS, *COMPLEX])
@pytest.mark.parametrize("bounds", [(0, 1), (-0.1, 0.1), (0.3, 1.7), (5, 1000), (1e3, 1e3 + 0.5)])
def test_uniform(name, bounds):
    for n in SIZES:
        compare(
            lambda gen, n=n: uniform.uniform_(gen, np.empty(n, ALL[name]), *bounds),
            lambda n=n: torch.empty(n, dtype=getattr(torch, name)).uniform_(*bounds),
        )


@pytest.mark.parametrize("name", [*FLOATS, *COMPLEX])
@pytest.mark.parametrize("mean, std", [(0, 1), (0, 0.02), (0.3, 1.7), (-2, 0)])
def test_normal(name, mean, std):
    for n in SIZES:
        compare(
            lambda gen, n=n: normal.normal_(gen, np.empty(n, ALL[name]), mean, std),
            lambda n=n: torch.empty(n, dtype=getattr(torch, name)).normal_(mean, std),
            exact=is_exact(name),
        )


def test_long_normal_is_exact_in_float32():
    compare(
        lambda gen: normal.normal_(gen, np.empty(2_000_003, np.float32)),
        lambda: torch.empty(2_000_003).normal_(),
        seeds=(5,),
    )


LAYOUTS = {
    "transposed": lambda a: a.transpose(2, 1, 0) if isinstance(a, np.ndarray) else a.permute(2, 1, 0),
    "rotated": lambda a: a.transpose(1, 2, 0) if isinstance(a, np.ndarray) else a.permute(1, 2, 0),
    "strided": lambda a: a[:, :, ::2],
    "narrowed": lambda a: a[:, 1:4],
    "unit": lambda a: a[:, :1].transpose(1, 0, 2) if isinstance(a, np.ndarray) else a[:, :1].transpose(0, 1),
}


@pytest.mark.parametrize("name", ["float32", "float16", "complex64", "int64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(name, layout):
    view = LAYOUTS[layout]
    dtype = getattr(torch, name)
    fills = {
        "float32": [
            ("uniform_", uniform.uniform_),
            ("normal_", normal.normal_),
            ("bernoulli_", uniform.bernoulli_),
        ],
        "float16": [
            ("uniform_", uniform.uniform_),
            ("normal_", normal.normal_),
            ("cauchy_", uniform.cauchy_),
        ],
        "complex64": [("uniform_", uniform.uniform_), ("normal_", normal.normal_)],
        "int64": [("random_", integers.random_), ("bernoulli_", uniform.bernoulli_)],
    }
    for method, ours in fills[name]:
        compare(
            lambda gen, ours=ours: ours(gen, view(np.empty((3, 5, 6), ALL[name]))),
            lambda method=method: getattr(view(torch.empty(3, 5, 6, dtype=dtype)), method)(),
        )


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("p", [0, 0.3, 1, -1, 2])
def test_transforms_of_one_uniform(name, p):
    dtype = getattr(torch, name)
    for n in (0, 1, 5, 1000):

        def fresh(n=n):
            return np.empty(n, ALL[name])

        def theirs(n=n):
            return torch.empty(n, dtype=dtype)

        compare_outcome(lambda gen, a=fresh: uniform.bernoulli_(gen, a(), p), lambda t=theirs: t().bernoulli_(p))
        compare_outcome(lambda gen, a=fresh: uniform.geometric_(gen, a(), p), lambda t=theirs: t().geometric_(p))
        if is_exact(name) or n < 2:
            compare_outcome(lambda gen, a=fresh: normal.normal_(gen, a(), 0.3, p), lambda t=theirs: t().normal_(0.3, p))
            compare_outcome(lambda gen, a=fresh: uniform.uniform_(gen, a(), 0, p), lambda t=theirs: t().uniform_(0, p))
        if is_exact(name):
            compare_outcome(
                lambda gen, a=fresh: uniform.exponential_(gen, a(), p), lambda t=theirs: t().exponential_(p)
            )
            compare_outcome(lambda gen, a=fresh: uniform.cauchy_(gen, a(), 1, p), lambda t=theirs: t().cauchy_(1, p))
            compare_outcome(
                lambda gen, a=fresh: normal.log_normal_(gen, a(), 0.1, p),
                lambda t=theirs: t().log_normal_(0.1, p),
            )


@pytest.mark.parametrize("method, ours", [("exponential_", uniform.exponential_), ("cauchy_", uniform.cauchy_)])
def test_float64_transforms(method, ours):
    compare(
        lambda gen: ours(gen, np.empty(5000)),
        lambda: getattr(torch.empty(5000, dtype=torch.float64), method)(),
        exact=False,
    )


@pytest.mark.parametrize("name", ["float32", "float16", "int64", "bool", "uint8"])
@pytest.mark.parametrize("p_name", [*FLOATS, "int64"])
def test_bernoulli_of_tensor(name, p_name):
    for shape, p_shape in [((7,), (7,)), ((4, 5), (5,)), ((4, 5), (4, 1)), ((0,), (1,))]:
        p = torch.rand(p_shape).to(getattr(torch, p_name))
        compare_outcome(
            lambda gen, p=p, shape=shape: uniform.bernoulli_(gen, np.empty(shape, ALL[name]), to_numpy(p)),
            lambda p=p, shape=shape: torch.empty(shape, dtype=getattr(torch, name)).bernoulli_(p),
        )
    p = torch.rand(4, 5)
    compare(
        lambda gen: uniform.bernoulli_(gen, np.empty((5, 4), np.float32).T, p.numpy()),
        lambda: torch.empty(5, 4).t().bernoulli_(p),
    )


RANGES = [
    (0, 1), (0, 2), (0, 10), (-5, 100), (0, 2**28 - 1), (0, 2**28), (0, 2**31 - 1), (-(2**31), 2**31 - 1),
    (-(2**31), 2**31), (0, 2**32 - 1), (0, 2**32), (0, 2**32 + 1), (-(2**62), 2**62 + 5), (-(2**63), None),
    (3, None),
    (-3, None), (300, None), (2**30, None), (2**60, None), (-(2**63), 2**63 - 1), (5, 3), (0, 65504), (0,
    65535),
    (0, 3000), (-3000, 3000), (0, 2**24 + 3), (2**24 + 1, 2**24 + 5), (2**53 + 1, 2**53 + 5), (-(2**24) - 3,
    2),
    (0, 255), (0, 256), (0, 257), (0, 128), (-128, 128), (-129, 3), (2**63 - 2, 2**63 - 1), (0, 1 << 40),
]  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_random(name):
    dtype = getattr(torch, name)
    for n in (0, 3, 500):
        compare_outcome(
            lambda gen, n=n: integers.random_(gen, np.empty(n, ALL[name])),
            lambda n=n: torch.empty(n, dtype=dtype).random_(),
        )
        for low, high in RANGES:
            compare_outcome(
                lambda gen, n=n, low=low, high=high: integers.random_(gen, np.empty(n, ALL[name]), low, high),
                lambda n=n, low=low, high=high: torch.empty(n, dtype=dtype).random_(low, high),
            )


def test_random_warns_beyond_the_exact_integers():
    with pytest.warns(UserWarning, match=r"to - 1 is out of bounds \[-\(2\^24\), 2\^24\]"):
        integers.random_(Generator(), np.empty(2, np.float32), 0, 2**25)


@pytest.mark.parametrize("name", [*ALL])
def test_randperm_dtypes(name):
    for n in (0, 1, 2, 100, 128, 129, 256, 257, 2048, 2049, 2050):
        compare_outcome(
            lambda gen, n=n: integers.randperm(gen, np.empty(n, ALL[name])),
            lambda n=n: torch.randperm(n, dtype=getattr(torch, name)),
        )


def test_randperm_sizes():
    for n in [*range(30), 799, 800, 801, 5000, 60000, 200_001]:
        compare(
            lambda gen, n=n: integers.randperm(gen, np.empty(n, np.int64)),
            lambda n=n: torch.randperm(n),
        )


def test_large_permutations_are_built_inside_out(monkeypatch):
    # The other algorithm starts at 214 million elements. Its rule, at a size one can wait for: each number
    # goes to the end, then changes places with one drawn by a 64-bit word.
    monkeypatch.setattr(integers, "_LARGE_PERMUTATION", 50)
    out = integers.randperm(Generator().manual_seed(4), np.empty(60, np.int64))
    words = np.random.RandomState(4)._bit_generator.random_raw(120)
    values = []
    for i in range(60):
        place = (int(words[2 * i]) << 32 | int(words[2 * i + 1])) % (i + 1)
        values.append(i)
        values[place], values[i] = values[i], values[place]
    assert out.tolist() == values


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial(name, replacement):
    generator = np.random.default_rng(0)
    for rows, categories in ((1, 1), (1, 5), (4, 7), (50, 13), (3, 100)):
        weights = torch.tensor(generator.random((rows, categories))).to(getattr(torch, name))
        # The order of equal scores is not PyTorch's, and half precision has many.
        ties = not replacement and weights.dtype.itemsize == 2
        for count in (1, 2, 5, 50):
            if ties and count > 1:
                continue
            for p in (weights, weights[0], weights.t().contiguous().t(), weights * 100):
                compare_outcome(
                    lambda gen, p=p, count=count: multinomial(gen, to_numpy(p), count, replacement),
                    lambda p=p, count=count: torch.multinomial(p, count, replacement),
                )


@pytest.mark.parametrize(
    "weights, count, replacement",
    [
        ([0, 1, 0], 1, False), ([0, 0, 0], 1, False), ([0, 0, 0], 2, True), ([0, -1, 2], 1, False),
        ([0, -1, 2], 2, True), ([0, np.inf, 2], 1, True), ([0, np.inf, 2], 2, True), ([0, np.nan, 2], 2,
        True),
        ([1, 2], 3, False), ([1, 2], 0, False), ([1, 2], -1, True), ([[1, 2], [0, 0]], 1, False), (1, 1,
        False),
        ([[[1, 2]]], 1, False), ([], 1, False), ([], 2, True),
    ],
)  # fmt: skip
def test_multinomial_edges(weights, count, replacement):
    p = torch.tensor(weights, dtype=torch.float32)
    compare_outcome(
        lambda gen: multinomial(gen, p.numpy(), count, replacement),
        lambda: torch.multinomial(p, count, replacement),
    )


RATES = (0.0, 0.01, 1.0, 3.3, 9.999, 10.0, 15.0, 100.0, 12345.6, 1e9)


@pytest.mark.parametrize("name", FLOATS)
def test_poisson(name):
    dtype = getattr(torch, name)
    for n in (1, 5, 16, 17, 500):
        for rate in RATES:
            rates = torch.full((n,), rate, dtype=torch.float64).to(dtype)
            compare(lambda gen, r=rates: samplers.poisson(gen, to_numpy(r)), lambda r=rates: torch.poisson(r))
    rates = (torch.rand(30, 20, dtype=torch.float64) * 40).to(dtype).t()
    compare(lambda gen: samplers.poisson(gen, to_numpy(rates)), lambda: torch.poisson(rates))


@pytest.mark.parametrize("rates", [[-1.0], [np.nan], [1e18], [3.0, 1e19, 2.0]])
def test_poisson_edges(rates):
    p = torch.tensor(rates)
    compare_outcome(lambda gen: samplers.poisson(gen, p.numpy()), lambda: torch.poisson(p))


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_binomial(name):
    dtype = getattr(torch, name)
    for n in (1, 17, 300):
        for count in (-1, 1, 3, 20, 50, 1000, 1e6):
            for prob in (-0.5, 0, 0.01, 0.2, 0.5, 0.51, 0.7, 0.99, 1, 1.5):
                counts = torch.full((n,), float(count), dtype=dtype)
                probs = torch.full((n,), float(prob), dtype=dtype)
                compare(
                    lambda gen, c=counts, p=probs: samplers.binomial(gen, c.numpy(), p.numpy()),
                    lambda c=counts, p=probs: torch.binomial(c, p),
                    seeds=SEEDS[:2],
                )


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_gamma_and_dirichlet(name):
    dtype = getattr(torch, name)
    for n in (1, 5, 16, 17, 500):
        for shape in (0.0, 0.001, 0.3, 0.999, 1.0, 1.5, 3.0, 100.0, 1e6):
            alpha = torch.full((n,), shape, dtype=dtype)
            compare(
                lambda gen, a=alpha: samplers.standard_gamma(gen, a.numpy()),
                lambda a=alpha: torch._standard_gamma(a),
            )
            if shape:
                alphas = torch.full((n, 3), shape, dtype=dtype)
                compare(
                    lambda gen, a=alphas: samplers.dirichlet(gen, a.numpy()),
                    lambda a=alphas: torch._sample_dirichlet(a),
                )


def test_mixed_calls_keep_in_step():
    # Draws of every kind in a row, so that what one leaves behind (half a pair of normals, an odd word) is
    # seen.
    calls = [
        (lambda gen: normal.normal_(gen, np.empty(3, np.float32)), lambda: torch.empty(3).normal_()),
        (lambda gen: integers.random_(gen, np.empty(5, np.int64), 0, 7), lambda: torch.randint(7, (5,))),
        (lambda gen: normal.normal_(gen, np.empty(20, np.float32)), lambda: torch.randn(20)),
        (lambda gen: uniform.uniform_(gen, np.empty(9, np.float32)), lambda: torch.rand(9)),
        (
            lambda gen: samplers.standard_gamma(gen, np.full(40, 0.7, np.float32)),
            lambda: torch._standard_gamma(torch.full((40,), 0.7)),
        ),
        (
            lambda gen: normal.normal_(gen, np.empty(1, np.float64)),
            lambda: torch.empty(1, dtype=torch.float64).normal_(),
        ),
        (lambda gen: integers.randperm(gen, np.empty(11, np.int64)), lambda: torch.randperm(11)),
        (
            lambda gen: uniform.bernoulli_(gen, np.empty(6, np.float32), 0.4),
            lambda: torch.empty(6).bernoulli_(0.4),
        ),
        (
            lambda gen: samplers.poisson(gen, np.full(40, 20.0)),
            lambda: torch.poisson(torch.full((40,), 20.0).double()),
        ),
        (lambda gen: normal.log_normal_(gen, np.empty(4, np.float32)), lambda: torch.empty(4).log_normal_()),
        (
            lambda gen: samplers.binomial(gen, np.full(30, 90.0), np.full(30, 0.3)),
            lambda: torch.binomial(torch.full((30,), 90.0).double(), torch.full((30,), 0.3).double()),
        ),
        (
            lambda gen: normal.normal_(gen, np.empty((5, 5), np.float32).T),
            lambda: torch.empty(5, 5).t().normal_(),
        ),
    ]
    order = np.random.default_rng(7)
    gen = Generator()
    for seed in range(10):
        torch.manual_seed(seed)
        gen.manual_seed(seed)
        for step in order.integers(len(calls), size=60):
            ours, theirs = calls[step]
            assert_same(theirs(), ours(gen), exact=True)
            np.testing.assert_array_equal(torch.get_rng_state().numpy(), gen._state_bytes())


@pytest.mark.parametrize("seed", [0, 1, -1, -(2**63), 2**32, 2**63, 2**64 - 1, 67280421310721])
def test_seeds(seed):
    gen = Generator().manual_seed(seed)
    theirs = torch.Generator().manual_seed(seed)
    assert gen.initial_seed() == theirs.initial_seed()
    np.testing.assert_array_equal(theirs.get_state().numpy(), gen._state_bytes())
    np.testing.assert_array_equal(
        torch.empty(9).uniform_(generator=theirs).numpy(), uniform.uniform_(gen, np.empty(9, np.float32))
    )
    np.testing.assert_array_equal(theirs.get_state().numpy(), gen._state_bytes())


def test_default_seed():
    assert Generator().initial_seed() == torch.Generator().initial_seed()
    np.testing.assert_array_equal(torch.Generator().get_state().numpy(), Generator()._state_bytes())


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 1.5, "a", True, None])
def test_wrong_seeds(seed):
    with pytest.raises((RuntimeError, ValueError)) as expected:
        torch.Generator().manual_seed(seed)
    with pytest.raises(expected.type) as raised:
        Generator().manual_seed(seed)
    assert str(raised.value) == str(expected.value)


def test_nondeterministic_seed():
    gen = Generator()
    seed = gen.seed()
    assert seed == gen.initial_seed() != Generator().seed()
    assert 0 <= seed < 2**64


@pytest.mark.parametrize("words", [0, 1, 623, 624, 625, 1248])
@pytest.mark.parametrize("normals", [0, 1, 2])
def test_states_travel_both_ways(words, normals):
    gen = Generator().manual_seed(11)
    theirs = torch.Generator().manual_seed(11)
    uniform.uniform_(gen, np.empty(words, np.float32))
    torch.empty(words).uniform_(generator=theirs)
    normal.normal_(gen, np.empty(normals, np.float32))
    torch.empty(normals).normal_(generator=theirs)
    state = theirs.get_state()
    np.testing.assert_array_equal(state.numpy(), gen._state_bytes())
    # Into ours and back out, without a draw in between.
    copy = Generator()
    copy._load_state_bytes(state.numpy())
    np.testing.assert_array_equal(state.numpy(), copy._state_bytes())
    assert copy.initial_seed() == 11
    # Both go on alike.
    back = torch.Generator()
    back.set_state(torch.from_numpy(gen._state_bytes()))
    np.testing.assert_array_equal(
        torch.empty(1500).normal_(generator=back).numpy(), normal.normal_(copy, np.empty(1500, np.float32))
    )
    np.testing.assert_array_equal(back.get_state().numpy(), copy._state_bytes())


@pytest.mark.parametrize("state", [np.zeros(5056, np.uint8), np.full(5056, 255, np.uint8), np.zeros(10, np.uint8)])
def test_wrong_states(state):
    with pytest.raises(RuntimeError) as expected:
        torch.Generator().set_state(torch.from_numpy(state))
    with pytest.raises(RuntimeError) as raised:
        Generator()._load_state_bytes(state)
    assert str(raised.value) == str(expected.value)

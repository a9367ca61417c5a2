"""The random functions and methods of tensors against PyTorch: results, states, gradients, errors."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch

import flowtorch

HELPERS = """
def history(f):
    x = torch.ones(20, requires_grad=True)
    y = f(x * 2)
    if not y.requires_grad:
        return False
    y.sum().backward()
    return y.grad_fn.name()[:-1], x.grad.tolist()


def like():
    return torch.zeros(4, 5).t()
"""


def outcome(module, source):
    """What an expression gives: its repr, the warnings, and the state of the default generator afterwards."""
    names = {"torch": module}
    exec(HELPERS, names)
    module.manual_seed(3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = repr(eval(source, names)).replace("flowtorch", "torch")
        except Exception as error:
            result = type(error).__name__, str(error).split("\n")[0].split(", but expected one of")[0]
    return result, [str(w.message)[:60] for w in caught], module.get_rng_state().numpy().tobytes()


def assert_alike(source):
    ours, theirs = outcome(flowtorch, source), outcome(torch, source)
    if isinstance(theirs[0], tuple):  # an error: of the same type, and in the same words, with the operands after them
        assert ours[0][0] == theirs[0][0]
        assert ours[0][1].startswith(theirs[0][1])
    else:
        assert ours[0] == theirs[0]
    assert ours[1] == theirs[1]
    assert ours[2] == theirs[2], "the generators differ afterwards"


FACTORIES = [
    "torch.rand(())", "torch.rand(2, 3)", "torch.rand((2, 3))", "torch.rand([2, 3])", "torch.rand(size=(2,))",
    "torch.rand(torch.Size([2, 2]))", "torch.rand(0)", "torch.rand(3, dtype=torch.float64)",
    "torch.rand(3, dtype=float)", "torch.rand(3, dtype=torch.bfloat16)", "torch.rand(3, dtype=torch.complex64)",
    "torch.rand(3, requires_grad=True)", "torch.rand(2, generator=None)", "torch.rand(2, pin_memory=False)",
    "torch.rand(2, device='meta').shape", "torch.rand(2, out=torch.empty(2, dtype=torch.float64))",
    "torch.randn(3)", "torch.randn(3, 7)", "torch.randn(2, dtype=torch.complex128)", "torch.randn(20)",
    "torch.randn(17, dtype=torch.float16)", "torch.randn(2, 2, requires_grad=True)",
    "torch.randint(9, (3,))", "torch.randint(2, 9, (3,))", "torch.randint(low=2, high=9, size=(3,))",
    "torch.randint(high=9, size=(3,))", "torch.randint(9, size=(2, 2))", "torch.randint(2, 9, size=(3,))",
    "torch.randint(9, (3,), dtype=torch.float16)", "torch.randint(torch.tensor(3), (2,))",
    "torch.randint(0, 5, (2,), out=torch.empty(2))", "torch.randint(-(2**40), 2**40, (3,))",
    "torch.randint(2, (4,), dtype=torch.bool)", "torch.randint(9, (0,))", "torch.randint(9, [2])",
    "torch.randperm(9)", "torch.randperm(0)", "torch.randperm(9, dtype=torch.float32)",
    "torch.randperm(torch.tensor(4))", "torch.randperm(5, out=torch.empty(5, dtype=torch.int16))",
    "torch.rand_like(like())", "torch.randn_like(like())", "torch.randint_like(like(), 9)",
    "torch.randint_like(like(), 2, 9)", "torch.randint_like(like(), low=2, high=9)",
    "torch.randint_like(like(), high=9, dtype=torch.int64)", "torch.randint_like(like(), torch.tensor(9))",
    "torch.rand_like(like(), dtype=torch.float64)", "torch.rand_like(like(), requires_grad=True)",
    "torch.rand_like(torch.zeros(2, 3, dtype=torch.int64), dtype=torch.float32)",
    "torch.randn_like(like(), memory_format=torch.contiguous_format)",
    "torch.randn_like(torch.zeros(2, 3, 2, 2), memory_format=torch.channels_last)",
    "torch.randn_like(torch.zeros(3).expand(2, 3))", "torch.randn_like(torch.zeros(4, 6)[:, ::2])",
]  # fmt: skip

IN_PLACE = [
    "torch.empty(5).uniform_()", "torch.empty(5).uniform_(-1, 1)", "torch.empty(5).uniform_(2, to=3)",
    "torch.empty(5).uniform_(**{'from': -1, 'to': 1})", "torch.empty(5).uniform_(torch.tensor(-1.0), 1)",
    "torch.empty(5).normal_()", "torch.empty(5).normal_(1, 2)", "torch.empty(5).normal_(mean=1, std=2)",
    "torch.empty(5).random_()", "torch.empty(5).random_(9)", "torch.empty(5).random_(2, 9)",
    "torch.empty(5).random_(to=9)", "torch.empty(5).random_(**{'from': 2, 'to': 9})",
    "torch.empty(5).random_(2, None)", "torch.empty(5).bernoulli_()", "torch.empty(5).bernoulli_(0.2)",
    "torch.empty(5).bernoulli_(p=0.7)", "torch.empty(5).bernoulli_(torch.full((5,), 0.4))",
    "torch.empty(2, 5).bernoulli_(torch.full((5,), 0.4, dtype=torch.float64))", "torch.empty(5).exponential_()",
    "torch.empty(5).exponential_(lambd=3)", "torch.empty(5).geometric_(0.3)", "torch.empty(5).geometric_(p=0.3)",
    "torch.empty(5).cauchy_()", "torch.empty(5).cauchy_(median=1, sigma=2)", "torch.empty(5).log_normal_()",
    "torch.empty(5).log_normal_(mean=0, std=0.5)", "torch.zeros(4, 5).t().normal_()",
    "torch.zeros(4, 6)[:, 1::2].uniform_()",
]  # fmt: skip

DRAWS = [
    "torch.bernoulli(torch.full((9,), 0.3))", "torch.bernoulli(like(), 0.3).stride()",
    "torch.bernoulli(torch.zeros(5), p=0.3)", "torch.full((9,), 0.3).bernoulli()", "torch.zeros(9).bernoulli(0.3)",
    "torch.bernoulli(torch.full((9,), 0.3).to(torch.float64))", "torch.zeros(4, dtype=torch.int64).bernoulli(0.5)",
    "torch.bernoulli(torch.full((3,), 0.5), out=torch.zeros(3, dtype=torch.int32))",
    "torch.normal(torch.zeros(5), 2.0)", "torch.normal(torch.zeros(5))", "torch.normal(torch.ones(20), 2)",
    "torch.normal(torch.zeros(3, 1), torch.ones(4))", "torch.normal(3.0, torch.ones(5))",
    "torch.normal(mean=3, std=torch.ones(20))", "torch.normal(0, 1, (5,))", "torch.normal(2.0, 3.0, size=(5,))",
    "torch.normal(2.0, 3.0, (20,), dtype=torch.float64)", "torch.normal(torch.zeros(3), 1, out=torch.zeros(3))",
    "torch.normal(torch.zeros(3, dtype=torch.complex64), torch.ones(3))",
    "torch.normal(torch.zeros(5, dtype=torch.float16), torch.ones(5))",
    "torch.poisson(torch.full((6,), 3.0))", "torch.poisson(like() + 20).stride()",
    "torch.binomial(torch.full((6,), 9.0), torch.full((6,), 0.4))",
    "torch.multinomial(torch.tensor([1.0, 2, 3]), 2)", "torch.multinomial(torch.tensor([1.0, 2, 3]), 9, True)",
    "torch.tensor([[1.0, 2], [0, 3]]).multinomial(1)", "torch.multinomial(torch.ones(4), 1, replacement=True)",
    "torch._standard_gamma(torch.full((6,), 0.7))", "torch._sample_dirichlet(torch.tensor([1.0, 2, 3]))",
]  # fmt: skip

HISTORIES = [
    "history(lambda y: y.normal_())", "history(lambda y: y.uniform_())", "history(lambda y: y.random_(2, 9))",
    "history(lambda y: y.bernoulli_())", "history(lambda y: y.exponential_())", "history(lambda y: y.geometric_(0.3))",
    "history(lambda y: y.cauchy_())", "history(lambda y: y.log_normal_())", "history(lambda y: torch.bernoulli(y / 4))",
    "history(lambda y: torch.poisson(y))", "history(lambda y: torch.normal(y, y))",
    "history(lambda y: torch.normal(1.0, y))", "history(lambda y: torch.normal(y, 1.0))",
    "history(lambda y: torch.rand_like(y))", "history(lambda y: torch.multinomial(y, 2))",
    "history(lambda y: torch._standard_gamma(y))",
]  # fmt: skip

ERRORS = [
    "torch.rand()", "torch.rand(-1)", "torch.rand(2.0)", "torch.rand('a')", "torch.rand(2, size=(2,))",
    "torch.rand(2, foo=1)", "torch.rand(2, dtype=torch.int32)",
    "torch.rand(2, out=torch.empty(2), dtype=torch.float64)", "torch.rand(2, out=torch.empty(2, dtype=torch.int64))",
    "torch.randn(2, dtype=torch.int32)", "torch.randint(0, 5)", "torch.randint(0, (2,))",
    "torch.randint(5, 3, (2,))", "torch.randint(3.5, (2,))", "torch.randint(2**63, (2,))", "torch.randint(True, (2,))",
    "torch.randint(300, (2,), dtype=torch.uint8)", "torch.randint(0, 5, (2,), 3)", "torch.randperm(-1)",
    "torch.randperm(2.0)", "torch.randperm(300, dtype=torch.uint8)", "torch.rand_like(3)",
    "torch.rand_like(torch.zeros(2, dtype=torch.int64))", "torch.randint_like(torch.zeros(2), low=3)",
    "torch.normal(0.0, 1.0)", "torch.normal(torch.zeros(2), -torch.ones(2))", "torch.normal(torch.zeros(2), -1)",
    "torch.normal(torch.zeros(2), torch.ones(2, dtype=torch.complex64))", "torch.normal(0.0, -1.0, (2,))",
    "torch.normal(torch.zeros(2, dtype=torch.int32), 1.0)", "torch.normal(0.0, torch.ones(2, dtype=torch.int32))",
    "torch.bernoulli(3)", "torch.bernoulli(torch.zeros(2, dtype=torch.int64))", "torch.empty(3).bernoulli_(2)",
    "torch.empty(3).bernoulli_(torch.ones(2))", "torch.empty(3).bernoulli_(torch.ones(2, 3))",
    "torch.empty(2).uniform_(a=1)", "torch.empty(2).uniform_('a')", "torch.empty(2).uniform_(2, 1)",
    "torch.empty(2, dtype=torch.int32).uniform_()", "torch.empty(1).expand(3).uniform_()",
    "torch.ones(3, requires_grad=True).normal_()", "torch.empty(2).normal_(0, -1)", "torch.empty(2).exponential_(0)",
    "torch.empty(2).geometric_(1)", "torch.empty(2).cauchy_(0, 0)", "torch.empty(2).log_normal_(0, 0)",
    "torch.poisson(torch.tensor([-1.0]))", "torch.poisson(torch.tensor([1]))",
    "torch.binomial(torch.tensor([1]), torch.tensor([0.5]))", "torch.binomial(torch.tensor([1.0]), 0.5)",
    "torch.binomial(torch.tensor([1.0]), torch.tensor([0.5], dtype=torch.float64))",
    "torch.multinomial(torch.ones(2, 3, 4), 1)", "torch.multinomial(torch.ones(3), 4)",
    "torch.multinomial(torch.ones(3), 0)", "torch.multinomial(torch.tensor([1, 2]), 1)",
    "torch.multinomial(torch.ones(3), 1.0)", "torch.multinomial(torch.ones(3), 2, 'a')",
    "torch.multinomial(torch.ones(3), 2, out=torch.empty(2))", "torch.multinomial(torch.tensor([1.0, -1]), 1)",
    "torch.multinomial(torch.tensor([0.0, 0]), 1)", "torch.manual_seed(2**64)", "torch.manual_seed('a')",
    "torch.manual_seed(None)", "torch.Generator('foo')", "torch.Generator('meta')", "torch.Generator().get_offset()",
    "torch.Generator().set_state(3)", "torch.Generator().set_state(torch.zeros(3, dtype=torch.uint8))",
    "torch.Generator().set_state(torch.zeros(5056))", "torch.Generator().graphsafe_get_state()",
]  # fmt: skip

DROPOUT = [
    f"torch.nn.functional.{call}"
    for call in (
        "dropout(torch.ones(20), 0.3)", "dropout(torch.ones(5, dtype=torch.float16), 0.4)", "dropout(like() + 1, 0.4)",
        "dropout(torch.ones(5), 1.0)", "dropout(torch.ones(0), 0.4)", "dropout(torch.ones(20), 0.3, False)",
        "dropout(torch.ones(20), 0.3, inplace=True)", "dropout(torch.ones(3), 1.5)",
        "dropout1d(torch.ones(3, 4), 0.5)", "dropout1d(torch.ones(2, 3, 4), 0.5)", "dropout1d(torch.ones(3), 0.5)",
        "dropout2d(torch.ones(2, 3, 2, 2), 0.5)", "dropout2d(torch.ones(3, 2, 2), 0.5)",
        "dropout3d(torch.ones(2, 2, 2, 2), 0.5)", "dropout3d(torch.ones(2, 2, 2, 2, 2), 0.5)",
        "alpha_dropout(torch.ones(10), 0.5, True)", "alpha_dropout(torch.ones(10), 1.0, True)",
        "feature_alpha_dropout(torch.ones(2, 5, 3), 0.5, True)", "feature_alpha_dropout(torch.ones(5), 0.5, True)",
    )
] + [
    "torch.dropout(torch.ones(9), 0.3, True)", "torch.dropout(torch.ones(9), 1.3, True)",
    "torch.feature_dropout(torch.ones(2, 5, 2), 0.5, True)", "torch.nn.Dropout(0.4)(torch.ones(9))",
    "history(lambda y: torch.nn.functional.dropout(y, 0.4))",
    "history(lambda y: torch.nn.functional.dropout(y, 0.4, inplace=True))",
    "history(lambda y: torch.nn.functional.alpha_dropout(y, 0.4, True))[1]",
]  # fmt: skip


@pytest.mark.parametrize("source", FACTORIES + IN_PLACE + DRAWS)
def test_results(source):
    assert_alike(source)


@pytest.mark.parametrize("source", HISTORIES)
def test_histories(source):
    assert_alike(source)


@pytest.mark.parametrize("source", ERRORS)
def test_errors(source):
    assert_alike(source)


@pytest.mark.parametrize("source", DROPOUT)
def test_dropout(source):
    assert_alike(source)


def test_a_given_generator_leaves_the_default_alone():
    before = flowtorch.get_rng_state()
    ours, theirs = flowtorch.Generator(), torch.Generator()
    ours.manual_seed(5), theirs.manual_seed(5)
    for name, args in [("rand", (3,)), ("randn", (3,)), ("randint", (9, (3,))), ("randperm", (5,))]:
        a = getattr(flowtorch, name)(*args, generator=ours)
        b = getattr(torch, name)(*args, generator=theirs)
        assert a.tolist() == b.tolist()
    x, y = flowtorch.zeros(3), torch.zeros(3)
    assert x.normal_(generator=ours).tolist() == y.normal_(generator=theirs).tolist()
    assert flowtorch.randn_like(x, generator=ours).tolist() == torch.randn_like(y, generator=theirs).tolist()
    assert flowtorch.poisson(x + 3, ours).tolist() == torch.poisson(y + 3, theirs).tolist()
    assert (before == flowtorch.get_rng_state()).all()


def test_in_place_draws_count_as_writes():
    x = flowtorch.ones(3, requires_grad=True)
    y = x * 2
    z = y * y
    assert y._version == 0
    y.uniform_()
    assert y._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_in_place_draws_through_views():
    base = flowtorch.zeros(4, 4)
    flowtorch.manual_seed(1)
    base[1:3].uniform_()
    torch.manual_seed(1)
    expected = torch.zeros(4, 4)
    expected[1:3].uniform_()
    assert base.tolist() == expected.tolist()
    assert base._version == 1


def test_fork_rng():
    flowtorch.manual_seed(4)
    with flowtorch.random.fork_rng():
        first = flowtorch.rand(3)
        flowtorch.manual_seed(9)
    assert flowtorch.rand(3).tolist() == first.tolist()
    with flowtorch.random.fork_rng(enabled=False):
        flowtorch.manual_seed(4)
    assert flowtorch.rand(3).tolist() == first.tolist()


def test_states_as_tensors():
    flowtorch.manual_seed(4)
    state = flowtorch.get_rng_state()
    assert (state.dtype, state.shape) == (flowtorch.uint8, (5056,))
    first = flowtorch.randn(3)
    flowtorch.set_rng_state(state)
    assert flowtorch.randn(3).tolist() == first.tolist()
    torch.set_rng_state(torch.from_numpy(state.numpy()))
    assert torch.randn(3).tolist() == first.tolist()


@pytest.mark.parametrize("duplicate", [lambda g: pickle.loads(pickle.dumps(g)), copy.copy, copy.deepcopy])
def test_generators_can_be_copied(duplicate):
    original = flowtorch.Generator().manual_seed(7)
    flowtorch.randn(3, generator=original)
    twin = duplicate(original)
    assert twin is not original
    assert flowtorch.randn(4, generator=twin).tolist() == flowtorch.randn(4, generator=original).tolist()
    assert twin.initial_seed() == 7


def test_clone_state():
    original = flowtorch.Generator().manual_seed(7)
    flowtorch.rand(3, generator=original)
    twin = original.clone_state()
    assert flowtorch.rand(4, generator=twin).tolist() == flowtorch.rand(4, generator=original).tolist()


def test_seeds():
    assert flowtorch.manual_seed(-1) is flowtorch.default_generator is flowtorch.random.default_generator
    assert flowtorch.initial_seed() == 2**64 - 1
    assert flowtorch.manual_seed(3.7).initial_seed() == flowtorch.random.initial_seed() == 3
    assert flowtorch.seed() == flowtorch.initial_seed()
    assert flowtorch.random.thread_safe_generator() is None


@pytest.mark.parametrize("name", ["float64", "float32"])
def test_gamma_gradients(name):
    generator = np.random.default_rng(0)
    alpha, beta = np.exp(generator.uniform(-4, 6, (2, 3000))).astype(name)
    torch.manual_seed(0)
    x = torch._standard_gamma(torch.from_numpy(alpha))
    expected = torch._standard_gamma_grad(torch.from_numpy(alpha), x).numpy()
    actual = flowtorch._standard_gamma_grad(flowtorch.from_numpy(alpha), flowtorch.from_numpy(x.numpy())).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-10 if name == "float64" else 1e-6)

    # PyTorch loses digits in float32, so its float64 says what is right.
    shares = torch._sample_dirichlet(torch.from_numpy(np.stack((alpha, beta), -1)))[:, 0]
    arguments = (shares.numpy(), alpha, alpha + beta)
    expected = torch._dirichlet_grad(*(torch.from_numpy(a).to(torch.float64) for a in arguments)).numpy()
    actual = flowtorch._dirichlet_grad(*map(flowtorch.from_numpy, arguments)).numpy()
    assert actual.dtype == name
    np.testing.assert_allclose(actual, expected, rtol=1e-8 if name == "float64" else 1e-6)


def test_dirichlet_samples_are_differentiable():
    alpha = flowtorch.tensor([[0.5, 2.0, 3.0]], dtype=flowtorch.float64, requires_grad=True)
    flowtorch.manual_seed(2)
    x = flowtorch._sample_dirichlet(alpha)
    (x * flowtorch.tensor([1.0, -2.0, 0.5], dtype=flowtorch.float64)).sum().backward()

    expected = torch.tensor([[0.5, 2.0, 3.0]], dtype=torch.float64, requires_grad=True)
    torch.manual_seed(2)
    y = torch.distributions.Dirichlet(expected).rsample()
    (y * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)).sum().backward()
    np.testing.assert_allclose(alpha.grad.numpy(), expected.grad.numpy(), rtol=1e-10)

"""Every family against torch: densities, moments, samples, gradients, shapes and texts."""

import copy
import pickle
import warnings

import pytest
import torch
from cases import FAMILIES, LOOSE, MATRIX, Maker, attempt, both, same

import flowtorch as ft

ATTRIBUTES = ["mean", "mode", "variance", "stddev"]
PARAMETERS = ["probs", "logits", "param_shape", "covariance_matrix", "precision_matrix", "scale_tril",
              "temperature", "concentration", "rate", "df", "concentration1", "concentration0"]


@pytest.mark.parametrize("name", FAMILIES)
def test_log_prob_and_shapes(name):
    (_, mine, values), (_, theirs, expected) = both(name)
    assert tuple(mine.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(mine.event_shape) == tuple(theirs.event_shape)
    for x, y in zip(values, expected, strict=True):
        same(mine.log_prob(x), theirs.log_prob(y), "log_prob", rtol=LOOSE.get(name, 1e-9))


@pytest.mark.parametrize("name", FAMILIES)
def test_float32(name):
    (_, mine, values), (_, theirs, expected) = both(name, "float32")
    for x, y in zip(values, expected, strict=True):
        same(mine.log_prob(x), theirs.log_prob(y), "log_prob", rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_moments(name):
    (_, mine, _), (_, theirs, _) = both(name)
    for attribute in ATTRIBUTES:
        same(attempt(lambda a=attribute: getattr(mine, a)), attempt(lambda a=attribute: getattr(theirs, a)),
             attribute, rtol=LOOSE.get(name, 1e-9))
    for method in ("entropy", "perplexity"):
        same(attempt(getattr(mine, method)), attempt(getattr(theirs, method)), method,
             rtol=LOOSE.get(name, 1e-8))


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters(name):
    (_, mine, _), (_, theirs, _) = both(name)
    for attribute in PARAMETERS:
        if hasattr(theirs, attribute):
            a, b = getattr(mine, attribute), getattr(theirs, attribute)
            if attribute == "param_shape":
                assert tuple(a) == tuple(b)
            else:
                same(a, b, attribute)


@pytest.mark.parametrize("name", FAMILIES)
def test_cdf_and_icdf(name):
    (m, mine, values), (n, theirs, expected) = both(name)
    for x, y in zip(values, expected, strict=True):
        same(attempt(lambda x=x: mine.cdf(x)), attempt(lambda y=y: theirs.cdf(y)), "cdf",
             rtol=LOOSE.get(name, 1e-9))
    for q in ([0.1], [0.5], [0.99]):
        same(attempt(lambda q=q: mine.icdf(m.t(q))), attempt(lambda q=q: theirs.icdf(n.t(q))), "icdf",
             rtol=LOOSE.get(name, 1e-8))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(), (7,), (3, 2)])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_seed_gives_the_same_samples(name, shape, dtype):
    results = []
    for m, d, _ in both(name, dtype):
        m.lib.manual_seed(11)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.append(d.sample(shape))
    loose = {"rtol": 2e-4, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-7, "atol": 1e-9}
    same(*results, "sample", **loose)
    assert not results[0].requires_grad


@pytest.mark.parametrize("name", FAMILIES)
def test_reparametrised_samples_and_their_gradients(name):
    results = []
    for m, d, _ in both(name):
        assert isinstance(d.has_rsample, bool)
        leaves = [v.requires_grad_() for k, v in sorted(leaf_parameters(m, name).items())]
        d = rebuild(m, name, leaves)
        m.lib.manual_seed(5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = attempt(lambda d=d: d.rsample((4,)))
        if isinstance(x, str):
            results.append((d.has_rsample, x))
            continue
        if name.startswith("Wishart"):      # the reference overwrites what its backward pass needs
            x = x.detach()
        grads = m.lib.autograd.grad((x * x).sum(), leaves, allow_unused=True) if x.requires_grad else None
        results.append((d.has_rsample, x, grads))
    ours, theirs = results
    assert ours[0] == theirs[0]
    same(ours[1], theirs[1], "rsample", rtol=LOOSE.get(name, 1e-7))
    if len(theirs) == 3:
        assert (ours[2] is None) == (theirs[2] is None)
        for a, b in zip(ours[2] or (), theirs[2] or (), strict=True):
            assert (a is None) == (b is None)
            if b is not None:
                # The derivatives of gamma and Dirichlet samples are approximations.
                same(a, b, "gradient", rtol=2e-3, atol=1e-5)


class Recorder:
    """A maker that hands out given tensors instead of new ones, or records those it makes."""

    def __init__(self, m, tensors=None):
        self.m, self.lib, self.D = m, m.lib, m.D
        self.tensors, self.made = tensors, []

    def t(self, values, **kwargs):
        tensor = self.m.t(values) if self.tensors is None else self.tensors[len(self.made)]
        self.made.append(tensor)
        return tensor


def leaf_parameters(m, name):
    recorder = Recorder(m)
    FAMILIES[name][0](recorder)
    return {f"{i:02}": tensor for i, tensor in enumerate(recorder.made)}


def rebuild(m, name, tensors):
    return FAMILIES[name][0](Recorder(m, tensors))


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_of_log_prob(name):
    results = []
    for m, _, values in both(name):
        leaves = [v.requires_grad_() for k, v in sorted(leaf_parameters(m, name).items())]
        d = rebuild(m, name, leaves)
        out = sum(d.log_prob(v).sum() for v in values)
        results.append(m.lib.autograd.grad(out, leaves, allow_unused=True) if leaves else ())
    for a, b in zip(*results, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            if name.endswith("tril") and a.dim() > 1:       # what lies above the diagonal is not read
                a, b = a.tril(), b.tril()
            same(a, b, "gradient", rtol=LOOSE.get(name, 1e-7), atol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_expand(name):
    results = []
    for m, d, values in both(name):
        wide = d.expand((3, *d.batch_shape))
        again = wide.expand((2, 3, *d.batch_shape))
        m.lib.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sample = again.sample((2,))
        results.append((wide.log_prob(values[0]), again.log_prob(values[0]), sample,
                        attempt(lambda d=wide: d.mean), attempt(lambda d=wide: d.variance)))
        assert type(wide) is type(d)
        assert tuple(wide.batch_shape) == (3, *d.batch_shape)
    for i, (a, b) in enumerate(zip(*results, strict=True)):
        same(a, b, str(i), rtol=LOOSE.get(name, 1e-7))


@pytest.mark.parametrize("name", FAMILIES)
def test_repr_and_support(name):
    (_, mine, values), (_, theirs, expected) = both(name)
    assert repr(mine) == repr(theirs)
    a, b = attempt(lambda: mine.support), attempt(lambda: theirs.support)
    assert repr(a) == repr(b)
    assert a.event_dim == b.event_dim
    assert a.is_discrete == b.is_discrete
    for x, y in zip(values, expected, strict=True):
        assert a.check(x).tolist() == b.check(y).tolist()
        assert a.check(x - 0.37).tolist() == b.check(y - 0.37).tolist()
    class_support = type(mine).support, type(theirs).support
    assert repr(class_support[0]) == repr(class_support[1]) or "Dependent" in repr(class_support[0])
    assert sorted(mine.arg_constraints) == sorted(theirs.arg_constraints)
    for key in theirs.arg_constraints:
        assert repr(mine.arg_constraints[key]) == repr(theirs.arg_constraints[key])


@pytest.mark.parametrize("expand", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_enumerate_support(name, expand):
    (_, mine, _), (_, theirs, _) = both(name)
    assert mine.has_enumerate_support == theirs.has_enumerate_support
    same(attempt(lambda: mine.enumerate_support(expand)), attempt(lambda: theirs.enumerate_support(expand)))


def refusal(function, value):
    """The type and the first words of what a call raises for a value."""
    with pytest.raises(Exception) as info:
        function(value)
    return type(info.value), str(info.value)[:45]


@pytest.mark.parametrize("name", FAMILIES)
def test_values_are_validated(name):
    refusals = []
    for m, d, values in both(name):
        wrong = [m.lib.full_like(values[0], float("nan")), "x"]
        if d.event_shape:
            wrong.append(m.lib.ones((*d.batch_shape, *(17 for _ in d.event_shape))))
        elif d.batch_shape:
            wrong.append(m.lib.ones((17, *(5 for _ in d.batch_shape))))
        refusals.append([refusal(d.log_prob, value) for value in wrong])
    assert refusals[0] == refusals[1]


@pytest.mark.parametrize("name", FAMILIES)
def test_copies(name):
    _, d, values = both(name)[0]
    expected = d.log_prob(values[0])
    same_values = [copy.deepcopy(d).log_prob(values[0]), pickle.loads(pickle.dumps(d)).log_prob(values[0])]
    for got in same_values:
        assert got.tolist() == expected.tolist()


INVALID = {
    "Normal": lambda m: m.D.Normal(m.t([0.0]), m.t([-1.0])),
    "Normal nan": lambda m: m.D.Normal(m.t([float("nan")]), m.t([1.0])),
    "Bernoulli": lambda m: m.D.Bernoulli(m.t([1.5])),
    "Bernoulli both": lambda m: m.D.Bernoulli(m.t([0.5]), m.t([0.5])),
    "Bernoulli neither": lambda m: m.D.Bernoulli(),
    "Beta": lambda m: m.D.Beta(m.t([0.0]), m.t([1.0])),
    "Binomial": lambda m: m.D.Binomial(m.t([-1.0]), m.t([0.5])),
    "Binomial neither": lambda m: m.D.Binomial(3),
    "Categorical": lambda m: m.D.Categorical(m.t([-1.0, 2.0])),
    "Categorical scalar": lambda m: m.D.Categorical(m.t(1.0)),
    "Categorical logits scalar": lambda m: m.D.Categorical(logits=m.t(1.0)),
    "Dirichlet scalar": lambda m: m.D.Dirichlet(m.t(1.0)),
    "Dirichlet": lambda m: m.D.Dirichlet(m.t([1.0, -1.0])),
    "Geometric": lambda m: m.D.Geometric(m.t([0.0])),
    "LKJCholesky": lambda m: m.D.LKJCholesky(1),
    "MultivariateNormal": lambda m: m.D.MultivariateNormal(m.t([0.0, 0.0]), m.t([[1.0, 2.0], [2.0, 1.0]])),
    "MultivariateNormal two": lambda m: m.D.MultivariateNormal(m.t([0.0]), m.t([[1.0]]), m.t([[1.0]])),
    "MultivariateNormal scalar": lambda m: m.D.MultivariateNormal(m.t(0.0), m.t([[1.0]])),
    "MultivariateNormal vector": lambda m: m.D.MultivariateNormal(m.t([0.0]), m.t([1.0])),
    "MultivariateNormal tril vector": lambda m: m.D.MultivariateNormal(m.t([0.0]), scale_tril=m.t([1.0])),
    "LowRank": lambda m: m.D.LowRankMultivariateNormal(m.t([0.0]), m.t([[1.0], [2.0]]), m.t([1.0])),
    "Multinomial": lambda m: m.D.Multinomial(m.t([1.0]), m.t([0.5, 0.5])),
    "Mixture": lambda m: m.D.MixtureSameFamily(m.D.Normal(0.0, 1.0), m.D.Normal(m.t([0.0]), m.t([1.0]))),
    "Mixture components": lambda m: m.D.MixtureSameFamily(m.D.Categorical(m.t([0.5, 0.5])),
                                                          m.D.Normal(m.t([0.0]), m.t([1.0]))),
    "Mixture batch": lambda m: m.D.MixtureSameFamily(m.D.Categorical(m.t([[0.5, 0.5]] * 3)),
                                                     m.D.Normal(m.t([[0.0, 1.0]] * 2), m.t(1.0))),
    "Independent": lambda m: m.D.Independent(m.D.Normal(0.0, 1.0), 1),
    "Transformed": lambda m: m.D.TransformedDistribution(m.D.Normal(0.0, 1.0), "exp"),
    "Transformed list": lambda m: m.D.TransformedDistribution(m.D.Normal(0.0, 1.0), ["exp"]),
    "Uniform": lambda m: m.D.Uniform(m.t([1.0]), m.t([0.0])),
    "Wishart": lambda m: m.D.Wishart(m.t(1.0), m.t([[1.0, 0.0], [0.0, 1.0]])),
    "ContinuousBernoulli": lambda m: m.D.ContinuousBernoulli(m.t([1.5]), validate_args=True),
    "broadcast": lambda m: m.D.Normal("0", 1.0),
}


@pytest.mark.parametrize("case", INVALID)
def test_parameters_are_validated(case):
    raised = []
    for library in ("torch", "flowtorch"):
        with pytest.raises((ValueError, NotImplementedError)) as info:
            INVALID[case](Maker(library))
        raised.append(info.value)
    assert type(raised[0]) is type(raised[1])
    assert str(raised[1]) == str(raised[0])


def test_unchecked_values_pass():
    for m in (Maker("flowtorch"), Maker("torch")):
        normal = m.D.Normal(m.t([0.0]), m.t(1.0), validate_args=False)
        assert normal.log_prob(m.t([float("nan")])).isnan().all()


def test_wishart_samples_are_differentiable():
    m = Maker("flowtorch")
    scale = m.t(MATRIX, requires_grad=True)
    x = m.D.Wishart(m.t(5.0), scale).rsample((3,))
    (grad,) = ft.autograd.grad(x.diagonal(dim1=-2, dim2=-1).sum(), scale)
    # A sample is L W L^T with a matrix W of its own, so its trace grows in proportion to the scale.
    assert float((grad * scale.detach()).sum()) == pytest.approx(float(x.diagonal(dim1=-2, dim2=-1).sum()))


def test_validation_can_be_switched_off():
    try:
        for m in (Maker("flowtorch"), Maker("torch")):
            m.D.Distribution.set_default_validate_args(False)
            m.D.Normal(m.t(0.0), m.t(-1.0))
            with pytest.raises(ValueError, match="Expected parameter scale"):
                m.D.Normal(m.t(0.0), m.t(-1.0), validate_args=True)
            with pytest.raises(ValueError):
                m.D.Distribution.set_default_validate_args("yes")
    finally:
        ft.distributions.Distribution.set_default_validate_args(True)
        torch.distributions.Distribution.set_default_validate_args(True)


def test_subclasses_need_their_own_expand():
    for library in ("flowtorch", "torch"):
        m = Maker(library)

        class Mine(m.D.Normal):
            def __init__(self, loc, extra=None):
                super().__init__(loc, 1.0)

        with pytest.raises(NotImplementedError,
                           match="Subclass Mine of Normal that defines a custom __init__"):
            Mine(m.t([0.0])).expand((2, 1))

        class Plain(m.D.Normal):
            pass

        assert type(Plain(m.t([0.0]), m.t(1.0)).expand((2, 1))) is Plain


def test_a_family_of_ones_own():
    class Dice(ft.distributions.Distribution):
        arg_constraints = {}        # noqa: RUF012
        support = ft.distributions.constraints.integer_interval(1, 6)

        def sample(self, sample_shape=()):
            return ft.randint(1, 7, self._extended_shape(sample_shape))

        def log_prob(self, value):
            self._validate_sample(value)
            return ft.zeros(value.shape) - 1.79

    d = Dice()
    assert d.log_prob(d.sample((3,))).shape == (3,)
    with pytest.raises(ValueError, match="within the support"):
        d.log_prob(ft.tensor([7]))
    with pytest.raises(NotImplementedError):
        d.expand((2,))


def test_sample_n_warns():
    with pytest.warns(FutureWarning, match="sample_n"):
        assert ft.distributions.Normal(0.0, 1.0).sample_n(3).shape == (3,)


def test_families_are_loaded_on_demand():
    assert ft.distributions.Normal is ft.distributions.normal.Normal
    assert "Wishart" in dir(ft.distributions)
    with pytest.raises(AttributeError, match="no attribute 'Gaussian'"):
        ft.distributions.Gaussian  # noqa: B018

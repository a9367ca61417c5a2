"""Transforms against torch: both directions, volumes, shapes, domains, caching, composition."""

import copy
import pickle

import pytest
import torch
from cases import Maker, same

import flowtorch as ft

VECTOR = [0.3, -1.2, 0.8, 2.5]
UNIT = [0.2, 0.5, 0.9, 0.01]
POSITIVE = [0.3, 1.2, 4.0, 0.001]
SQUARE = [[0.3, -1.2, 0.8], [0.4, 0.1, -0.6], [1.0, 0.2, 0.5]]

# name: (transform, a value of its domain)
TRANSFORMS = {
    "Abs": (lambda m: m.T.AbsTransform(), VECTOR),
    "Affine": (lambda m: m.T.AffineTransform(m.t([0.5, 1.0, 0.0, -1.0]), m.t([2.0, -1.0, 0.5, 3.0])), VECTOR),
    "Affine numbers": (lambda m: m.T.AffineTransform(1.0, -2.0), VECTOR),
    "Affine vectors": (lambda m: m.T.AffineTransform(m.t([0.5] * 4), m.t([2.0] * 4), event_dim=1),
                       [VECTOR] * 2),
    "Cat": (lambda m: m.T.CatTransform([m.T.ExpTransform(), m.T.AffineTransform(0.0, 2.0)], -1, [1, 3]),
            VECTOR),
    "Cat rows": (lambda m: m.T.CatTransform([m.T.ExpTransform(), m.T.TanhTransform()], 0, [1, 1]),
                 [VECTOR, VECTOR]),
    "Compose": (lambda m: m.T.ComposeTransform([m.T.SigmoidTransform(), m.T.AffineTransform(0.5, 2.0)]),
                VECTOR),
    "Compose vectors": (lambda m: m.T.ComposeTransform([m.T.AffineTransform(0.5, 2.0),
                                                        m.T.StickBreakingTransform()]), [VECTOR] * 2),
    "Compose nothing": (lambda m: m.T.ComposeTransform([]), VECTOR),
    "CorrCholesky": (lambda m: m.T.CorrCholeskyTransform(), [[0.3, -1.2, 0.8], [0.0, 0.1, 2.0]]),
    "CumulativeDistribution": (lambda m: m.T.CumulativeDistributionTransform(m.D.Normal(m.t(0.5), m.t(2.0))),
                               VECTOR),
    "Exp": (lambda m: m.T.ExpTransform(), VECTOR),
    "Independent": (lambda m: m.T.IndependentTransform(m.T.ExpTransform(), 1), [VECTOR] * 2),
    "Inverse": (lambda m: m.T.ExpTransform().inv, POSITIVE),
    "Inverse compose": (lambda m: m.T.ComposeTransform([m.T.ExpTransform(),
                                                        m.T.PowerTransform(m.t(2.0))]).inv,
                        POSITIVE),
    "Power": (lambda m: m.T.PowerTransform(m.t(2.5)), POSITIVE),
    "Power negative": (lambda m: m.T.PowerTransform(m.t([-1.0, 2.0, 3.0, -0.5])), POSITIVE),
    "Reshape": (lambda m: m.T.ReshapeTransform((4,), (2, 2)), [VECTOR] * 3),
    "Sigmoid": (lambda m: m.T.SigmoidTransform(), [*VECTOR, 50.0, -50.0]),
    "Sigmoid inverse": (lambda m: m.T.SigmoidTransform().inv, UNIT),
    "Softplus": (lambda m: m.T.SoftplusTransform(), [*VECTOR, 50.0]),
    "Stack": (lambda m: m.T.StackTransform([m.T.ExpTransform(), m.T.TanhTransform()], dim=1),
              [[0.3, 0.1]] * 3),
    "StickBreaking": (lambda m: m.T.StickBreakingTransform(), [VECTOR, [0.0, 0.0, 0.0, 0.0]]),
    "Tanh": (lambda m: m.T.TanhTransform(), VECTOR),
}
# Without a volume of its own: the map is not one to one.
FLAT = {
    "Softmax": (lambda m: m.T.SoftmaxTransform(), [VECTOR] * 2),
    "LowerCholesky": (lambda m: m.T.LowerCholeskyTransform(), [SQUARE] * 2),
    "PositiveDefinite": (lambda m: m.T.PositiveDefiniteTransform(), [SQUARE] * 2),
}
ALL = {**TRANSFORMS, **FLAT}


def both(name):
    build, x = ALL[name]
    result = []
    for library in ("flowtorch", "torch"):
        m = Maker(library)
        m.T = m.D.transforms
        result.append((m, build(m), m.t(x)))
    return result


def outcome(function):
    try:
        return function()
    except (NotImplementedError, ValueError) as error:
        return type(error).__name__


@pytest.mark.parametrize("name", ALL)
def test_both_directions(name):
    (_, mine, x), (_, theirs, y) = both(name)
    a, b = mine(x), theirs(y)
    same(a, b, "forward")
    same(outcome(lambda: mine.inv(a)), outcome(lambda: theirs.inv(b)), "inverse", rtol=1e-8)
    assert mine.bijective == theirs.bijective
    assert mine.domain.event_dim == theirs.domain.event_dim
    assert mine.codomain.event_dim == theirs.codomain.event_dim
    assert outcome(lambda: mine.event_dim) == outcome(lambda: theirs.event_dim)
    assert repr(mine.domain) == repr(theirs.domain)
    assert repr(mine.codomain) == repr(theirs.codomain)
    assert bool(mine.domain.check(x).all()) == bool(theirs.domain.check(y).all())
    assert bool(mine.codomain.check(a).all()) == bool(theirs.codomain.check(b).all())


@pytest.mark.parametrize("name", TRANSFORMS)
def test_volumes(name):
    (_, mine, x), (_, theirs, y) = both(name)
    a, b = mine(x), theirs(y)
    same(outcome(lambda: mine.log_abs_det_jacobian(x, a)), outcome(lambda: theirs.log_abs_det_jacobian(y, b)),
         "forward")
    same(outcome(lambda: mine.inv.log_abs_det_jacobian(a, x)),
         outcome(lambda: theirs.inv.log_abs_det_jacobian(b, y)), "inverse")


@pytest.mark.parametrize("name", sorted(set(TRANSFORMS) - {"Abs", "CorrCholesky", "StickBreaking",
                                                           "Compose vectors"}))
def test_volumes_are_those_of_the_jacobian(name):
    m, mine, x = both(name)[0]
    x = x.reshape(-1, *x.shape[-max(mine.domain.event_dim, 1):])[0]
    if name in ("Cat rows", "Stack"):
        return
    leaf = x.clamp(-20, 20).requires_grad_()        # beyond, the derivative rounds to 0
    y = mine(leaf)
    rows = [m.lib.autograd.grad(v, leaf, retain_graph=True)[0].reshape(-1) for v in y.reshape(-1)]
    expected = m.lib.stack(rows).diagonal().abs().log() if mine.domain.event_dim == 0 else (
        m.lib.stack(rows).diagonal().abs().log().sum())
    same(mine.log_abs_det_jacobian(leaf, y), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_shapes(name):
    (_, mine, x), (_, theirs, y) = both(name)
    assert tuple(mine.forward_shape(tuple(x.shape))) == tuple(theirs.forward_shape(tuple(y.shape)))
    out = tuple(theirs(y).shape)
    assert tuple(mine.inverse_shape(out)) == tuple(theirs.inverse_shape(out))


@pytest.mark.parametrize("name", ALL)
def test_signs(name):
    (_, mine, _), (_, theirs, _) = both(name)
    a, b = outcome(lambda: mine.sign), outcome(lambda: theirs.sign)
    if hasattr(b, "tolist"):
        a, b = a.tolist(), b.tolist()
    assert a == b


@pytest.mark.parametrize("name", ALL)
def test_texts(name):
    (_, mine, _), (_, theirs, _) = both(name)
    assert repr(mine) == repr(theirs)
    assert repr(mine.inv) == repr(theirs.inv)


@pytest.mark.parametrize("name", ALL)
def test_equality(name):
    answers = []
    for m, transform, _ in both(name):
        again = ALL[name][0](m)
        answers.append([transform == transform, transform == again,
                        transform.inv == transform.inv,
                        transform.inv == again.inv, transform == m.T.ExpTransform(), transform != again,
                        transform.inv.inv is transform])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", sorted(set(ALL) - {"CumulativeDistribution"}))
def test_cached_values_are_the_tensors_themselves(name):
    for m, transform, x in both(name):
        cached = transform.with_cache()
        y = cached(x)
        assert cached(x) is y
        assert cached.inv(y) is x
        assert cached.with_cache(1) is cached
        if not name.startswith(("Compose", "Inverse")):     # their parts keep their caches
            plain = cached.with_cache(0)
            assert plain(x) is not plain(x)
        assert m.lib.equal(y, transform(x))


@pytest.mark.parametrize("name", ALL)
def test_gradients(name):
    results = []
    for m, transform, x in both(name):
        leaf = x.requires_grad_()
        y = transform(leaf)
        volume = outcome(lambda t=transform, x=leaf, y=y: t.log_abs_det_jacobian(x, y))
        total = (y * y).sum() + (0.0 if isinstance(volume, str) else volume.sum())
        results.append(m.lib.autograd.grad(total, leaf)[0])
    same(*results, rtol=1e-8)


@pytest.mark.parametrize("name", ALL)
def test_copies(name):
    _, transform, x = both(name)[0]
    expected = transform(x).tolist()
    assert copy.deepcopy(transform)(x).tolist() == expected
    assert pickle.loads(pickle.dumps(transform))(x).tolist() == expected


REFUSALS = {
    "cache size": lambda m: m.T.ExpTransform(cache_size=2),
    "reshape": lambda m: m.T.ReshapeTransform((4,), (3,)),
    "reshape shape": lambda m: m.T.ReshapeTransform((4,), (2, 2)).forward_shape((3, 5)),
    "reshape inverse": lambda m: m.T.ReshapeTransform((4,), (2, 2)).inverse_shape((3, 5)),
    "reshape short": lambda m: m.T.ReshapeTransform((2, 2), (4,)).forward_shape((2,)),
    "stick short": lambda m: m.T.StickBreakingTransform().forward_shape(()),
    "corr count": lambda m: m.T.CorrCholeskyTransform().forward_shape((2,)),
    "corr square": lambda m: m.T.CorrCholeskyTransform().inverse_shape((3, 2)),
    "independent few": lambda m: m.T.IndependentTransform(m.T.ExpTransform(), 1)(m.t(1.0)),
    "abs sign": lambda m: m.T.AbsTransform().sign,
    "compose sign": lambda m: m.T.ComposeTransform([m.T.AbsTransform()]).sign,
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case):
    raised = []
    for library in ("flowtorch", "torch"):
        m = Maker(library)
        m.T = m.D.transforms
        with pytest.raises((ValueError, NotImplementedError)) as info:
            REFUSALS[case](m)
        raised.append((type(info.value), str(info.value)))
    assert raised[0] == raised[1]


def test_the_identity_and_names():
    assert ft.distributions.transforms.identity_transform(3) == 3
    assert set(torch.distributions.transforms.__all__) == set(ft.distributions.transforms.__all__)


def test_a_transform_of_ones_own():
    T = ft.distributions.transforms

    class Cube(T.Transform):
        domain = codomain = ft.distributions.constraints.real
        bijective = True
        sign = 1

        def _call(self, x):
            return x ** 3

        def _inverse(self, y):
            return y.sign() * y.abs() ** (1 / 3)

        def log_abs_det_jacobian(self, x, y):
            return (3 * x ** 2).log()

    d = ft.distributions.TransformedDistribution(ft.distributions.Normal(0.0, 1.0), Cube())
    x = ft.tensor([-2.0, 0.5])
    expected = ft.distributions.Normal(0.0, 1.0).log_prob(Cube().inv(x)) - (3 * Cube().inv(x) ** 2).log()
    assert d.log_prob(x).tolist() == pytest.approx(expected.tolist())
    assert d.cdf(x).tolist() == pytest.approx(ft.distributions.Normal(0.0, 1.0).cdf(Cube().inv(x)).tolist())

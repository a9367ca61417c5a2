"""Constraints and the transforms registered for them, against torch."""

import pytest
import torch
from cases import MATRIX, TRIL, Maker, same

import flowtorch as ft

NUMBERS = [-2.0, -1.0, -0.5, 0.0, 0.3, 1.0, 2.0, 3.5, float("inf"), float("nan")]
ROWS = [[0.2, 0.3, 0.5], [0.2, 0.3, 0.6], [-0.2, 0.7, 0.5], [0.0, 1.0, 0.0], [1.0, 2.0, 3.0],
        [0.0, float("nan"), 1.0]]
EYE = [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]
MATRICES = [MATRIX, TRIL, EYE, [[1.0, 0, 0], [0.6, 0.8, 0], [0.0, 0.6, 0.8]],
            [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[1.0, 0, 0], [0, 0.0, 0], [0, 0, 1.0]],
            [[-1.0, 0, 0], [3.0, 2.0, 0], [0, 0, 1.0]]]

# name: (constraint, values to check)
CONSTRAINTS = {
    "boolean": (lambda m: m.C.boolean, NUMBERS),
    "cat": (lambda m: m.C.cat([m.C.positive, m.C.real], -1, [1, 2]), ROWS),
    "corr_cholesky": (lambda m: m.C.corr_cholesky, MATRICES),
    "finite": (lambda m: m.C.real_vector, ROWS),
    "greater_than": (lambda m: m.C.greater_than(0.3), NUMBERS),
    "greater_than tensor": (lambda m: m.C.greater_than(m.t(0.3)), NUMBERS),
    "greater_than_eq": (lambda m: m.C.greater_than_eq(0.3), NUMBERS),
    "half_open_interval": (lambda m: m.C.half_open_interval(0.0, 1.0), NUMBERS),
    "independent": (lambda m: m.C.independent(m.C.positive, 1), ROWS),
    "integer_interval": (lambda m: m.C.integer_interval(0, 2), NUMBERS),
    "interval": (lambda m: m.C.interval(-1.0, 1.0), NUMBERS),
    "less_than": (lambda m: m.C.less_than(0.3), NUMBERS),
    "lower_cholesky": (lambda m: m.C.lower_cholesky, MATRICES),
    "lower_triangular": (lambda m: m.C.lower_triangular, MATRICES),
    "multinomial": (lambda m: m.C.multinomial(6), [[1.0, 2.0, 3.0], [0.0, 0.0, 6.0], [1.0, 1.0, 5.0]]),
    "nonnegative": (lambda m: m.C.nonnegative, NUMBERS),
    "nonnegative_integer": (lambda m: m.C.nonnegative_integer, NUMBERS),
    "one_hot": (lambda m: m.C.one_hot, ROWS),
    "positive": (lambda m: m.C.positive, NUMBERS),
    "positive_definite": (lambda m: m.C.positive_definite, MATRICES),
    "positive_integer": (lambda m: m.C.positive_integer, NUMBERS),
    "positive_semidefinite": (lambda m: m.C.positive_semidefinite, MATRICES),
    "real": (lambda m: m.C.real, NUMBERS),
    "simplex": (lambda m: m.C.simplex, ROWS),
    "square": (lambda m: m.C.square, MATRICES),
    "not square": (lambda m: m.C.square, ROWS),
    "stack": (lambda m: m.C.stack([m.C.positive, m.C.real, m.C.unit_interval], 1), ROWS),
    "symmetric": (lambda m: m.C.symmetric, MATRICES),
    "unit_interval": (lambda m: m.C.unit_interval, NUMBERS),
}


def maker(library):
    m = Maker(library)
    m.C, m.T = m.D.constraints, m.D.transforms
    return m


def both(name):
    build, values = CONSTRAINTS[name]
    return [(m, build(m), m.t(values)) for m in map(maker, ("flowtorch", "torch"))]


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_checks(name):
    (_, mine, x), (_, theirs, y) = both(name)
    assert mine.check(x).tolist() == theirs.check(y).tolist()
    assert tuple(mine.check(x).shape) == tuple(theirs.check(y).shape)
    assert mine.check(x).dtype == ft.bool
    assert (mine.is_discrete, mine.event_dim) == (theirs.is_discrete, theirs.event_dim)
    assert repr(mine) == repr(theirs)


def test_names():
    C, theirs = ft.distributions.constraints, torch.distributions.constraints
    assert set(theirs.__all__) <= set(dir(C))
    assert repr(C.dependent) == repr(theirs.dependent)
    assert C.is_dependent(C.dependent)
    assert not C.is_dependent(C.real)
    assert C.is_dependent(C.independent(C.dependent, 1)) == theirs.is_dependent(
        theirs.independent(theirs.dependent, 1))


def test_dependent_constraints():
    for m in map(maker, ("flowtorch", "torch")):
        with pytest.raises(ValueError, match="Cannot determine validity of dependent constraint"):
            m.C.dependent.check(m.t(1.0))
        with pytest.raises(NotImplementedError, match="is_discrete"):
            m.C.dependent.is_discrete  # noqa: B018
        with pytest.raises(NotImplementedError, match="event_dim"):
            m.C.dependent.event_dim  # noqa: B018
        known = m.C.dependent(is_discrete=True, event_dim=2)
        assert (known.is_discrete, known.event_dim) == (True, 2)

        class Family:
            top = 3.0
            C = m.C

            @m.C.dependent_property(is_discrete=False, event_dim=0)
            def support(self):
                return self.C.interval(0.0, self.top)

        assert repr(Family().support) == "Interval(lower_bound=0.0, upper_bound=3.0)"
        assert Family.support.event_dim == 0
        assert m.C.is_dependent(Family.support)


# The constraints with registered transforms.
REGISTERED = {
    "real": (lambda m: m.C.real, [0.3, -1.0, 2.0]),
    "independent": (lambda m: m.C.independent(m.C.positive, 1), [0.3, -1.0, 2.0]),
    "positive": (lambda m: m.C.positive, [0.3, -1.0, 2.0]),
    "nonnegative": (lambda m: m.C.nonnegative, [0.3, -1.0, 2.0]),
    "greater_than": (lambda m: m.C.greater_than(m.t([1.0, 2.0, 3.0])), [0.3, -1.0, 2.0]),
    "greater_than_eq": (lambda m: m.C.greater_than_eq(1.0), [0.3, -1.0, 2.0]),
    "less_than": (lambda m: m.C.less_than(1.0), [0.3, -1.0, 2.0]),
    "unit_interval": (lambda m: m.C.unit_interval, [0.3, -1.0, 2.0]),
    "interval": (lambda m: m.C.interval(-2.0, 5.0), [0.3, -1.0, 2.0]),
    "interval tensor": (lambda m: m.C.interval(m.t([0.0, 1.0, 2.0]), m.t(7.0)), [0.3, -1.0, 2.0]),
    "half_open_interval": (lambda m: m.C.half_open_interval(0.0, 1.0), [0.3, -1.0, 2.0]),
    "simplex": (lambda m: m.C.simplex, [0.3, -1.0, 2.0]),
    "lower_cholesky": (lambda m: m.C.lower_cholesky, MATRIX),
    "corr_cholesky": (lambda m: m.C.corr_cholesky, [0.3, -1.0, 2.0]),
    "positive_definite": (lambda m: m.C.positive_definite, MATRIX),
    "positive_semidefinite": (lambda m: m.C.positive_semidefinite, MATRIX),
    "cat": (lambda m: m.C.cat([m.C.positive, m.C.real], -1, [1, 2]), [0.3, -1.0, 2.0]),
    "stack": (lambda m: m.C.stack([m.C.positive, m.C.real, m.C.unit_interval], 0), [0.3, -1.0, 2.0]),
    "boolean": (lambda m: m.C.boolean, [0.3]),
    "one_hot": (lambda m: m.C.one_hot, [0.3]),
    "symmetric": (lambda m: m.C.symmetric, MATRIX),
    "dependent": (lambda m: m.C.dependent, [0.3]),
}


@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
@pytest.mark.parametrize("name", REGISTERED)
def test_registries(name, registry):
    build, values = REGISTERED[name]
    results = []
    for m in map(maker, ("flowtorch", "torch")):
        constraint, x = build(m), m.t(values)
        try:
            transform = getattr(m.D, registry)(constraint)
        except NotImplementedError as error:
            results.append((type(error), str(error)))
            continue
        y = transform(x)
        assert constraint.check(y).all()
        results.append((y, transform.inv(y), repr(transform)))
    mine, theirs = results
    if isinstance(theirs[0], type):
        assert mine == theirs
        return
    same(mine[0], theirs[0], "forward")
    same(mine[1], theirs[1], "inverse", rtol=1e-8)
    assert mine[2] == theirs[2]


def test_registration():
    for m in map(maker, ("flowtorch", "torch")):
        registry = m.D.constraint_registry.ConstraintRegistry()

        class Even(m.C.Constraint):
            pass

        @registry.register(Even)
        def even(constraint):
            return "even"

        assert registry(Even()) == "even"
        assert even(None) == "even"
        registry.register(m.C.positive, lambda constraint: repr(constraint))
        assert registry(m.C.greater_than(3.0)) == "GreaterThan(lower_bound=3.0)"
        with pytest.raises(TypeError, match="to be either a Constraint subclass or instance"):
            registry.register(int, lambda constraint: None)
        with pytest.raises(NotImplementedError, match="Cannot transform _Boolean constraints"):
            registry(m.C.boolean)

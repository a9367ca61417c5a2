"""Datasets and collation do what torch's do."""

import collections

import numpy as np
import pytest
from twin import same

Point = collections.namedtuple("Point", "x y")


class UserMapping(collections.UserDict):
    pass


class UserSequence(collections.UserList):
    pass


@pytest.mark.parametrize(
    "function",
    [
        lambda t, d: [d.TensorDataset(t.arange(6).reshape(3, 2), t.arange(3))[i] for i in (0, -1, slice(0, 2))],
        lambda t, d: len(d.TensorDataset(t.arange(6).reshape(3, 2))),
        lambda t, d: d.TensorDataset(t.arange(3), t.arange(4)),
        lambda t, d: list(d.ConcatDataset([[1, 2], [3], [4, 5]])),
        lambda t, d: [d.ConcatDataset([[1, 2], [3], [4, 5]])[i] for i in (-1, -5, 2)],
        lambda t, d: d.ConcatDataset([[1, 2], [3]])[-4],
        lambda t, d: d.ConcatDataset([[1, 2], [3]])[3],
        lambda t, d: d.ConcatDataset([]),
        lambda t, d: d.ConcatDataset([[1, 2], [3]]).cumulative_sizes,
        lambda t, d: list(d.TensorDataset(t.arange(2)) + d.TensorDataset(t.arange(3))),
        lambda t, d: [d.StackDataset([1, 2], [3, 4])[1], d.StackDataset(a=[1, 2], b=[3, 4])[0]],
        lambda t, d: d.StackDataset([1, 2], d.Subset([5, 6, 7], [2, 0])).__getitems__([1, 0]),
        lambda t, d: d.StackDataset(a=[1, 2], b=[3, 4]).__getitems__([1]),
        lambda t, d: d.StackDataset([1, 2], [3]),
        lambda t, d: d.StackDataset(),
        lambda t, d: len(d.StackDataset([1, 2])),
        lambda t, d: list(d.Subset([5, 6, 7], [2, 0])),
        lambda t, d: d.Subset([5, 6, 7], [2, 0]).__getitems__([1]),
        lambda t, d: d.Dataset()[0],
        lambda t, d: [list(s) for s in d.random_split(range(10), [7, 3])] and [7, 3],
        lambda t, d: d.random_split(range(10), [7, 4]),
        lambda t, d: [len(s) for s in d.random_split(range(10), [0.35, 0.35, 0.3])],
        lambda t, d: [len(s) for s in d.random_split(range(3), [0.1, 0.9])],
        lambda t, d: d.random_split(range(10), [1.5, -0.5]),
    ],
)
def test_datasets(function):
    same(function)


def test_streams():
    def run(t, d):
        class Count(d.IterableDataset):
            def __init__(self, n):
                self.n = n

            def __iter__(self):
                return iter(range(self.n))

            def __len__(self):
                return self.n

        chained = Count(2) + Count(3)
        return list(chained), len(chained), type(chained).__name__

    same(run)
    same(lambda t, d: list(d.ChainDataset([[1]])))
    same(lambda t, d: d.ConcatDataset([d.ChainDataset([])]))


def test_a_subset_that_overrides_half_is_refused():
    def run(t, d):
        class Half(d.Subset):
            def __getitem__(self, i):
                return 0

        try:
            Half([1], [0])
        except NotImplementedError as error:
            return "overrides __getitem__ but not __getitems__" in str(error)

    assert same(run)[0] is True


SAMPLES = [
    lambda t: [1, 2],
    lambda t: [1.5, 2],
    lambda t: [True, False],
    lambda t: ["a", "b"],
    lambda t: [b"a", b"b"],
    lambda t: [t.ones(2), t.zeros(2)],
    lambda t: [t.tensor(1), t.tensor(2)],
    lambda t: [np.ones(2), np.zeros(2)],
    lambda t: [np.float32(1), np.float32(2)],
    lambda t: [np.int64(1), np.int64(2)],
    lambda t: [(1, "x"), (2, "y")],
    lambda t: [[1, 2.5], [3, 4.5]],
    lambda t: [{"a": 1, "b": [2]}, {"a": 3, "b": [4]}],
    lambda t: [Point(1, t.ones(2)), Point(2, t.zeros(2))],
    lambda t: [UserMapping(a=1), UserMapping(a=2)],
    lambda t: [UserSequence([1, 2]), UserSequence([3, 4])],
    lambda t: [collections.OrderedDict(b=1, a=2), collections.OrderedDict(b=3, a=4)],
    lambda t: [collections.defaultdict(int, a=1), collections.defaultdict(int, a=2)],
    lambda t: [[1, 2], [3]],
    lambda t: [None, None],
    lambda t: [{1}, {2}],
    lambda t: [np.array(["a"]), np.array(["b"])],
    lambda t: [t.ones(2), t.ones(3)],
]


@pytest.mark.parametrize("make", SAMPLES)
def test_default_collate(make):
    def run(t, d):
        try:
            return d.default_collate(make(t))
        except RuntimeError as error:
            return "RuntimeError", "equal size" in str(error)

    same(run)


@pytest.mark.parametrize("make", SAMPLES)
def test_default_convert(make):
    same(lambda t, d: [d.default_convert(sample) for sample in make(t)])


def test_collate_takes_functions_for_more_types():
    def run(t, d):
        from importlib import import_module

        collate = import_module(f"{t.__name__}.utils.data._utils.collate")
        functions = {**collate.default_collate_fn_map, complex: lambda batch, *, collate_fn_map=None: sum(batch)}
        return collate.collate([(1j, 1), (2j, 2)], collate_fn_map=functions)

    same(run)

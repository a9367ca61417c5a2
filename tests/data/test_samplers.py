"""Samplers draw torch's numbers from torch's streams."""

import pytest
from twin import same


@pytest.mark.parametrize("seed", [0, 1, 1234])
@pytest.mark.parametrize(
    "make",
    [
        lambda t, d: d.SequentialSampler(range(5)),
        lambda t, d: d.RandomSampler(range(17)),
        lambda t, d: d.RandomSampler(range(10), num_samples=25),
        lambda t, d: d.RandomSampler(range(10), replacement=True, num_samples=70),
        lambda t, d: d.RandomSampler(range(10), generator=t.Generator().manual_seed(3)),
        lambda t, d: d.SubsetRandomSampler([5, 6, 9, 7]),
        lambda t, d: d.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7, 3.0, 0.6], 20),
        lambda t, d: d.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7, 3.0, 0.6], 5, replacement=False),
        lambda t, d: d.BatchSampler(d.RandomSampler(range(10)), 3, False),
        lambda t, d: d.BatchSampler(range(10), 3, True),
        lambda t, d: d.BatchSampler(iter(range(9)), 3, False),
        lambda t, d: d.DistributedSampler(range(10), 3, 1),
        lambda t, d: d.DistributedSampler(range(10), 4, 3, seed=5),
        lambda t, d: d.DistributedSampler(range(10), 3, 2, shuffle=False, drop_last=True),
        lambda t, d: d.DistributedSampler(range(2), 5, 4, shuffle=False),
    ],
)
def test_orders(make, seed):
    def run(t, d):
        t.manual_seed(seed)
        sampler = make(t, d)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(seed)
        length = len(sampler) if hasattr(getattr(sampler, "sampler", ()), "__len__") else None
        return list(sampler), length, t.rand(3)

    same(run)


@pytest.mark.parametrize("lengths", [[7, 3], [0.25, 0.25, 0.5], [1.0]])
def test_random_split(lengths):
    def run(t, d):
        t.manual_seed(2)
        first = [list(part) for part in d.random_split(range(10), lengths)]
        return first, [
            list(part) for part in d.random_split(range(10), lengths, generator=t.Generator().manual_seed(42))
        ]

    same(run)


@pytest.mark.parametrize(
    "make",
    [
        lambda t, d: d.RandomSampler(range(0)),
        lambda t, d: d.RandomSampler(range(3), num_samples=0),
        lambda t, d: d.RandomSampler(range(3), replacement="yes"),
        lambda t, d: d.WeightedRandomSampler([1.0], 0),
        lambda t, d: d.WeightedRandomSampler([1.0], 1, replacement=1),
        lambda t, d: d.WeightedRandomSampler([[1.0, 2.0]], 1),
        lambda t, d: d.BatchSampler(range(3), 0, False),
        lambda t, d: d.BatchSampler(range(3), True, False),
        lambda t, d: d.BatchSampler(range(3), 1, "no"),
        lambda t, d: d.DistributedSampler(range(3), 2, 2),
        lambda t, d: iter(d.Sampler()),
    ],
)
def test_refusals(make):
    same(make)

"""DataLoader in one process: torch's order, batches, seeds, checks and warnings."""

import pytest
from twin import same


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 4},
        {"batch_size": 4, "shuffle": True},
        {"batch_size": 4, "shuffle": True, "drop_last": True},
        {"batch_size": None},
        {"batch_size": None, "shuffle": True},
        {"batch_sampler": [[0, 2], [1]]},
        {"sampler": [3, 0, 1], "batch_size": 2},
        {"batch_size": 3, "collate_fn": lambda batch: sum(batch)},
    ],
)
def test_batches(options):
    def run(t, d):
        t.manual_seed(11)
        loader = d.DataLoader(list(range(10)), **options)
        return [list(loader) for _ in range(3)], len(loader), t.rand(2)

    same(run)


def test_a_generator_of_ones_own():
    def run(t, d):
        generator = t.Generator().manual_seed(5)
        loader = d.DataLoader(list(range(10)), batch_size=3, shuffle=True, generator=generator)
        return [list(loader) for _ in range(2)], t.rand(2, generator=generator)

    same(run)


def test_datasets_that_fetch_whole_batches():
    def run(t, d):
        class Batched(d.Dataset):
            def __len__(self):
                return 5

            def __getitems__(self, indices):
                return [(i, t.full((2,), i)) for i in indices]

        return list(d.DataLoader(Batched(), batch_size=2))

    same(run)


def stream(d, n, told=None):
    class Stream(d.IterableDataset):
        def __iter__(self):
            return iter(range(n))

        def __repr__(self):
            return "Stream"

    if told is not None:
        Stream.__len__ = lambda self: told
    return Stream()


@pytest.mark.parametrize("options", [{"batch_size": 2}, {"batch_size": 2, "drop_last": True}, {"batch_size": None}])
def test_streams(options):
    same(lambda t, d: list(d.DataLoader(stream(d, 5), **options)))


@pytest.mark.parametrize("batch_size", [2, None])
def test_a_stream_longer_than_told_is_noticed(batch_size):
    def run(t, d):
        loader = d.DataLoader(stream(d, 7, 3), batch_size=batch_size)
        return len(loader), list(loader)

    assert len(same(run)[1]) > 0


def test_lengths():
    same(
        lambda t, d: [
            len(d.DataLoader(stream(d, 7, 7), batch_size=b, drop_last=last)) for b in (2, 7) for last in (True, False)
        ]
    )
    same(lambda t, d: len(d.DataLoader(stream(d, 3))))


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 2},
        {"num_workers": 1, "prefetch_factor": -2},
        {"persistent_workers": True},
        {"sampler": [0], "shuffle": True},
        {"batch_sampler": [[0]], "batch_size": 2},
        {"batch_sampler": [[0]], "shuffle": True},
        {"batch_sampler": [[0]], "drop_last": True},
        {"batch_size": None, "drop_last": True},
        {"batch_size": 0},
        {"multiprocessing_context": "fork"},
        {"num_workers": 1, "multiprocessing_context": "no such method"},
        {"num_workers": 1, "multiprocessing_context": 5},
        {"shuffle": True, "dataset": []},
        {"collate_fn": None, "dataset": [None]},
    ],
)
def test_refusals(options):
    def run(t, d):
        given = {"dataset": [1], **options}
        return list(d.DataLoader(**given))

    same(run)


@pytest.mark.parametrize("option", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_streams_have_no_order(option):
    same(lambda t, d: d.DataLoader(stream(d, 3), **option))


def test_attributes_are_fixed():
    def run(t, d):
        loader = d.DataLoader([1, 2], batch_size=2)
        loader.timeout = 0
        loader.batch_size = 3

    same(run)


def test_many_workers_are_warned_of():
    def run(t, d):
        d.DataLoader([1], num_workers=1000)

    assert same(run)[1]


def test_errors_of_a_dataset_come_through():
    def run(t, d):
        class Bad(d.Dataset):
            def __len__(self):
                return 3

            def __getitem__(self, i):
                if i == 1:
                    raise KeyError("sample 1")
                return i

        loader = iter(d.DataLoader(Bad()))
        seen = [next(loader)]
        try:
            next(loader)
        except KeyError as error:
            seen.append(str(error))
        seen.append(next(loader))
        return seen

    same(run)


def test_not_in_a_worker():
    same(lambda t, d: d.get_worker_info())

"""Data pipes do what torch's do, alone and in a DataLoader."""

import warnings

import pytest
import torch
from twin import same

import flowtorch as ft
from flowtorch.utils.data.datapipes.iter import IterableWrapper


def pipes(t):
    """The modules of iterated and of indexed pipes."""
    import importlib

    return (importlib.import_module(f"{t.__name__}.utils.data.datapipes.{kind}") for kind in ("iter", "map"))


def first(t):
    return next(pipes(t)).IterableWrapper


def indexed(t):
    return list(pipes(t))[1].SequenceWrapper


def add(x):
    return x + 1


def join(a, b):
    return a * 10 + b


def even(x):
    return x % 2 == 0


def parity(x):
    return x % 2


@pytest.mark.parametrize(
    "make",
    [
        lambda t: first(t)(range(5)).map(add),
        lambda t: first(t)([(1, 2), (3, 4)]).map(add, input_col=1),
        lambda t: first(t)([(1, 2, 5), (3, 4, 6)]).map(join, input_col=[0, 2]),
        lambda t: first(t)([[1, 2], [3, 4]]).map(join, input_col=[0, 1], output_col=-1),
        lambda t: first(t)([{"a": 1}, {"a": 2}]).map(add, input_col="a", output_col="b"),
        lambda t: first(t)([1]).map(add, output_col=0),
        lambda t: first(t)([1]).map(join),
        lambda t: first(t)([1]).map(5),
        lambda t: first(t)(range(6)).filter(even),
        lambda t: first(t)([(1, 2), (3, 3)]).filter(even, input_col=1),
        lambda t: first(t)([1]).filter(add),
        lambda t: first(t)(range(7)).batch(3),
        lambda t: first(t)(range(7)).batch(3, drop_last=True),
        lambda t: first(t)(range(7)).batch(0),
        lambda t: first(t)(range(7)).batch(2).batch(2).unbatch(),
        lambda t: first(t)(range(7)).batch(2).batch(2).unbatch(unbatch_level=2),
        lambda t: first(t)([[1, [2, [3]]], 4]).unbatch(unbatch_level=-1),
        lambda t: first(t)([1]).unbatch(),
        lambda t: first(t)([1]).unbatch(unbatch_level=-2),
        lambda t: first(t)(range(7)).groupby(parity),
        lambda t: first(t)(range(9)).groupby(parity, group_size=2, keep_key=True),
        lambda t: first(t)(range(9)).groupby(parity, buffer_size=4),
        lambda t: first(t)(range(9)).groupby(parity, buffer_size=3, group_size=3, drop_remaining=True),
        lambda t: first(t)(range(9)).groupby(parity, buffer_size=3, group_size=3),
        lambda t: first(t)(range(9)).groupby(parity, buffer_size=3, group_size=4),
        lambda t: first(t)(range(3)).concat(first(t)("ab")),
        lambda t: first(t)(range(3)).zip(first(t)("ab")),
        lambda t: first(t)(range(3)).mux(first(t)("ab"), first(t)(range(10, 20))),
        lambda t: next(pipes(t)).Concater(),
        lambda t: next(pipes(t)).Zipper([1]),
        lambda t: first(t)([(1, 2.5), (3, 4.5)]).batch(2).collate(),
        lambda t: first(t)(range(20)).shuffle(),
        lambda t: first(t)(range(20)).shuffle(buffer_size=4).set_seed(3),
        lambda t: first(t)(range(20)).shuffle().set_shuffle(False),
        lambda t: first(t)(range(20)).batch(4).shuffle(unbatch_level=1),
        lambda t: next(pipes(t)).Sampler(first(t)(range(5))),
        lambda t: first(t)(range(7)).sharding_filter(),
        lambda t: indexed(t)(range(5)).map(add),
        lambda t: indexed(t)(range(5)).batch(2),
        lambda t: indexed(t)(range(5)).batch(2, drop_last=True),
        lambda t: indexed(t)(range(3)).concat(indexed(t)("ab")),
        lambda t: indexed(t)(range(3)).zip(indexed(t)("ab")),
        lambda t: indexed(t)(range(9)).shuffle(),
        lambda t: indexed(t)(range(9)).shuffle(indices=[1, 3, 5]).set_seed(1),
        lambda t: indexed(t)({"a": 1, "b": 2})["b"],
        lambda t: first(t)([1]).no_such_pipe(),
    ],
)
def test_pipes(make):
    def run(t, d):
        t.manual_seed(5)
        pipe = make(t)
        try:
            length = len(pipe)
        except TypeError as error:
            length = str(error)
        return list(pipe), list(pipe) if not isinstance(pipe, int) else None, length, repr(pipe), t.rand(1)

    same(lambda t, d: _quiet(run, t, d))


def _quiet(run, t, d):
    try:
        return run(t, d)
    except Exception as error:
        # torch adds where an error comes from, and forgets to close a quotation.
        return type(error).__name__, str(error).replace("\\n", "\n").split("\nThis exception")[0].rstrip("'")[:21]


def test_divided_pipes():
    def run(t, d):
        one, two = first(t)(range(5)).fork(2)
        seen = [list(one), list(two)]
        seen += [next(iter(one)), list(zip(*first(t)(range(5)).fork(2), strict=True))]
        odd, even_ = first(t)(range(6)).demux(2, parity)
        seen += [list(odd), list(even_), first(t)([1]).fork(1)]
        return repr(seen), len(one)

    same(run)
    for make in (
        lambda t, d: list(first(t)(range(9)).fork(2, buffer_size=3)[0]),
        lambda t, d: list(first(t)(range(9)).demux(2, parity, buffer_size=3)[0]),
        lambda t, d: list(first(t)(range(9)).demux(2, add)[0]),
    ):
        same(lambda t, d, make=make: _quiet(make, t, d))
    same(lambda t, d: first(t)([1]).fork(0))
    same(lambda t, d: first(t)([1]).fork(2, copy="half"))


def test_a_second_iteration_of_a_child_starts_again():
    one, two = IterableWrapper(range(4)).fork(2)
    begun = iter(one)
    assert [next(begun), next(begun), next(iter(two))] == [0, 1, 0]
    with pytest.warns(UserWarning, match="not exhausted"):
        assert list(one) == [0, 1, 2, 3]
    assert list(two) == [0, 1, 2, 3]


def test_only_the_last_iterator_is_valid():
    pipe = IterableWrapper(range(3)).map(add)
    older = iter(pipe)
    assert next(older) == 1
    assert list(pipe) == [1, 2, 3]
    with pytest.raises(RuntimeError, match="invalidated because another iterator"):
        next(older)


def test_files(tmp_path):
    for name, text in (("b.txt", "bb"), ("a.txt", "a"), ("c.csv", "c")):
        (tmp_path / name).write_text(text)

    def run(t, d):
        iters = next(pipes(t))
        files = iters.FileLister(str(tmp_path), "*.txt")
        return [(name[-5:], text) for name, text in files.open_files().read_from_stream()], len(
            iters.FileLister(str(tmp_path), length=7)
        )

    assert same(run)[0] == ("tuple", [("list", [("tuple", ["a.txt", "a"]), ("tuple", ["b.txt", "bb"])]), 7])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shuffle", [None, True, False])
def test_in_a_loader(workers, shuffle):
    def run(t, d):
        t.manual_seed(4)
        pipe = first(t)(range(12)).shuffle().sharding_filter().map(add)
        loader = d.DataLoader(pipe, batch_size=2, shuffle=shuffle, num_workers=workers)
        return [[batch.tolist() for batch in loader] for _ in range(2)], t.rand(2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(run)


def test_persistent_workers_take_a_new_order():
    def run(t, d):
        t.manual_seed(4)
        pipe = first(t)(range(12)).shuffle().sharding_filter()
        loader = d.DataLoader(pipe, num_workers=2, persistent_workers=True)
        return [[int(batch) for batch in loader] for _ in range(3)]

    epochs = same(run)[0]
    assert len({str(epoch) for epoch in epochs[1]}) > 1


def test_settings_of_the_whole_chain():
    def run(t, d):
        from importlib import import_module

        settings = import_module(f"{t.__name__}.utils.data.graph_settings")
        graph = import_module(f"{t.__name__}.utils.data.graph")
        pipe = first(t)(range(6)).shuffle().map(add).sharding_filter()
        names = [type(p).__name__ for p in settings.get_all_graph_pipes(graph.traverse_dps(pipe))]
        settings.apply_sharding(pipe, 2, 1)
        settings.apply_shuffle_settings(pipe, False)
        seen = list(pipe)
        try:
            settings.apply_sharding(pipe.sharding_filter(), 2, 0)
        except RuntimeError as error:
            seen.append(str(error)[:60])
        return names, seen, len(pipe)

    same(run)


def test_only_pipes_are_registered():
    with pytest.raises(TypeError, match="can only decorate"):
        ft.utils.data.functional_datapipe("own")(int)


def test_registering_ones_own():
    def run(t, d):
        @d.functional_datapipe("thrice")
        class Thrice(d.IterDataPipe):
            def __init__(self, source):
                self.source = source

            def __iter__(self):
                for x in self.source:
                    yield from (x, x, x)

        return list(first(t)([1, 2]).thrice().batch(2))

    same(run)
    for d in (torch.utils.data, ft.utils.data):
        with pytest.raises(Exception, match="already taken"):
            d.functional_datapipe("batch")(type("Own", (d.IterDataPipe,), {}))
        random_pipe = d.non_deterministic(type("Random", (d.IterDataPipe,), {}))
        random_pipe()
        with d.guaranteed_datapipes_determinism(), pytest.raises(TypeError, match="non-deterministic"):
            random_pipe()

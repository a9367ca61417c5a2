"""Work in parts on several threads: every item once, errors passed on, BLAS's threads put back, forks."""

import contextvars
import os
import threading
from queue import SimpleQueue

import numpy as np
import pytest

import flowtorch
from flowtorch.array import blas, blocks, spread
from flowtorch.ops import normalization_blocks
from flowtorch.optim import blocked

run = spread.spread


@pytest.fixture(autouse=True)
def _three_threads():
    before = flowtorch.get_num_threads()
    flowtorch.set_num_threads(3)
    yield
    assert flowtorch.get_num_threads() == 3
    flowtorch.set_num_threads(before)


def test_every_item_is_done_once_by_threads_of_its_own():
    calls, together = [], threading.Barrier(3, timeout=30)

    def work(start, stop):
        together.wait()  # which only passes where all three run at once
        calls.append((start, stop))

    run(work, 10)
    assert sorted(calls) == [(0, 3), (3, 6), (6, 10)]


@pytest.mark.parametrize(("count", "grain", "parts"), [(0, 1, 1), (1, 1, 1), (5, 4, 1), (8, 4, 2), (99, 4, 3)])
def test_no_part_is_smaller_than_the_grain(count, grain, parts):
    calls = []
    run(lambda start, stop: calls.append(range(start, stop)), count, grain)
    assert len(calls) == parts and sorted(i for c in calls for i in c) == list(range(count))


def test_blas_has_one_thread_inside_and_all_of_them_after_and_the_number_told_stays():
    raw = blas._function("get_num_threads")
    assert raw is not None, "numpy's wheels bring OpenBLAS"
    seen = []
    run(lambda start, stop: seen.append((raw(), flowtorch.get_num_threads())), 3)
    assert seen == [(1, 3)] * 3 and raw() == 3


def test_a_number_of_threads_set_inside_holds_afterwards():
    run(lambda start, stop: start or flowtorch.set_num_threads(2), 3)
    assert flowtorch.get_num_threads() == 2
    flowtorch.set_num_threads(3)


def test_the_first_error_is_raised_when_all_parts_have_ended():
    ended = []

    def work(start, stop):
        try:
            if start:
                raise ValueError(f"part {start}")
        finally:
            ended.append(start)

    with pytest.raises(ValueError, match="part 1"):
        run(work, 3)
    assert sorted(ended) == [0, 1, 2]
    run(work, 1)


def test_work_spread_inside_a_part_stays_there():
    inner = []

    def work(start, stop):
        here = threading.get_ident()
        run(lambda a, b: inner.append((a, b, threading.get_ident() == here)), 9)

    run(work, 3)
    assert inner == [(0, 9, True)] * 3


def test_parts_that_no_thread_takes_are_done_by_the_caller(monkeypatch):
    monkeypatch.setattr(spread, "_queues", [SimpleQueue(), SimpleQueue()])  # that nobody serves
    here = []
    run(lambda start, stop: here.append((start, threading.get_ident())), 3)
    assert here == [(i, threading.get_ident()) for i in range(3)]


def test_parts_see_the_callers_context():
    variable = contextvars.ContextVar("variable", default="nothing")
    variable.set("something")
    seen = []
    run(lambda start, stop: seen.append(variable.get()), 3)
    assert seen == ["something"] * 3


def test_a_forked_process_starts_threads_of_its_own():
    run(lambda start, stop: None, 3)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        done = []
        run(lambda start, stop: done.append(stop - start), 6)
        os.write(write, bytes(done))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0 and os.read(read, 10) == bytes([2, 2, 2])


def test_blocks_give_the_same_on_any_number_of_threads():
    x = np.random.default_rng(0).normal(size=(50, 40 * blocks.BLOCK // 50 + 3)).astype(np.float32)

    def kernel(part, out):
        np.exp(part, out)

    got = blocks.fill(kernel, x), blocks.by_rows(kernel, x), blocks.fill(kernel, x.T)
    flowtorch.set_num_threads(1)
    alone = blocks.fill(kernel, x), blocks.by_rows(kernel, x), blocks.fill(kernel, x.T)
    flowtorch.set_num_threads(3)
    assert all(np.array_equal(a, b) for a, b in zip(got, alone, strict=True))
    assert np.array_equal(alone[0], np.exp(x))


def test_what_kernels_of_rows_return_stands_in_their_order(monkeypatch):
    monkeypatch.setattr(blocks, "CACHE", 8 * 4 * blocks.BLOCK)
    x, results = np.arange(4 * 40 * blocks.BLOCK, dtype=np.float32).reshape(-1, 128), ["old"]
    blocks.by_rows(lambda part, out: float(part[0, 0]), x, results=results)
    assert len(results) > 30 and results == sorted(results) and results[0] == 0


def test_gradients_of_layer_norm_are_the_same_on_any_number_of_threads():
    rng = np.random.default_rng(0)
    x, g, w = (rng.normal(size=shape).astype(np.float32) for shape in ((40000, 33), (40000, 33), 33))
    got = normalization_blocks.rows_adjoint(g, x, w, 33, 1e-5, True)
    flowtorch.set_num_threads(1)
    alone = normalization_blocks.rows_adjoint(g, x, w, 33, 1e-5, True)
    flowtorch.set_num_threads(3)
    assert all(np.array_equal(a, b) for a, b in zip(got, alone, strict=True))


def test_steps_of_optimizers_are_the_same_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(blocked, "BLOCK", 5000)
    start, grad = np.random.default_rng(0).standard_normal((2, 50_003), dtype=np.float32)
    results = []
    for threads in (3, 1):
        flowtorch.set_num_threads(threads)
        param = flowtorch.from_numpy(start.copy()).requires_grad_()
        param.grad = flowtorch.from_numpy(grad)
        blocked._memory.__dict__.clear()        # plans hold work arrays of a block
        flowtorch.optim.AdamW([param], lr=0.1).step()
        results.append(param.detach().numpy())
    blocked._memory.__dict__.clear()
    flowtorch.set_num_threads(3)
    assert np.array_equal(*results) and not np.array_equal(results[0], start)

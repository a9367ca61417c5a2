"""Tensors in several processes: shared memory, queues, spawned functions and their failures."""

import gc
import os
import pickle
import signal
import sys

import pytest

import flowtorch as ft
from flowtorch import multiprocessing as mp

METHODS = ["fork", "spawn"]


def write(index, tensor, value):
    tensor[index] = value + index


def echo(tensors, answers):
    for _ in range(3):
        tensor = tensors.get()
        tensor.data[0] = 100
        answers.put((tensor, os.getpid()))
    tensors.get()


def fail(index, kind):
    if index == 1:
        if kind == "raise":
            raise ValueError("trouble in one of them")
        if kind == "exit":
            sys.exit(7)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", METHODS)
def test_processes_write_into_one_tensor(method):
    shared, own = ft.zeros(3).share_memory_(), ft.zeros(3)
    assert shared.is_shared() and not own.is_shared()
    mp.start_processes(write, (shared, 5), nprocs=3, start_method=method)
    assert shared.tolist() == [5, 6, 7]


def test_spawn_runs_a_function_many_times():
    shared = ft.zeros(2, dtype=ft.int64).share_memory_()
    assert mp.spawn(write, (shared[:], 1), nprocs=2) is None
    assert shared.tolist() == [1, 2]
    running = mp.spawn(write, (shared, 3), nprocs=2, join=False)
    assert len(running.pids()) == 2
    while not running.join():
        pass
    assert shared.tolist() == [3, 4]


@pytest.mark.parametrize("method", METHODS)
def test_queues_hand_over_memory(method):
    context = mp.get_context(method)
    tensors, answers = context.Queue(), context.Queue()
    process = context.Process(target=echo, args=(tensors, answers))
    process.start()
    sent = [ft.arange(4.0), ft.ones(2, 3)[1], ft.nn.Parameter(ft.ones(2), requires_grad=True)]
    for tensor in sent:
        with ft.no_grad():
            tensors.put(tensor)
            made, pid = answers.get(timeout=60)
        assert pid == process.pid
        assert type(made) is type(tensor) and made.requires_grad == tensor.requires_grad
        assert tensor[0] == made[0] == 100  # what the other process wrote is in ours
        with ft.no_grad():
            made[1] = -1
        assert tensor[1] == -1
    tensors.put(None)
    process.join()
    assert process.exitcode == 0


def test_modules_are_shared_by_their_parameters():
    module = ft.nn.Linear(2, 2).share_memory()
    assert all(p.is_shared() for p in module.parameters())
    mp.start_processes(write_module, (module,), nprocs=1, start_method="fork")
    assert module.bias.tolist() == [4, 4]


def write_module(index, module):
    with ft.no_grad():
        module.bias.fill_(4)


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("raise", mp.ProcessRaisedException, "-- Process 1 terminated with the following error:\nTraceback"),
        ("exit", mp.ProcessExitedException, "process 1 terminated with exit code 7"),
        ("kill", mp.ProcessExitedException, "process 1 terminated with signal SIGKILL"),
    ],
)
def test_failures_are_told(kind, error, text):
    with pytest.raises(error, match=text) as caught:
        mp.start_processes(fail, (kind,), nprocs=2, start_method="fork")
    assert caught.value.error_index == 1
    copied = pickle.loads(pickle.dumps(caught.value))
    assert str(copied) == str(caught.value) and type(copied) is error
    if kind == "raise":
        assert "trouble in one of them" in str(caught.value)


def test_recorded_tensors_stay_here():
    queue = mp.get_context("fork").SimpleQueue()
    with pytest.raises(RuntimeError, match="Cowardly refusing"):
        queue.put(ft.ones(2, requires_grad=True) * 2)


def test_descriptors_are_given_back():
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    ft.ones(2).share_memory_()
    gc.collect()                            # what earlier tests left behind goes at any time
    before = descriptors()
    for _ in range(50):
        ft.ones(2).share_memory_()
    assert descriptors() == before


def test_names_and_strategies():
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    mp.set_sharing_strategy("file_system")
    mp.set_sharing_strategy(*mp.get_all_sharing_strategies())
    with pytest.raises(AssertionError, match="invalid sharing strategy"):
        mp.set_sharing_strategy("telepathy")
    assert mp.Process and mp.Pool and mp.cpu_count() > 0

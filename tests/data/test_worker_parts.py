"""The parts of PyTorch's loader that other packages build loaders of their own from."""

import multiprocessing
import os
import signal
import time

import pytest

import flowtorch as ft
from flowtorch.utils.data import DataLoader
from flowtorch.utils.data._utils import pin_memory, signal_handling
from flowtorch.utils.data._utils import worker as parts
from flowtorch.utils.data.dataloader import _sharding_worker_init_fn
from flowtorch.utils.data.datapipes.iter import IterableWrapper

FORK = multiprocessing.get_context("fork")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda: os._exit(3), "exited unexpectedly with exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "is killed by signal: Killed"),
    ],
)
def test_a_watched_worker_that_fails_is_reported_once(end, said):
    process = FORK.Process(target=end)
    process.start()
    signal_handling._set_worker_pids(1, (process.pid,))
    try:
        with pytest.raises(RuntimeError, match=f"DataLoader worker .pid {process.pid}. {said}"):
            for _ in range(500):
                signal_handling._error_if_any_worker_fails()
                time.sleep(0.01)
        signal_handling._error_if_any_worker_fails()
    finally:
        signal_handling._remove_worker_pids(1)
        process.join()


def test_a_worker_that_ends_well_is_no_failure():
    process = FORK.Process(target=int)
    process.start()
    signal_handling._set_worker_pids(1, [process.pid])
    with pytest.raises(ValueError, match="only once"):
        signal_handling._set_worker_pids(1, [process.pid])
    process.join()
    signal_handling._error_if_any_worker_fails()
    signal_handling._remove_worker_pids(1)
    with pytest.raises(ValueError, match="Cannot find worker information"):
        signal_handling._remove_worker_pids(1)


def test_the_handler_interrupts_a_parent_that_waits():
    program = (
        "import os, time, multiprocessing as mp\n"
        "from flowtorch.utils.data._utils import signal_handling as s\n"
        "p = mp.get_context('fork').Process(target=lambda: (time.sleep(0.2), os._exit(7)))\n"
        "p.start(); s._set_worker_pids(0, (p.pid,)); s._set_SIGCHLD_handler()\n"
        "try: time.sleep(20)\n"
        "except RuntimeError as error: print(error)\n"
    )
    import subprocess
    import sys

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "exited unexpectedly with exit code 7" in run.stdout, run.stderr


def test_each_rank_and_worker_gets_its_share_of_a_pipe(monkeypatch):
    seen = []
    for rank in range(2):
        for worker in range(2):
            pipe = IterableWrapper(range(8)).sharding_filter()
            monkeypatch.setattr(parts, "_worker_info", parts.WorkerInfo(worker, 2, 0, pipe))
            called = []
            _sharding_worker_init_fn(called.append, 2, rank, worker)
            assert called == [worker]
            seen.append(list(pipe))
    assert sorted(i for share in seen for i in share) == list(range(8))
    assert all(len(share) == 2 for share in seen)


def test_what_a_loader_of_ones_own_asks_for():
    assert parts.ManagerWatchdog().is_alive()
    assert parts._IterableDatasetStopIteration(3).worker_id == 3
    assert parts._ResumeIteration(5).seed == 5
    assert pin_memory.pin_memory(["text", 1]) == ["text", 1]
    assert next(iter(DataLoader(ft.arange(2)))).tolist() == [0]

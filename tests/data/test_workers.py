"""DataLoader with worker processes: order, seeds, shared memory, and what happens when workers fail."""

import functools
import gc
import glob
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from spawned import Rows, Shard, same_list

import flowtorch as ft
from flowtorch.utils.data import DataLoader, Dataset, TensorDataset, get_worker_info
from flowtorch.utils.data._utils import transport

METHODS = ["fork", "spawn"]
SHARED = "/dev/shm/flowtorch-*"


@pytest.fixture(autouse=True)
def _nothing_is_left():
    yield
    gc.collect()
    assert multiprocessing.active_children() == []
    assert glob.glob(SHARED) == []


class Draws(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return i, random.random(), np.random.rand(), ft.rand(2).tolist(), get_worker_info().seed


class TorchDraws(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        return i, random.random(), np.random.rand(), torch.rand(2).tolist(), torch.utils.data.get_worker_info().seed


class Trouble(Dataset):
    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 8

    def __getitem__(self, i):
        if i == 5:
            TROUBLES[self.kind]()
        return i


class Unmade(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


def fail(error):
    raise error


def fail_with_a_local_class():
    class Local(Exception):
        pass

    raise Local("local trouble")


TROUBLES = {
    "value": lambda: fail(ValueError("bad sample")),
    "key": lambda: fail(KeyError("bad key")),
    "unmade": lambda: fail(Unmade(1, 2)),
    "local": fail_with_a_local_class,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "hang": lambda: time.sleep(60),
}


def lambdas(batch):
    return lambda: batch


def set_base(base, worker_id):
    get_worker_info().dataset.n = base + worker_id


class Told(Dataset):
    n = 0

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.n


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("width", [5, 20_000])
def test_batches_are_those_of_one_process(method, width):
    expected = list(DataLoader(Rows(20, width), batch_size=3))
    loader = DataLoader(Rows(20, width), batch_size=3, num_workers=2, multiprocessing_context=method)
    for batch, other in zip(loader, expected, strict=True):
        for a, b in zip(batch, other, strict=True):
            assert type(a) is type(b)
            assert a == b if isinstance(a, (list, tuple)) else (bool((a == b).all()) and a.dtype == b.dtype)
        assert batch[0].is_shared() == (width > 5)
        batch[0][0] = -1  # batches are the receiver's own


def test_shuffled_order_and_what_it_draws_are_torchs():
    def run(library):
        library.manual_seed(3)
        loader = library.utils.data.DataLoader(list(range(13)), batch_size=4, shuffle=True, num_workers=2)
        return [[batch.tolist() for batch in loader] for _ in range(2)], library.rand(2).tolist()

    assert run(ft) == run(torch)


def test_streams_of_random_numbers_are_torchs():
    def run(library, dataset):
        library.manual_seed(9)
        loader = library.utils.data.DataLoader(dataset, num_workers=2, collate_fn=same_list)
        return [list(loader) for _ in range(2)]

    assert run(ft, Draws()) == run(torch, TorchDraws())


@pytest.mark.parametrize("method", METHODS)
def test_streams_are_shared_out(method):
    options = {"batch_size": 2, "num_workers": 2, "collate_fn": same_list, "multiprocessing_context": method}
    assert sorted(x for batch in DataLoader(Shard(), **options) for x in batch) == list(range(10))
    kept = DataLoader(Shard(), persistent_workers=True, **options)
    for _ in range(3):
        assert sorted(x for batch in kept for x in batch) == list(range(10))
    assert list(DataLoader(Shard(0), **options)) == []


def test_persistent_workers_stay():
    loader = DataLoader(Rows(8), batch_size=2, num_workers=2, persistent_workers=True)
    first = iter(loader)
    pids = [worker.process.pid for worker in first._workers]
    assert len(list(first)) == 4
    next(iter(loader))  # an epoch that is given up
    second = iter(loader)
    assert [batch[2].tolist() for batch in second] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [worker.process.pid for worker in second._workers] == pids


def test_worker_init_fn_and_info():
    loader = DataLoader(Told(), num_workers=2, worker_init_fn=functools.partial(set_base, 10), collate_fn=same_list)
    assert list(loader) == [[10], [11], [10], [11]]
    assert get_worker_info() is None


def test_results_out_of_order():
    class Uneven(Rows):
        def __getitem__(self, i):
            time.sleep(0.2 if i % 2 == 0 else 0.0)
            return i

    loader = DataLoader(Uneven(10), num_workers=2, in_order=False, collate_fn=same_list)
    seen = [batch[0] for batch in loader]
    assert sorted(seen) == list(range(10))
    assert seen != list(range(10))


def test_many_tasks_ahead_do_not_block():
    # More tasks than the pipe holds, answered by more results than the pipe holds.
    loader = DataLoader(list(range(12_000)), batch_size=2, num_workers=2, prefetch_factor=3000, collate_fn=same_list)
    assert [batch[0] for batch in loader] == list(range(0, 12_000, 2))
    loader = DataLoader(list(range(60_000)), batch_size=20_000, num_workers=2, collate_fn=same_list)
    assert [len(batch) for batch in loader] == [20_000] * 3


def test_views_share_memory_and_small_parts_travel_alone():
    base = ft.arange(30_000.0).reshape(3, 10_000)

    class Views(Rows):
        def __getitem__(self, i):
            return base, base.t(), base[1]

    (whole, turned, _), *_ = DataLoader(Views(2), batch_size=None, num_workers=1)
    whole[1, 2] = -5
    assert turned[2, 1] == -5
    assert turned.stride() == (1, 10_000)
    rows = DataLoader(TensorDataset(ft.arange(3_000_000.0).reshape(100, 30_000)), batch_size=None, num_workers=1)
    parts = [row for (row,) in rows]
    assert all(part.untyped_storage().nbytes() == part.nbytes for part in parts)
    assert parts[7][5] == 7 * 30_000 + 5


def test_without_room_in_shared_memory_the_pipe_is_used(monkeypatch):
    expected = [batch[2].tolist() for batch in DataLoader(Rows(6, 30_000), batch_size=2)]
    for directory in ("/no/such/place", "/proc"):
        monkeypatch.setattr(transport, "SHARED_DIRECTORY", directory)
        loader = DataLoader(Rows(6, 30_000), batch_size=2, num_workers=2)
        assert [batch[2].tolist() for batch in loader] == expected


def test_leaves_only():
    class Recorded(Rows):
        def __getitem__(self, i):
            return ft.ones(2, requires_grad=True) * 2

    with pytest.raises(RuntimeError, match="Cowardly refusing"):
        list(DataLoader(Recorded(2), batch_size=None, num_workers=1, collate_fn=same_list))
    parameter = next(
        iter(DataLoader([ft.nn.Parameter(ft.ones(2))], batch_size=None, num_workers=1, collate_fn=same_list))
    )
    assert isinstance(parameter, ft.nn.Parameter) and parameter.requires_grad


# --- failures -----------------------------------------------------------------------------------


def taken(loader):
    """The batches before the error, and the error."""
    seen = []
    with pytest.raises(Exception) as caught:
        for batch in loader:
            seen += batch
    return seen, caught.value


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("value", ValueError, "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback.*bad sample"),
        ("key", KeyError, "Caught KeyError in DataLoader worker process 0.\nOriginal Traceback.*bad key"),
        ("unmade", RuntimeError, "Caught Unmade in DataLoader worker process 0"),
        ("local", RuntimeError, "local trouble"),
        ("kill", RuntimeError, r"DataLoader worker \(pid \d+\) is killed by signal: Killed"),
        ("exit", RuntimeError, r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly with exit code 3"),
    ],
)
def test_a_worker_in_trouble(kind, error, text):
    seen, raised = taken(DataLoader(Trouble(kind), batch_size=2, num_workers=2, collate_fn=same_list))
    assert seen == list(range(len(seen))) and len(seen) <= 4
    assert type(raised) is error
    assert re.search(text, str(raised), re.DOTALL), str(raised)


def test_a_worker_that_hangs():
    start = time.monotonic()
    seen, raised = taken(DataLoader(Trouble("hang"), batch_size=2, num_workers=2, collate_fn=same_list, timeout=0.7))
    assert isinstance(raised, RuntimeError) and "DataLoader timed out after 0.7 seconds" in str(raised)
    assert seen == [0, 1, 2, 3]
    assert time.monotonic() - start < 20


def test_the_other_batches_follow_an_error():
    loader = iter(DataLoader(Trouble("value"), batch_size=2, num_workers=2, collate_fn=same_list))
    seen = []
    while True:
        try:
            seen.append(next(loader))
        except ValueError:
            seen.append("error")
        except StopIteration:
            break
    assert seen == [[0, 1], [2, 3], "error", [6, 7]]


def test_a_batch_that_cannot_be_sent():
    _, raised = taken(DataLoader([1, 2], num_workers=1, collate_fn=lambdas))
    assert "pickle" in str(raised) and "worker process 0" in str(raised)


def test_a_worker_that_cannot_start():
    _, raised = taken(DataLoader([1, 2], num_workers=1, worker_init_fn=lambda i: fail(OSError("no disk"))))
    assert isinstance(raised, OSError) and "no disk" in str(raised)
    with pytest.warns(UserWarning, match="pickle"):
        taken(DataLoader([1, 2], num_workers=1, collate_fn=lambda b: b, multiprocessing_context="spawn"))


@pytest.mark.parametrize("persistent", [False, True])
def test_a_worker_killed_from_outside(persistent):
    options = {"num_workers": 2, "collate_fn": same_list, "persistent_workers": persistent}
    loader = DataLoader(list(range(100)), **options)
    running = iter(loader)
    next(running)
    os.kill(running._workers[0].process.pid, signal.SIGKILL)
    _, raised = taken(running)
    assert "is killed by signal" in str(raised)
    with pytest.raises(RuntimeError, match="shut down"):
        next(running)
    assert [batch[0] for batch in loader] == list(range(100))  # the loader starts new ones


def test_an_epoch_given_up_ends_its_workers():
    loader = DataLoader(Rows(50, 50_000, slow=0.01), num_workers=2, prefetch_factor=4)
    for _ in loader:
        break
    del _
    start = time.monotonic()
    gc.collect()
    assert multiprocessing.active_children() == []
    assert time.monotonic() - start < 5


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks processes up in /proc")
@pytest.mark.parametrize("method", METHODS)
def test_workers_follow_a_parent_that_was_killed(method):
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from spawned import Rows\n"
        "from flowtorch.utils.data import DataLoader\n"
        "if __name__ == '__main__':\n"
        f"    loader = iter(DataLoader(Rows(1000, 50_000, 0.01), num_workers=2, multiprocessing_context='{method}'))\n"
        "    next(loader)\n"
        "    print(*[worker.process.pid for worker in loader._workers], flush=True)\n"
        "    time.sleep(60)\n"
    )
    here = os.path.dirname(__file__)
    child = subprocess.Popen([sys.executable, "-c", script, here], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in child.stdout.readline().split()]
    assert len(pids) == 2 and all(alive(pid) for pid in pids)
    child.send_signal(signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 15
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def test_workers_end_with_the_program():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from spawned import Rows\n"
        "from flowtorch.utils.data import DataLoader\n"
        "loader = DataLoader(Rows(100), num_workers=2, persistent_workers=True)\n"
        "kept = iter(loader)\n"
        "next(kept)\n"
        "print('done')\n"
    )
    here = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", script, here], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")

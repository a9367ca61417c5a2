"""What runs in a worker process of a DataLoader."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from flowtorch._utils import ExceptionWrapper
from flowtorch.utils.data._utils.fetch import Fetcher, _DatasetKind
from flowtorch.utils.data._utils.transport import Sender, clean

ORPHAN_CHECK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What ``get_worker_info`` tells in a worker: its number, how many there are, its seed, its copy of the
    data."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process of a DataLoader its WorkerInfo, elsewhere None."""
    return _worker_info


@dataclass(frozen=True)
class Task:
    """One entry for a worker: fetch ``index``."""

    number: int
    index: Any


@dataclass(frozen=True)
class Resume:
    """Start the dataset again, for the next epoch of persistent workers."""

    epoch: int
    shared_seed: int | None = None


@dataclass(frozen=True)
class StreamEnd:
    """A worker's stream has no more samples."""

    worker_id: int


_IterableDatasetStopIteration = StreamEnd


@dataclass(frozen=True)
class _ResumeIteration:
    """Start the dataset again with ``seed`` for its random parts, in loaders that keep their own workers."""

    seed: int | None = None


class ManagerWatchdog:
    """In a worker: whether the process that started it still lives."""

    def __init__(self) -> None:
        self.manager_pid = os.getppid()

    def is_alive(self) -> bool:
        """False once another process has become the parent."""
        return os.getppid() == self.manager_pid


@dataclass
class Job:
    """All that a worker is given at its start."""

    worker_id: int
    num_workers: int
    dataset_kind: int
    dataset: Any
    auto_collation: bool
    collate_fn: Callable
    drop_last: bool
    base_seed: int
    worker_init_fn: Callable | None
    prefix: str
    shared_seed: int | None = None

    def fetcher(self) -> Fetcher:
        """A fetcher at the start of the dataset."""
        return _DatasetKind.create_fetcher(
            self.dataset_kind, self.dataset, self.auto_collation, self.collate_fn, self.drop_last
        )


def seed_worker(job: Job) -> int:
    """Seed the streams of Python, numpy and flowtorch as PyTorch seeds those of its workers."""
    import flowtorch

    seed = job.base_seed + job.worker_id
    random.seed(seed)
    flowtorch.manual_seed(seed)
    np.random.seed(_generate_state(job.base_seed, job.worker_id))
    return seed


def _generate_state(base_seed: int, worker_id: int) -> list[int]:
    """The four words that numpy's stream in a worker is seeded with."""
    entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return np.random.SeedSequence(entropy).generate_state(4).tolist()


def seed_pipe(pipe: Any, shared_seed: int) -> None:
    """Give the random parts of a data pipe their seeds: the same in every process."""
    import flowtorch
    from flowtorch.utils.data.graph_settings import apply_random_seed

    apply_random_seed(pipe, flowtorch.Generator().manual_seed(shared_seed))


def run(job: Job, tasks: Connection, results: Connection, not_ours: tuple[Connection, ...] = ()) -> None:
    """The life of a worker: until it is told to stop, or nobody is there to tell it.

    ``not_ours`` are ends of pipes that a forked process inherits from its parent and must not keep open.
    """
    import flowtorch

    global _worker_info
    for end in not_ours:
        end.close()
    with contextlib.suppress(AttributeError):
        flowtorch.set_num_threads(1)
    _worker_info = WorkerInfo(job.worker_id, job.num_workers, seed_worker(job), job.dataset)
    told = False
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError, ConnectionResetError):
        told = _Loop(job, tasks, results).run()
    if not told:
        clean(job.prefix)  # the process that would do it is gone


class _Loop:
    def __init__(self, job: Job, tasks: Connection, results: Connection) -> None:
        self.job, self.tasks, self.results = job, tasks, results
        self.where = f"in DataLoader worker process {job.worker_id}"
        self.sender = Sender(job.prefix)
        self.fetcher: Fetcher | None = None
        self.failed: ExceptionWrapper | None = None
        self.ended = False
        self.queue: deque[Any] = deque()
        self.orphaned = False

    def run(self) -> bool:
        """Do tasks until the end; whether somebody announced it."""
        try:
            if self.job.shared_seed is not None:
                self.take_share(self.job.shared_seed)
            if self.job.worker_init_fn is not None:
                self.job.worker_init_fn(self.job.worker_id)
            self.fetcher = self.job.fetcher()
        except Exception:
            self.failed = ExceptionWrapper(where=self.where)
        while (task := self.next_task()) is not None:
            if isinstance(task, Resume):
                self.resume(task)
            elif not self.ended:
                self.send(task.number, self.fetched(task))
        return not self.orphaned

    def next_task(self) -> Any:
        """The next task; None when there is none to come."""
        if not self.queue or self.tasks.poll():
            self.read_tasks()
        return self.queue.popleft()

    def read_tasks(self) -> None:
        """Take all tasks out of the pipe; the end, and a new epoch, make those before them void."""
        parent = parent_process()
        sources: list[Any] = [self.tasks] if parent is None else [self.tasks, parent.sentinel]
        born_of = os.getppid()
        while not (ready := wait(sources, ORPHAN_CHECK_SECONDS)):
            if os.getppid() != born_of:
                break
        if self.tasks not in ready:
            self.orphaned = True
            self.queue = deque([None])
            return
        while self.tasks.poll():
            task = pickle.loads(self.tasks.recv_bytes())
            if not isinstance(task, Task):
                self.queue.clear()
            self.queue.append(task)

    def take_share(self, shared_seed: int) -> None:
        """Make the data pipe yield this worker's share of a common order."""
        from flowtorch.utils.data.graph_settings import apply_sharding

        seed_pipe(self.job.dataset, shared_seed)
        apply_sharding(self.job.dataset, self.job.num_workers, self.job.worker_id)

    def resume(self, task: Resume) -> None:
        self.ended = False
        try:
            if task.shared_seed is not None:
                seed_pipe(self.job.dataset, task.shared_seed)
            self.fetcher = self.job.fetcher()
        except Exception:
            self.failed = ExceptionWrapper(where=self.where)
        self.send(task, None)

    def fetched(self, task: Task) -> Any:
        if self.failed is not None:
            failed, self.failed = self.failed, None
            return failed
        try:
            if self.fetcher is None:
                raise RuntimeError("this worker could not be started")
            return self.fetcher.fetch(task.index)
        except StopIteration:
            if self.job.dataset_kind != _DatasetKind.Iterable:
                return ExceptionWrapper(where=self.where)
            self.ended = True
            return StreamEnd(self.job.worker_id)
        except Exception:
            return ExceptionWrapper(where=self.where)

    def send(self, number: Any, data: Any) -> None:
        try:
            message = self.sender.message(data)
        except Exception:
            message = self._failure(data)
        self.results.send_bytes(pickle.dumps((number, message)))

    def _failure(self, data: Any) -> tuple:
        """The message of what went wrong while ``data`` was pickled."""
        wrapper = data if isinstance(data, ExceptionWrapper) else ExceptionWrapper(where=self.where)
        try:
            return self.sender.message(wrapper)
        except Exception:
            wrapper.exc_type = RuntimeError  # an exception class that cannot be sent itself
            return self.sender.message(wrapper)

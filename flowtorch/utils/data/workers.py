"""The DataLoader's worker processes, seen from the process that uses the batches."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pickle
import signal
import time
import uuid
import warnings
import weakref
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any

from flowtorch._utils import ExceptionWrapper
from flowtorch.utils.data._utils import transport
from flowtorch.utils.data._utils.worker import Job, Resume, StreamEnd, Task, run
from flowtorch.utils.data.dataloader import DataLoader, _BaseDataLoaderIter

JOIN_SECONDS = 5.0
# A worker that cannot send results stops reading tasks. As long as the tasks under way fit into the buffer of
# the pipe, sending one never blocks, and the two sides cannot wait for each other.
PIPE_ROOM = 1 << 14


class _Worker:
    """A worker process and the pipes to and from it."""

    def __init__(self, job: Job, context: Any, siblings: list[_Worker]) -> None:
        tasks_in, self.tasks = context.Pipe(duplex=False)
        self.results, results_out = context.Pipe(duplex=False)
        inherited: tuple[Connection, ...] = ()
        if _forks(context):
            inherited = (self.tasks, self.results, *(end for w in siblings for end in (w.tasks, w.results)))
        args = (job, tasks_in, results_out, inherited)
        self.process = context.Process(target=run, args=args, daemon=True)
        self.active = True  # gets tasks
        self.stopped = False  # was told to end
        self.waiting: deque[tuple[int, bytes]] = deque()
        self.under_way: dict[int, int] = {}
        try:
            self.process.start()
        except (TypeError, AttributeError, pickle.PicklingError):
            warnings.warn(
                "Got pickle error when attempting to start a worker Process: its arguments (dataset, "
                "collate_fn, "
                "worker_init_fn) must be picklable unless the start method is 'fork'.",
                stacklevel=6,
            )
            raise
        tasks_in.close()
        results_out.close()

    def give(self, task: Task) -> None:
        """Send a task, now or when earlier ones have left the pipe."""
        self.waiting.append((task.number, pickle.dumps(task)))
        self._flush()

    def took(self, number: int) -> None:
        """Note that the result of a task has come."""
        self.under_way.pop(number, None)
        self._flush()

    def _flush(self) -> None:
        while self.waiting:
            number, data = self.waiting[0]
            if self.under_way and sum(self.under_way.values()) + len(data) > PIPE_ROOM:
                return
            self.waiting.popleft()
            self.under_way[number] = len(data)
            self.tell(data)

    def tell(self, data: bytes) -> None:
        # A worker that is gone is noticed where its result is waited for.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.tasks.send_bytes(data)

    def resume(self, task: Resume) -> None:
        """Ask for another epoch; what was still to be done for the last one is dropped."""
        self.waiting.clear()
        self.under_way.clear()
        self.active = True
        self.tell(pickle.dumps(task))

    def stop(self) -> None:
        """Tell the worker to end."""
        if not self.stopped:
            self.stopped = True
            self.active = False
            self.tell(pickle.dumps(None))


def _forks(context: Any) -> bool:
    return context.get_start_method() == "fork"


def _end(workers: list[_Worker], prefix: str, owner: int, patience: list[float]) -> None:
    """Stop all workers, by force if need be, and free what they have sent. Runs once, in the owner only."""
    if os.getpid() != owner:
        return
    for worker in workers:
        worker.stop()
    _drain(workers, time.monotonic() + patience[0])
    for worker in workers:
        for force in (worker.process.terminate, worker.process.kill):
            if worker.process.is_alive():
                force()
                worker.process.join(1.0)
        worker.results.close()
        worker.tasks.close()
    transport.clean(prefix)


def _drain(workers: list[_Worker], deadline: float) -> None:
    """Wait for stopped workers to end; their results are read, since one that cannot send cannot stop."""
    ends: set[Any] = {worker.process.sentinel for worker in workers}
    results: set[Any] = {worker.results for worker in workers}
    while ends and (left := deadline - time.monotonic()) > 0:
        for end in wait([*ends, *results], left):
            if end in ends:
                ends.discard(end)
                continue
            try:
                end.recv_bytes()  # type: ignore[union-attr]
            except (EOFError, OSError):
                results.discard(end)
    for worker in workers:
        if worker.process.sentinel not in ends:
            worker.process.join()


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Fetches in worker processes, ahead of use."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        self._prefetch_factor = loader.prefetch_factor or 0
        if self._prefetch_factor <= 0:
            raise AssertionError("prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter")
        self._in_order = loader.in_order
        self._workers: list[_Worker] = []
        self._epoch = 0
        prefix = f"flowtorch-{os.getpid()}-{uuid.uuid4().hex[:12]}-"
        self._patience = [JOIN_SECONDS]
        self._end = weakref.finalize(self, _end, self._workers, prefix, os.getpid(), self._patience)
        context = loader.multiprocessing_context or multiprocessing
        try:
            for number in range(self._num_workers):
                job = self._job(loader, number, f"{prefix}{number}-")
                self._workers.append(_Worker(job, context, self._workers))
        except BaseException:
            self._end()
            raise
        self._reset(loader, first_iter=True)

    def _job(self, loader: DataLoader, number: int, prefix: str) -> Job:
        return Job(
            worker_id=number,
            num_workers=self._num_workers,
            dataset_kind=self._dataset_kind,
            dataset=self._dataset,
            auto_collation=self._auto_collation,
            collate_fn=self._collate_fn,
            drop_last=self._drop_last,
            base_seed=self._base_seed,
            worker_init_fn=loader.worker_init_fn,
            prefix=prefix,
            shared_seed=self._shared_seed,
        )

    @property
    def alive(self) -> bool:  # type: ignore[override]
        """Whether the workers are there."""
        return self._end.alive

    def _reset(self, loader: DataLoader, first_iter: bool = False) -> None:
        super()._reset(loader, first_iter)
        self._sent = 0  # number of the next task
        self._next = 0  # number of the task whose result comes next
        self._owner: dict[int, int] = {}  # the worker of each task that is under way
        self._ready: dict[int, Any] = {}  # results that came before their turn
        self._turns = itertools.cycle(range(self._num_workers))
        if not first_iter:
            self._resume_workers()
        for _ in range(self._prefetch_factor * self._num_workers):
            self._give_task()

    def _resume_workers(self) -> None:
        self._epoch += 1
        for worker in self._workers:
            worker.resume(Resume(self._epoch, self._shared_seed))
        missing = self._num_workers
        while missing:
            _, number, message = self._receive()
            if isinstance(number, Resume) and number.epoch == self._epoch:
                missing -= 1
            transport.discard(message)

    # --- tasks ---

    def _give_task(self) -> None:
        """Give the next index to the next worker in turn, if both are there."""
        if not any(worker.active for worker in self._workers):
            return
        try:
            index = self._next_index()
        except StopIteration:
            return
        limit = self._prefetch_factor * self._num_workers // sum(worker.active for worker in self._workers)
        for number in itertools.islice(self._turns, self._num_workers):
            worker = self._workers[number]
            # Out of order a slow worker must not collect the tasks that others could do.
            if worker.active and (self._in_order or self._load(number) < limit):
                self._owner[self._sent] = number
                worker.give(Task(self._sent, index))
                self._sent += 1
                return

    def _load(self, worker: int) -> int:
        return sum(owner == worker for owner in self._owner.values())

    # --- results ---

    def _next_data(self) -> Any:
        while True:
            self._skip_cancelled()
            if self._next in self._ready:
                return self._yielded(self._next)
            if not self._owner:
                if not self._persistent_workers:
                    self._end()
                raise StopIteration
            self._take_result()
            if self._ready and not self._in_order:
                return self._yielded(next(iter(self._ready)))

    def _skip_cancelled(self) -> None:
        while self._next < self._sent and self._next not in self._owner and self._next not in self._ready:
            self._next += 1

    def _take_result(self) -> None:
        worker, number, message = self._receive()
        if number not in self._owner:
            transport.discard(message)
            return
        worker.took(number)
        data = transport.receive(message)
        which = self._owner.pop(number)
        if isinstance(data, StreamEnd):
            # Its other tasks will not be answered.
            worker.active = False
            if not self._persistent_workers:
                worker.stop()
            self._owner = {task: owner for task, owner in self._owner.items() if owner != which}
            self._give_task()
        else:
            self._ready[number] = data

    def _yielded(self, number: int) -> Any:
        data = self._ready.pop(number)
        if number == self._next:
            self._next += 1
        self._give_task()
        if isinstance(data, ExceptionWrapper):
            data.reraise()
        return data

    def _receive(self) -> tuple[_Worker, Any, tuple]:
        """The next message of any worker; RuntimeError if one has died or none comes in time."""
        if not self.alive:
            raise RuntimeError("the workers of this DataLoader iterator have been shut down")
        by_end: dict[Any, _Worker] = {}
        for worker in self._workers:
            if not worker.stopped:
                by_end[worker.results] = by_end[worker.process.sentinel] = worker
        ready: list[Any] = wait(list(by_end), self._timeout or None)
        if not ready:
            self._patience[0] = 0.5  # they have been waited for
            self._end()
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        # What a worker sent before it died comes first.
        for end in sorted(ready, key=lambda end: isinstance(end, int)):
            worker = by_end[end]
            if not isinstance(end, int) and end.poll():
                with contextlib.suppress(EOFError, OSError):
                    return worker, *pickle.loads(end.recv_bytes())
            self._died(worker)
        raise AssertionError("unreachable")

    def _died(self, worker: _Worker) -> None:
        worker.process.join(JOIN_SECONDS)
        pid, code = worker.process.pid, worker.process.exitcode
        self._end()
        if code is not None and code < 0:
            name = signal.strsignal(-code) or f"signal {-code}"
            hint = ""
            if -code in (signal.SIGKILL, getattr(signal, "SIGBUS", None)):
                hint = "It is possible that the machine ran out of memory or of shared memory."
            raise RuntimeError(f"DataLoader worker (pid {pid}) is killed by signal: {name}. {hint}")
        raise RuntimeError(
            f"DataLoader worker (pid(s) {pid}) exited unexpectedly with exit code {code}. Details are lost "
            f"due to "
            "multiprocessing. Rerunning with num_workers=0 may give better error trace."
        )

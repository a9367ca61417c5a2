"""Blocks of work on several of Python's threads: numpy's loops and BLAS release the interpreter's lock."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from itertools import pairwise
from queue import SimpleQueue

from flowtorch.array import blas

_busy = threading.Lock()  # of whoever spreads work just now
_queues: list[SimpleQueue] = []  # one for each thread of the pool


def spread(work: Callable[[int, int], object], count: int, grain: int = 1) -> None:
    """Call ``work(start, stop)`` on parts of ``range(count)``, one after the other on one thread or at once on several.

    There are at most as many parts as ``torch.get_num_threads()``, of at least ``grain`` items each. Choose the grain
    so that it takes 0.15 ms or more: handing a part to another thread and waiting for it takes a twentieth of a
    millisecond. BLAS has one thread meanwhile. ``work`` should spend its time in numpy or BLAS, and write what belongs
    to an item into that item's own memory, whatever other items are in its part; then the results do not depend on
    the number of threads. Where they are sums over items, keep as many partial sums as there are items, or make
    the items independent by cutting along another dimension.

    What no thread has begun when the calling one has finished its own part, that one does too. The parts see the
    caller's context variables. An exception is raised here after all parts have ended, the first part's first. Work
    that is spread inside a part, or while another thread of the program spreads, stays where it is.
    """
    parts = min(blas.get_threads(), count // grain)
    if parts < 2 or not _busy.acquire(blocking=False):
        work(0, count)
        return
    try:
        _run([_Part(work, *ends) for ends in pairwise(count * i // parts for i in range(parts + 1))])
    finally:
        _busy.release()


class _Part:
    def __init__(self, work: Callable[[int, int], object], start: int, stop: int) -> None:
        self.context, self.work, self.ends = contextvars.copy_context(), work, (start, stop)
        self.error: BaseException | None = None
        self.taken, self.done = threading.Lock(), threading.Lock()
        self.done.acquire()

    def run(self) -> None:
        if not self.taken.acquire(blocking=False):
            return
        try:
            self.context.run(self.work, *self.ends)
        except BaseException as error:  # the calling thread raises it
            self.error = error
        finally:
            self.done.release()


def _run(parts: list[_Part]) -> None:
    first, *others = parts
    with blas.one_thread():
        for i, part in enumerate(others):
            if i < len(_queues) or _started():
                _queues[i].put(part)
        first.run()
        for part in others:
            part.run()  # unless a thread has taken it: on a busy machine waiting for one may take longer
        for part in others:
            part.done.acquire()
    for part in parts:
        if part.error is not None:
            raise part.error


def _started() -> bool:
    """Start one more thread; False where the system gives none."""
    queue: SimpleQueue = SimpleQueue()
    try:
        threading.Thread(target=_serve, args=(queue,), name="flowtorch", daemon=True).start()
    except RuntimeError:  # the system gives no more threads: the caller does that part itself
        return False
    _queues.append(queue)
    return True


def _serve(queue: SimpleQueue) -> None:
    while True:
        queue.get().run()


def _forget() -> None:
    """In a forked process, which has none of the threads."""
    global _busy
    _busy = threading.Lock()
    _queues.clear()
    blas.restore_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

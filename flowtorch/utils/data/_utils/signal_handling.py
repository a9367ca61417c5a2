"""Dead workers noticed by their parent, for loaders that keep their own processes.

A parent registers the process ids of a loader's workers; once the handler is set, the end of one that fails raises
in the parent's main thread instead of leaving it to wait for a batch that never comes.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Any

_pids: dict[int, tuple[int, ...]] = {}
_handler_set = False


def _set_worker_pids(loader: int, pids: Iterable[int]) -> None:
    """Watch the processes ``pids`` for the loader of that id."""
    if loader in _pids:
        raise ValueError("_set_worker_pids should be called only once for each _BaseDataLoaderIter.")
    _pids[loader] = tuple(pids)


def _remove_worker_pids(loader: int) -> None:
    """Watch a loader's processes no longer."""
    if loader not in _pids:
        raise ValueError("Cannot find worker information for _BaseDataLoaderIter with id " + str(loader))
    del _pids[loader]


def _error_if_any_worker_fails() -> None:
    """Raise RuntimeError when a watched process has failed; it stays for its parent to join."""
    if sys.platform == "win32":
        return
    for loader, pids in list(_pids.items()):
        for pid in pids:
            try:
                end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:  # joined already, and not failed as far as its parent knows
                continue
            if end is None or (end.si_code == os.CLD_EXITED and end.si_status == 0):
                continue
            _pids[loader] = ()  # said once: shutting down the others must not say it again
            if end.si_code == os.CLD_EXITED:
                raise RuntimeError(
                    f"DataLoader worker (pid {pid}) exited unexpectedly with exit code "
                    f"{end.si_status}. Details are lost due to multiprocessing. Rerunning with "
                    "num_workers=0 may give better error trace."
                )
            raise RuntimeError(
                f"DataLoader worker (pid {pid}) is killed by signal: {signal.strsignal(end.si_status)}. "
            )


def _set_SIGCHLD_handler() -> None:
    """Look for failed workers whenever a child process ends; only the main thread can set this."""
    global _handler_set
    if sys.platform == "win32" or _handler_set or threading.current_thread() is not threading.main_thread():
        return
    previous = signal.getsignal(signal.SIGCHLD)

    def look(number: int, frame: Any) -> None:
        _error_if_any_worker_fails()
        if callable(previous):
            previous(number, frame)

    signal.signal(signal.SIGCHLD, look)
    _handler_set = True


def _set_worker_signal_handlers() -> None:
    """In a worker: write where it was to the error stream when a fatal signal ends it."""
    faulthandler.enable()

"""Python's ``multiprocessing``, whose queues and pipes hand over tensors by sharing their memory."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing import *  # noqa: F403

from flowtorch.multiprocessing.reductions import init_reductions
from flowtorch.multiprocessing.spawn import (
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    ProcessRaisedException,
    spawn,
    start_processes,
)

__all__ = [
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "init_reductions",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
    *multiprocessing.__all__,  # type: ignore[attr-defined]
]

_strategies = {"file_descriptor"} if sys.platform == "linux" else {"file_system"}
_strategy = next(iter(_strategies))


def get_all_sharing_strategies() -> set[str]:
    """The ways of sharing memory that this system has."""
    return set(_strategies)


def get_sharing_strategy() -> str:
    """The way of sharing memory in use."""
    return _strategy


def set_sharing_strategy(new_strategy: str) -> None:
    """Choose how memory is shared; "file_system" is accepted on Linux and does what "file_descriptor" does."""
    global _strategy
    if new_strategy not in {*_strategies, "file_system"}:
        raise AssertionError(
            f"invalid sharing strategy: {new_strategy!r}; expected one of {sorted(get_all_sharing_strategies())}"
        )
    _strategy = new_strategy


init_reductions()

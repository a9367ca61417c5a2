"""Start and stop a profiler that watches the process from outside (Nsight)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from flowtorch.cuda.runtime import cudart


def start() -> None:
    """Let an outside profiler begin."""
    runtime = cudart()
    if runtime is not None:
        runtime.profilerStart()


def stop() -> None:
    """Let an outside profiler end."""
    runtime = cudart()
    if runtime is not None:
        runtime.profilerStop()


@contextlib.contextmanager
def profile() -> Iterator[None]:
    """A context that an outside profiler watches."""
    start()
    try:
        yield
    finally:
        stop()

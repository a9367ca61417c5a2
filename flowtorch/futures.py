"""Results that may not be there yet, and callbacks for when they are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")


class Future(Generic[T]):
    """A value that is set once, by whichever thread, and waited for by others."""

    def __init__(self, *, devices: Any = None) -> None:
        self._ready = threading.Condition()
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable] = []

    def done(self) -> bool:
        """Whether there is a value or an exception."""
        return self._done

    def wait(self) -> T:
        """Block until there is a value, and return it; raise what ``set_exception`` was given."""
        with self._ready:
            self._ready.wait_for(lambda: self._done)
        return self.value()

    def value(self) -> T:
        """The value of a completed future; RuntimeError before that."""
        if not self._done:
            raise RuntimeError("Future has not been completed yet: call wait() first")
        if self._error is not None:
            raise self._error
        return self._value

    def set_result(self, result: T) -> None:
        """Complete the future with a value."""
        self._complete(result, None)

    def set_exception(self, result: Any) -> None:
        """Complete the future with an exception."""
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._complete(None, result)

    def _complete(self, value: Any, error: BaseException | None) -> None:
        with self._ready:
            if self._done:
                raise RuntimeError(
                    "Attempting to mark a completed Future as complete again. Note that a Future can only be marked "
                    "completed once."
                )
            self._value, self._error, self._done = value, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._ready.notify_all()
        for callback in callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Future[T]], None]) -> None:
        """Call ``callback(self)`` once the future is complete: at once if it is."""
        with self._ready:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback: Callable[[Future[T]], Any]) -> Future:
        """Return a future of ``callback(self)``, which runs once this one is complete."""
        after: Future = Future()

        def run(me: Future[T]) -> None:
            try:
                after.set_result(callback(me))
            except Exception as error:
                after.set_exception(error)

        self.add_done_callback(run)
        return after


def collect_all(futures: list[Future]) -> Future[list[Future]]:
    """Return a future of the list of futures, which is complete when all of them are."""
    together: Future = Future()
    left = len(futures)
    lock = threading.Lock()
    if not futures:
        together.set_result([])

    def one_done(_: Future) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            together.set_result(futures)

    for future in futures:
        future.add_done_callback(one_done)
    return together


def wait_all(futures: list[Future]) -> list:
    """Wait for all futures and return their values; raise the first exception."""
    return [future.wait() for future in collect_all(futures).wait()]

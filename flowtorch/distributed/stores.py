"""Stores of keys and values by which processes find each other and exchange small things."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NoReturn

from flowtorch.distributed import DistStoreError, QueueEmptyError

DEFAULT_TIMEOUT = timedelta(seconds=300)


def as_bytes(call: str, *values: Any) -> list[bytes]:
    """Keys and values as they are kept; TypeError in the words of PyTorch for what is neither text nor bytes."""
    for value in values:
        if not isinstance(value, (str, bytes)):
            raise TypeError(
                f"{call}(): incompatible function arguments. Keys are str and values str or bytes, "
                f"got {type(value).__name__}"
            )
    return [v.encode() if isinstance(v, str) else v for v in values]


class Table:
    """What a store holds. Every method may be called from any thread; those with ``seconds`` wait for keys."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.queues: dict[bytes, deque[bytes]] = {}
        self.changed = threading.Condition()

    def set(self, key: bytes, value: bytes) -> None:
        """Store a value."""
        with self.changed:
            self.values[key] = value
            self.changed.notify_all()

    def add(self, key: bytes, amount: int) -> int:
        """Add to a counter, which starts at zero, and return it."""
        with self.changed:
            total = int(self.values.get(key, b"0")) + amount
            self.set(key, str(total).encode())
            return total

    def append(self, key: bytes, value: bytes) -> None:
        """Add to the end of a value."""
        with self.changed:
            self.set(key, self.values.get(key, b"") + value)

    def compare_set(self, key: bytes, expected: bytes, desired: bytes) -> bytes:
        """Store ``desired`` if the value is ``expected`` (b"" for none yet); return what the value then is."""
        with self.changed:
            if key not in self.values and expected:
                return expected
            if self.values.get(key, b"") == expected:
                self.set(key, desired)
            return self.values[key]

    def delete(self, key: bytes) -> bool:
        """Remove a key; say whether it was there."""
        with self.changed:
            return self.values.pop(key, None) is not None

    def check(self, keys: Sequence[bytes]) -> bool:
        """Say whether all keys are there."""
        return all(key in self.values for key in keys)

    def wait(self, keys: Sequence[bytes], seconds: float) -> bool:
        """Wait until all keys are there; say whether they came in time."""
        with self.changed:
            return self.changed.wait_for(lambda: self.check(keys), seconds)

    def push(self, key: bytes, value: bytes) -> None:
        """Put a value at the end of a queue."""
        with self.changed:
            self.queues.setdefault(key, deque()).append(value)
            self.changed.notify_all()

    def pop(self, key: bytes, seconds: float) -> bytes | None:
        """Take the first value of a queue, which may have to come first; None if none came in time."""
        with self.changed:
            self.changed.wait_for(lambda: self.queues.get(key), seconds)
            return self.queues[key].popleft() if self.queues.get(key) else None


class Store:
    """Base class of stores: keys with values, which processes or threads set and wait for."""

    _timeout = DEFAULT_TIMEOUT

    @property
    def timeout(self) -> timedelta:
        """How long ``get`` and ``wait`` wait for a key."""
        return self._timeout

    def set_timeout(self, timeout: timedelta, /) -> None:
        """Change how long ``get`` and ``wait`` wait for a key."""
        if not isinstance(timeout, timedelta):
            raise TypeError("set_timeout(): incompatible function arguments. The timeout is a datetime.timedelta")
        self._timeout = timeout

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"cannot pickle 'torch._C._distributed_c10d.{type(self).__name__}' object")

    # What a kind of store has to provide, on bytes.

    def _call(self, name: str, *values: Any, timeout: timedelta | None = None) -> Any:
        """Do what ``Table``'s method ``name`` does; ``timeout`` is for those that wait."""
        raise NotImplementedError(f"{type(self).__name__}.{name}: not implemented by this store")

    # What all stores have.

    def set(self, key: str, value: str | bytes, /) -> None:
        """Store a value, in place of one that is there."""
        self._call("set", *as_bytes("set", key, value))

    def get(self, key: str, /) -> bytes:
        """Return a key's value; wait for it until the timeout, then raise DistStoreError."""
        return self.multi_get([key])[0]

    def add(self, key: str, amount: int, /) -> int:
        """Add to the counter of this name, which starts at zero, and return its new value."""
        if not isinstance(amount, int):
            raise TypeError(f"add(): incompatible function arguments. The amount is an int, got {amount!r}")
        return self._call("add", *as_bytes("add", key), amount)

    def append(self, key: str, value: str | bytes, /) -> None:
        """Add to the end of a key's value."""
        self._call("append", *as_bytes("append", key, value))

    def compare_set(self, key: str, expected: str | bytes, desired: str | bytes, /) -> bytes:
        """Store ``desired`` if the key's value is ``expected`` ("" for none yet); return the value that then holds."""
        return self._call("compare_set", *as_bytes("compare_set", key, expected, desired))

    def check(self, keys: Sequence[str], /) -> bool:
        """Say whether all the keys are there."""
        return self._call("check", as_bytes("check", *_several("check", keys)))

    def wait(self, keys: Sequence[str], timeout: timedelta | None = None, /) -> None:
        """Wait until all the keys are there, until the timeout, then raise DistStoreError."""
        limit = self._timeout if timeout is None else timeout
        if not self._call("wait", as_bytes("wait", *_several("wait", keys)), timeout=limit):
            raise DistStoreError(
                f"wait timeout after {round(limit / timedelta(milliseconds=1))}ms, keys: {', '.join(keys)}"
            )

    def multi_get(self, keys: Sequence[str], /) -> list[bytes]:
        """Return the values of several keys, having waited for all of them."""
        self.wait(keys)
        return [self._call("value", key) for key in as_bytes("get", *_several("get", keys))]

    def multi_set(self, keys: Sequence[str], values: Sequence[str | bytes], /) -> None:
        """Store several values."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def delete_key(self, key: str, /) -> bool:
        """Remove a key; say whether it was there."""
        return self._call("delete", *as_bytes("delete_key", key))

    def list_keys(self) -> list[str]:
        """Return the names of all keys."""
        return [key.decode() for key in self._call("keys")]

    def num_keys(self) -> int:
        """Return how many keys there are."""
        return len(self._call("keys"))

    def queue_push(self, key: str, value: str | bytes, /) -> None:
        """Put a value at the end of the queue of this name."""
        self._call("push", *as_bytes("queue_push", key, value))

    def queue_pop(self, key: str, block: bool = True) -> bytes:
        """Take the first value of a queue; one is waited for, unless ``block`` is false: then QueueEmptyError."""
        value = self._call("pop", *as_bytes("queue_pop", key), timeout=self._timeout if block else timedelta())
        if value is None:
            raise DistStoreError("Wait timeout") if block else QueueEmptyError("queue is empty")
        return value

    def queue_len(self, key: str, /) -> int:
        """Return how many values a queue holds."""
        return self._call("length", *as_bytes("queue_len", key))

    def barrier(self, key: str, world_size: int, timeout: timedelta | None = None) -> None:
        """Wait until this has been called ``world_size`` times for the key."""
        if self.add(f"{key}/arrived", 1) == world_size:
            self.set(f"{key}/all", "")
        self.wait([f"{key}/all"], timeout)

    def has_extended_api(self) -> bool:
        """Whether ``append``, ``multi_get`` and ``multi_set`` are there."""
        return True


def _several(call: str, keys: Any) -> Any:
    if isinstance(keys, (str, bytes)):
        raise TypeError(f"{call}(): incompatible function arguments. A sequence of keys is needed, not {keys!r}")
    return keys


# How a table answers each call of a store, given the seconds that it may wait.
ANSWERS: dict[str, Callable[..., Any]] = {
    "set": lambda table, seconds, key, value: table.set(key, value),
    "value": lambda table, seconds, key: table.values[key],
    "add": lambda table, seconds, key, amount: table.add(key, amount),
    "append": lambda table, seconds, key, value: table.append(key, value),
    "compare_set": lambda table, seconds, *values: table.compare_set(*values),
    "check": lambda table, seconds, keys: table.check(keys),
    "wait": lambda table, seconds, keys: table.wait(keys, seconds),
    "delete": lambda table, seconds, key: table.delete(key),
    "keys": lambda table, seconds: list(table.values),
    "push": lambda table, seconds, key, value: table.push(key, value),
    "pop": lambda table, seconds, key: table.pop(key, seconds),
    "length": lambda table, seconds, key: len(table.queues.get(key, ())),
}


class HashStore(Store):
    """A store for the threads of one process."""

    def __init__(self) -> None:
        self._table = Table()

    def _call(self, name: str, *values: Any, timeout: timedelta | None = None) -> Any:
        return ANSWERS[name](self._table, (timeout or timedelta()).total_seconds(), *values)

    def clone(self) -> HashStore:
        """Another store that holds the same."""
        other = HashStore()
        other._table, other._timeout = self._table, self._timeout
        return other


class PrefixStore(Store):
    """A view of another store: every key begins with ``prefix/`` there."""

    def __init__(self, prefix: str, store: Store) -> None:
        self._prefix, self._store = prefix, store
        self._timeout = store.timeout

    @property
    def underlying_store(self) -> Store:
        """The store that holds the keys."""
        return self._store

    @property
    def _underlying_non_prefix_store(self) -> Store:
        return self._store._underlying_non_prefix_store if isinstance(self._store, PrefixStore) else self._store

    def set_timeout(self, timeout: timedelta, /) -> None:
        """Change how long ``get`` and ``wait`` wait for a key, here and in the store below."""
        super().set_timeout(timeout)
        self._store.set_timeout(timeout)

    def _call(self, name: str, *values: Any, timeout: timedelta | None = None) -> Any:
        if values:
            first, *rest = values
            prefix = f"{self._prefix}/".encode()
            values = ([prefix + key for key in first] if isinstance(first, list) else prefix + first, *rest)
        return self._store._call(name, *values, timeout=timeout)

    def clone(self) -> PrefixStore:
        """Another view, of a clone of the store."""
        return PrefixStore(self._prefix, self._store.clone())  # type: ignore[attr-defined]


def remaining(deadline: float) -> float:
    """The seconds until a time of ``time.monotonic``."""
    return max(0.0, deadline - time.monotonic())

"""Pipes that join pipes, and that divide one among several."""

from __future__ import annotations

import copy as copying
import itertools
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from flowtorch.utils.data.datapipes._decorator import functional_datapipe
from flowtorch.utils.data.datapipes.datapipe import IterDataPipe
from flowtorch.utils.data.datapipes.utils.common import _check_unpickable_fn, length

__all__ = [
    "ConcaterIterDataPipe",
    "DemultiplexerIterDataPipe",
    "ForkerIterDataPipe",
    "MultiplexerIterDataPipe",
    "ZipperIterDataPipe",
]


@functional_datapipe("concat")
class ConcaterIterDataPipe(IterDataPipe):
    """Pipes one after another."""

    def __init__(self, *datapipes: Any) -> None:
        if not datapipes:
            raise ValueError("Expected at least one DataPipe, but got nothing")
        if not all(isinstance(pipe, IterDataPipe) for pipe in datapipes):
            raise TypeError("Expected all inputs to be `IterDataPipe`")
        self.datapipes = datapipes

    def __iter__(self) -> Iterator:
        yield from itertools.chain.from_iterable(self.datapipes)

    def __len__(self) -> int:
        return sum(length(self, pipe) for pipe in self.datapipes)


@functional_datapipe("zip")
class ZipperIterDataPipe(IterDataPipe):
    """Tuples of the samples of pipes, as long as the shortest."""

    def __init__(self, *datapipes: Any) -> None:
        if not all(isinstance(pipe, IterDataPipe) for pipe in datapipes):
            raise TypeError("All inputs are required to be `IterDataPipe` for `ZipIterDataPipe`.")
        self.datapipes = datapipes

    def __iter__(self) -> Iterator:
        yield from zip(*self.datapipes, strict=False)

    def __len__(self) -> int:
        return min(length(self, pipe) for pipe in self.datapipes)


@functional_datapipe("mux")
class MultiplexerIterDataPipe(IterDataPipe):
    """One sample of each pipe in turn, until the shortest ends."""

    def __init__(self, *datapipes: Any) -> None:
        self.datapipes = datapipes

    def __iter__(self) -> Iterator:
        for row in zip(*self.datapipes, strict=False):
            yield from row

    def __len__(self) -> int:
        return min(length(self, pipe) for pipe in self.datapipes) * len(self.datapipes)


class _Divided(IterDataPipe):
    """One pipe read by several children, each with a buffer of what others have read for it."""

    def __init__(self, datapipe: Any, count: int, buffer_size: int, name: str, what: str) -> None:
        self.main_datapipe, self.num_instances, self.buffer_size, self.name = datapipe, count, buffer_size, name
        if buffer_size < 0:
            warnings.warn(
                f"Unlimited buffer size is set for `{what}`, please be aware of OOM at random places",
                UserWarning,
                stacklevel=4,
            )
        self.reset()

    def reset(self) -> None:
        """Forget everything that was read."""
        self.source: Iterator | None = None
        self.ended = False
        self.started = [False] * self.num_instances
        self.buffers: list[deque] = [deque() for _ in range(self.num_instances)]

    def share(self, item: Any) -> list[tuple[int, Any]]:
        """Who gets an item."""
        raise NotImplementedError

    def begin(self, child: int) -> None:
        """Start an iteration of one child; a second one starts all again."""
        if self.started[child]:
            if not (self.ended and not any(self.buffers)):
                warnings.warn(
                    "Some child DataPipes are not exhausted when __iter__ is called. We are resetting "
                    "the buffer and each child DataPipe will read from the start again.",
                    UserWarning,
                    stacklevel=5,
                )
            self.reset()
        self.started[child] = True

    def read(self, child: int) -> Iterator:
        """The items of one child."""
        while True:
            if self.buffers[child]:
                yield self.buffers[child].popleft()
                continue
            if self.ended:
                return
            if self.source is None:
                self.source = iter(self.main_datapipe)
            try:
                item = next(self.source)
            except StopIteration:
                self.ended = True
                continue
            for other, part in self.share(item):
                self.buffers[other].append(part)
            if 0 <= self.buffer_size < self.held(child):
                raise BufferError(f"{self.name} buffer overflow, buffer size {self.buffer_size} is insufficient.")

    def held(self, child: int) -> int:
        """How much is kept for the other children."""
        raise NotImplementedError

    def __getstate__(self) -> Any:
        # Neither the iterator nor what it has read can be sent: the copy starts anew.
        state = dict(self.__dict__)
        state.update(source=None, ended=False, buffers=[deque() for _ in self.buffers])
        return {**state, "started": [False] * self.num_instances}


class _ChildDataPipe(IterDataPipe):
    """One of the pipes that another is divided into."""

    def __init__(self, main_datapipe: _Divided, instance_id: int) -> None:
        self.main_datapipe, self.instance_id = main_datapipe, instance_id

    def reset(self) -> None:
        """Start an iteration."""
        self.main_datapipe.begin(self.instance_id)

    def __iter__(self) -> Iterator:
        return self.main_datapipe.read(self.instance_id)

    def __len__(self) -> int:
        if isinstance(self.main_datapipe, _Fork):
            return length(self, self.main_datapipe.main_datapipe)
        raise TypeError(f"{type(self).__name__} instance doesn't have valid length")


class _Fork(_Divided):
    def __init__(self, datapipe: Any, count: int, buffer_size: int, copy: str | None) -> None:
        copies: dict[str | None, Callable] = {None: _itself, "shallow": copying.copy, "deep": copying.deepcopy}
        if copy not in copies:
            raise ValueError(f"Unknown copy method `{copy}` requested, choose one of None, `shallow` or `deep`.")
        self.copy_fn = copies[copy]
        super().__init__(datapipe, count, buffer_size, "ForkerIterDataPipe", "fork")

    def share(self, item: Any) -> list[tuple[int, Any]]:
        return [(child, self.copy_fn(item)) for child in range(self.num_instances)]

    def held(self, child: int) -> int:
        return max(map(len, self.buffers)) - 1


def _itself(item: Any) -> Any:
    return item


@functional_datapipe("fork")
class ForkerIterDataPipe(IterDataPipe):
    """Several pipes that each have all samples of one."""

    def __new__(  # type: ignore[misc]
        cls, datapipe: Any, num_instances: int, buffer_size: int = 1000, copy: str | None = None
    ) -> Any:
        if num_instances < 1:
            raise ValueError(f"Expected `num_instances` larger than 0, but {num_instances} is found")
        if num_instances == 1:
            return datapipe
        main = _Fork(datapipe, num_instances, buffer_size, copy)
        return [_ChildDataPipe(main, i) for i in range(num_instances)]


class _Demultiplexer(_Divided):
    def __init__(self, datapipe: Any, count: int, classifier_fn: Callable, drop_none: bool, buffer_size: int) -> None:
        self.classifier_fn, self.drop_none = classifier_fn, drop_none
        super().__init__(datapipe, count, buffer_size, "DemultiplexerIterDataPipe", "demux")

    def share(self, item: Any) -> list[tuple[int, Any]]:
        which = self.classifier_fn(item)
        if which is None and self.drop_none:
            return []
        if which is None or not 0 <= which < self.num_instances:
            raise ValueError(
                f"Output of the classification fn should be between 0 and {self.num_instances - 1}. "
                f"{which} is returned."
            )
        return [(which, item)]

    def held(self, child: int) -> int:
        return sum(map(len, self.buffers)) - len(self.buffers[child])


@functional_datapipe("demux")
class DemultiplexerIterDataPipe(IterDataPipe):
    """Several pipes, each with the samples of one that a function gives its number."""

    def __new__(  # type: ignore[misc]
        cls,
        datapipe: Any,
        num_instances: int,
        classifier_fn: Callable,
        drop_none: bool = False,
        buffer_size: int = 1000,
    ) -> Any:
        if num_instances < 1:
            raise ValueError(f"Expected `num_instances` larger than 0, but {num_instances} is found")
        _check_unpickable_fn(classifier_fn)
        main = _Demultiplexer(datapipe, num_instances, classifier_fn, drop_none, buffer_size)
        return [_ChildDataPipe(main, i) for i in range(num_instances)]

"""The base classes of data pipes: functional methods, one valid iterator at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, TypeVar

from flowtorch.utils.data.dataset import Dataset, IterableDataset

__all__ = ["DFIterDataPipe", "DataChunk", "IterDataPipe", "MapDataPipe"]

T_co = TypeVar("T_co", covariant=True)


class DataChunk(list):
    """A list of samples: a batch that ``unbatch`` takes apart again."""

    def __init__(self, items: Iterable) -> None:
        super().__init__(items)
        self.items = list(self)

    def as_str(self, indent: str = "") -> str:
        """The samples as text."""
        return indent + "[" + ", ".join(map(str, self)) + "]"

    def raw_iterator(self) -> Iterator:
        """Iterate over the samples as they were given."""
        yield from self.items


class _Functional:
    """Gives a family of pipes the methods that its members are registered under."""

    functions: ClassVar[dict[str, Callable]] = {}

    def __getattr__(self, name: str) -> Any:
        if name in type(self).functions:
            return functools.partial(type(self).functions[name], self)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @classmethod
    def register_function(cls, function_name: str, function: Callable) -> None:
        """Make ``function`` a method of all pipes of the family."""
        cls.functions[function_name] = function

    @classmethod
    def register_datapipe_as_function(
        cls, function_name: str, cls_to_register: Callable, enable_df_api_tracing: bool = False
    ) -> None:
        """Make the construction of a pipe a method of all pipes of the family."""
        if function_name in cls.functions:
            raise Exception(f"Unable to add DataPipe function name {function_name} as it is already taken")
        cls.functions[function_name] = cls_to_register

    def __repr__(self) -> str:
        return type(self).__qualname__

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *type(self).functions]

    def __getstate__(self) -> Any:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class IterDataPipe(_Functional, IterableDataset[T_co]):
    """A pipe that is iterated. A new iterator resets the pipe and makes the one before it invalid."""

    functions: ClassVar[dict[str, Callable]] = {}
    _iterations: int = 0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__iter__" in cls.__dict__:
            cls.__iter__ = _single_iterator(cls.__dict__["__iter__"])  # type: ignore[method-assign]

    def __iter__(self) -> Iterator[T_co]:
        return self  # type: ignore[return-value]

    def reset(self) -> None:
        """Go back to the start; called before each iteration."""


def _single_iterator(begin: Callable) -> Callable:
    @functools.wraps(begin)
    def begun(self: Any) -> Iterator:
        self._iterations += 1
        self.reset()
        return _ValidIterator(self, begin(self))

    return begun


class _ValidIterator:
    """An iterator of a pipe as long as it is the last one."""

    def __init__(self, pipe: IterDataPipe, source: Iterator) -> None:
        self.pipe, self.source, self.number = pipe, source, pipe._iterations

    def __iter__(self) -> _ValidIterator:
        return self

    def __next__(self) -> Any:
        if self.pipe._iterations != self.number:
            raise RuntimeError(
                "This iterator has been invalidated because another iterator has been created from the same "
                f"IterDataPipe: {self.pipe!r}. This may be caused by multiple references to the same IterDataPipe; "
                "consider `.fork` if that is necessary."
            )
        return next(self.source)


class DFIterDataPipe(IterDataPipe[T_co]):
    """A pipe of data frames."""

    def _is_dfpipe(self) -> bool:
        return True


class MapDataPipe(_Functional, Dataset[T_co]):
    """A pipe that is indexed."""

    functions: ClassVar[dict[str, Callable]] = {}


class _SerializationWrapper:
    """A pipe inside another, which pickles with it: a name that loaders outside PyTorch import."""

    def __init__(self, datapipe: Any) -> None:
        self._datapipe = datapipe

    def __len__(self) -> int:
        return len(self._datapipe)


class _IterDataPipeSerializationWrapper(_SerializationWrapper, IterDataPipe):
    def __iter__(self) -> Iterator[Any]:
        yield from self._datapipe


class _MapDataPipeSerializationWrapper(_SerializationWrapper, MapDataPipe):
    def __getitem__(self, index: Any) -> Any:
        return self._datapipe[index]

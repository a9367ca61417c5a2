"""Checks of functions, file names and open files for data pipes."""

from __future__ import annotations

import fnmatch
import functools
import inspect
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any


def _check_unpickable_fn(fn: Any) -> None:
    """Refuse what cannot be called, and warn of functions that cannot be sent to worker processes."""
    if not callable(fn):
        raise TypeError(f"A callable function is expected, but {type(fn)} is provided.")
    while isinstance(fn, functools.partial):
        fn = fn.func
    kind = None
    code = getattr(fn, "__code__", None)
    if code is not None and code.co_flags & inspect.CO_NESTED:
        kind = "Local"
    elif getattr(fn, "__name__", None) == "<lambda>":
        kind = "Lambda"
    if kind:
        warnings.warn(
            f"{kind} function is not supported by pickle, please use regular python function or "
            "functools.partial instead.",
            stacklevel=3,
        )


def selected(data: Any, columns: Any) -> tuple:
    """The arguments for a function of some columns of a sample; of the whole sample when None."""
    if columns is None:
        return (data,)
    if isinstance(columns, (list, tuple)):
        return tuple(data[column] for column in columns)
    return (data[columns],)


def validate_input_col(fn: Callable, input_col: Any) -> None:
    """Raise ValueError where a function cannot take as many arguments as there are columns."""
    try:
        signature = inspect.signature(fn)
    except ValueError:
        return
    count = len(input_col) if isinstance(input_col, (list, tuple)) else 1
    name = getattr(fn, "__name__", None) or getattr(getattr(fn, "func", None), "__name__", repr(fn))
    required = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if required:
        raise ValueError(
            f"The function {name} takes {len(required)} non-default keyword-only parameters, which is not allowed."
        )
    try:
        signature.bind(*range(count))
    except TypeError:
        positional = [
            p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        what = "positional parameters" if len(signature.parameters) >= count else "parameters"
        raise ValueError(f"The function {name} takes {len(positional)} {what}, but {count} are required.") from None


def length(pipe: Any, of: Any) -> int:
    """The length of ``of``; TypeError that names ``pipe`` where it has none."""
    try:
        return len(of)
    except TypeError:
        raise TypeError(f"{type(pipe).__name__} instance doesn't have valid length") from None


def match_masks(name: str, masks: str | list[str]) -> bool:
    """Whether a file name fits one of the patterns; no pattern fits all."""
    patterns = [masks] if isinstance(masks, str) else masks
    return not masks or any(fnmatch.fnmatch(name, mask) for mask in patterns)


def get_file_pathnames_from_root(
    root: str, masks: str | list[str], recursive: bool = False, abspath: bool = False, non_deterministic: bool = False
) -> Iterator[str]:
    """The files below a folder (or the one file) whose names fit, in the order of their names."""
    if os.path.isfile(root):
        if match_masks(os.path.basename(root), masks):
            yield os.path.abspath(root) if abspath else root
        return

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(root, onerror=fail):
        if not non_deterministic:
            folders.sort()
            files.sort()
        place = os.path.abspath(folder) if abspath else folder
        yield from (os.path.join(place, name) for name in files if match_masks(name, masks))
        if not recursive:
            return


class StreamWrapper:
    """An open file that is closed when nobody refers to it any more."""

    def __init__(self, file_obj: Any, parent_stream: Any = None, name: str | None = None) -> None:
        self.file_obj, self.parent_stream, self.name, self.closed = file_obj, parent_stream, name, False

    @classmethod
    def close_streams(cls, v: Any, depth: int = 0) -> None:
        """Close the streams in a nested sample."""
        if isinstance(v, cls):
            v.close()
        elif depth < 10 and isinstance(v, dict):
            for item in v.values():
                cls.close_streams(item, depth + 1)
        elif depth < 10 and isinstance(v, (list, tuple)):
            for item in v:
                cls.close_streams(item, depth + 1)

    def close(self, *args: Any, **kwargs: Any) -> None:
        """Close the file."""
        self.file_obj.close()
        self.closed = True

    def autoclose(self) -> None:
        """Close the file."""
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["file_obj"], name)

    def __iter__(self) -> Iterator:
        return iter(self.file_obj)

    def __next__(self) -> Any:
        return next(self.file_obj)

    def __repr__(self) -> str:
        return f"StreamWrapper<{self.name if self.name is not None else self.file_obj!r}>"

    def __del__(self) -> None:
        if not self.closed and hasattr(self.__dict__.get("file_obj"), "close"):
            self.close()

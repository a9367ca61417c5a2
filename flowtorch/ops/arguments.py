"""Checks of arguments that are no tensors, with PyTorch's TypeError. They are for functions whose cost hides them."""
from __future__ import annotations

from typing import Any


def _refuse(name: str, parameter: str, position: int, kind: str, value: Any) -> TypeError:
    return TypeError(f"{name}(): argument '{parameter}' (position {position}) must be {kind}, not "
                     f"{type(value).__name__}")


def need_int(name: str, parameter: str, position: int, value: Any) -> int:
    """``value`` as an int; floats, bools and text are refused."""
    if type(value) is int:
        return value
    if isinstance(value, (bool, float, str)) or not hasattr(value, "__index__"):
        raise _refuse(name, parameter, position, "int", value)
    return value.__index__()


def need_ints(name: str, parameter: str, position: int, value: Any) -> None:
    """Refuse a sequence (or a single value) that holds anything but integers."""
    if not isinstance(value, (tuple, list)):
        if isinstance(value, (bool, float, str)) or not hasattr(value, "__index__"):
            raise _refuse(name, parameter, position, "tuple of ints", value)
        return
    for k, n in enumerate(value):
        if type(n) is not int and (isinstance(n, (bool, float, str)) or not hasattr(n, "__index__")):
            raise TypeError(f"{name}(): argument '{parameter}' failed to unpack the object at pos {k + 1} with error "
                            f"\"type must be tuple of ints,but got {type(n).__name__}\"")


def need_bool(name: str, parameter: str, position: int, value: Any) -> None:
    """Refuse what is not True or False."""
    if value is not True and value is not False:
        raise _refuse(name, parameter, position, "bool", value)


def need_number(name: str, parameter: str, position: int, value: Any) -> None:
    """Refuse what is no number (0-d tensors and arrays count as such)."""
    if isinstance(value, (str, bytes, list, tuple, dict)) or value is None:
        raise _refuse(name, parameter, position, "Number", value)


def int_tuple(name: str, parameter: str, position: int, value: Any) -> tuple[int, ...]:
    """A tuple of ints from a sequence of them, or from one."""
    need_ints(name, parameter, position, value)
    return tuple([n.__index__() for n in value]) if isinstance(value, (tuple, list)) else (value.__index__(),)

"""Conditions that programs state: ``torch._check`` and its kin, ``torch._assert``."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from flowtorch import dtypes, overrides
from flowtorch.tensor import Tensor

_UNSAID = "Expected cond to be True, but got False. (This message can be improved by giving one.)"


def _check_with(error_type: type, cond: Any, message: Callable[[], str] | None = None) -> None:
    """Raise ``error_type`` with what ``message()`` returns unless ``cond`` is true."""
    if not isinstance(cond, builtins.bool):
        if isinstance(cond, Tensor):
            raise TypeError(
                "cond must be a bool, but got a Tensor. For tensor conditions, use torch._check_tensor_all() to "
                "assert that all elements are true."
            )
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if not cond:
        raise error_type(_said(message))


def _said(message: Callable[[], str] | None) -> str:
    if message is None:
        return _UNSAID
    if not callable(message):
        raise TypeError("message must be a callable")
    return str(message())


def _check(cond: Any, message: Callable[[], str] | None = None) -> None:
    """RuntimeError unless ``cond`` is true."""
    _check_with(RuntimeError, cond, message)


def _check_index(cond: Any, message: Callable[[], str] | None = None) -> None:
    """IndexError unless ``cond`` is true."""
    _check_with(IndexError, cond, message)


def _check_value(cond: Any, message: Callable[[], str] | None = None) -> None:
    """ValueError unless ``cond`` is true."""
    _check_with(ValueError, cond, message)


def _check_type(cond: Any, message: Callable[[], str] | None = None) -> None:
    """TypeError unless ``cond`` is true."""
    _check_with(TypeError, cond, message)


def _check_not_implemented(cond: Any, message: Callable[[], str] | None = None) -> None:
    """NotImplementedError unless ``cond`` is true."""
    _check_with(NotImplementedError, cond, message)


def _check_is_size(i: Any, message: Callable[[], str] | None = None, *, max: int | None = None) -> None:
    """RuntimeError unless 0 <= i, and i <= max if that is given."""
    _check(i >= 0 and (max is None or i <= max), message)


def _check_tensor_all_with(error_type: type, cond: Any, message: Callable[[], str] | None = None) -> None:
    """Raise ``error_type`` unless all elements of a bool tensor are true."""
    if not isinstance(cond, Tensor):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    if cond.dtype != dtypes.bool_:
        raise TypeError(f"cond tensor must have dtype torch.bool, but got {cond.dtype}")
    _check_with(error_type, builtins.bool(cond.all().item()), message)


def _check_tensor_all(cond: Any, message: Callable[[], str] | None = None) -> None:
    """RuntimeError unless all elements of a bool tensor are true."""
    _check_tensor_all_with(RuntimeError, cond, message)


def _assert(condition: Any, message: str) -> Any:
    """AssertionError unless the condition is true."""
    if type(condition) is not Tensor and overrides.has_torch_function((condition,)):
        return overrides.handle_torch_function(_assert, (condition,), condition, message)
    assert condition, message
    return None


def _assert_async(input: Tensor, assert_msg: str = "Expected Tensor with single nonzero value, but got zero") -> None:
    """RuntimeError unless the one element of ``input`` is nonzero."""
    if not builtins.bool(input):
        raise RuntimeError(assert_msg)

"""cuDNN, which flowtorch does not use: its flags are kept for programs that set them."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from . import switches

enabled = True
benchmark = False
benchmark_limit: int | None = 10
deterministic = False
allow_tf32 = True
fp32_precision = "none"


class _Precision:
    """What one kind of layer computes float32 in; convolutions are the kind on which this has an effect."""

    def __init__(self, flag: str) -> None:
        self._flag = flag

    @property
    def fp32_precision(self) -> str:
        """"tf32" or "ieee"."""
        return "tf32" if globals()[self._flag] else "ieee"

    @fp32_precision.setter
    def fp32_precision(self, precision: str) -> None:
        if precision not in ("ieee", "tf32", "none"):
            raise RuntimeError(f"Unknown precision: {precision}; layers know 'ieee', 'tf32' and 'none'")
        globals()[self._flag] = precision != "ieee"


_rnn_tf32 = True
conv, rnn = _Precision("allow_tf32"), _Precision("_rnn_tf32")


def is_available() -> bool:
    """Whether cuDNN is there."""
    return False


def version() -> int | None:
    """The version of cuDNN, None without it."""
    return None


def is_acceptable(tensor: Any) -> bool:
    """Whether cuDNN would take the tensor."""
    return False


def _flags(values: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("_"): value for name, value in values.items()}


def set_flags(
    _enabled: bool | None = None,
    _benchmark: bool | None = None,
    _benchmark_limit: int | None = None,
    _deterministic: bool | None = None,
    _allow_tf32: bool | None = None,
    _fp32_precision: str = "none",
) -> tuple[Any, ...]:
    """Set flags and return the former values of all of them."""
    values = _flags(locals())
    module = sys.modules[__name__]
    former = tuple(getattr(module, name) for name in values)
    switches.set_all(module, values)
    return former


def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
    fp32_precision: str = "none",
) -> contextlib.AbstractContextManager[None]:
    """Set flags for the length of a ``with`` block."""
    return switches.held(sys.modules[__name__], dict(locals()))

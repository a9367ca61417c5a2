"""Anomaly detection: backward stops at the first node that gives nan, and says where the forward call was."""
from __future__ import annotations

import threading
import traceback
import warnings
from typing import Any


class _State(threading.local):
    enabled = False
    check_nan = True


state = _State()


class set_detect_anomaly:
    """Switch anomaly detection on or off: at once, or for a block as a context."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._previous = state.enabled, state.check_nan
        _set(bool(mode), bool(check_nan))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        _set(*self._previous)


class detect_anomaly(set_detect_anomaly):
    """Context in which backward raises RuntimeError at the first nan, after showing the forward call that led to it."""

    def __init__(self, check_nan: bool = True) -> None:
        self._previous = state.enabled, state.check_nan
        self._check_nan = check_nan
        warnings.warn("Anomaly Detection has been enabled. This mode will increase the runtime and should only be "
                      "enabled for "
                      "debugging.", stacklevel=2)

    def __enter__(self) -> None:
        self._previous = state.enabled, state.check_nan
        _set(True, self._check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return state.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether nan in gradients is an error while detection is on."""
    return state.enabled and state.check_nan


def _set(enabled: bool, check_nan: bool) -> None:
    from flowtorch import overrides

    was = state.enabled
    state.enabled, state.check_nan = enabled, check_nan
    if enabled and not was:
        overrides.active.append(_set)         # every call goes through `interpret`, which notes where it was made
    elif was and not enabled:
        overrides.active.remove(_set)


def note_origin(node: Any) -> None:
    """Remember the call stack that made ``node``."""
    node.metadata["traceback_"] = traceback.format_stack()[:-3]


def check(node: Any, grads: tuple) -> None:
    """RuntimeError if a gradient that ``node`` gave has a nan."""
    from flowtorch.tensor import Tensor

    for i, g in enumerate(grads):
        if isinstance(g, Tensor) and g.dtype.rank >= 2 and g.isnan().any().item():      # type: ignore[attr-defined]
            origin = node.metadata.get("traceback_")
            if origin:
                warnings.warn(f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n"
                              + "".join(origin), stacklevel=4)
            raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")

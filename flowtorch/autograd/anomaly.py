"""Anomaly detection: backward stops at the first node that gives nan, and names the op that first made it.

While it is on, every primitive, forward and backward, is watched: a result with nan whose operands had none is noted
with the line that asked for it, and a result with nan from an operand takes over the operand's note. So the error
names the origin of the nan, and not the first derivative that had to pass it on.
"""

from __future__ import annotations

import threading
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np


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
                      "enabled for debugging.", stacklevel=2)

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
    from flowtorch.autograd import provenance

    was, watched = state.enabled, is_anomaly_check_nan_enabled()
    state.enabled, state.check_nan = enabled, check_nan
    if enabled and not was:
        overrides.active.append(_set)         # every call goes through `interpret`, which notes where it was made
        provenance.hold()
    elif was and not enabled:
        overrides.active.remove(_set)
        provenance.drop()
    if is_anomaly_check_nan_enabled() != watched:
        below = overrides.state.below
        overrides.state.below = [w for w in below if w is not watch] if watched else [watch, *below]


def note_origin(node: Any) -> None:
    """Remember the call stack that made ``node``."""
    node.metadata["traceback_"] = traceback.format_stack()[:-3]


# ---------------------------------------------------------------- who made the nan


class Blame(NamedTuple):
    """The op that made a nan out of operands without, or the op to which a nan was given as data."""

    op: str
    place: Any
    operands: str
    given: bool
    backward: str | None                      # the node in whose derivative it happened

    def describe(self) -> str:
        """Two or three lines: what, where, with which operands."""
        where = f" in the derivative computed by {self.backward}" if self.backward else " in the forward pass"
        first = (f"The nan was already in an operand of '{self.op}', which was given it{where}" if self.given else
                 f"The nan was first made by '{self.op}'{where}, from operands without nan ({self.operands})")
        return f"{first}:\n{self.place.describe()}"


_blames: dict[int, tuple[Any, Blame]] = {}     # by the id of an array that holds nan, while the array lives


def blame_of(array: Any) -> Blame | None:
    """Who made the nan in an array, or in the array that it is a view of."""
    while isinstance(array, np.ndarray):
        entry = _blames.get(id(array))
        if entry is not None and entry[0]() is array:
            return entry[1]
        array = array.base
    return None


def _blame(array: Any, blame: Blame) -> None:
    key = id(array)
    _blames[key] = weakref.ref(array, lambda _: _blames.pop(key, None)), blame


def _blame_memory(array: Any, blame: Blame) -> None:
    """``_blame`` for an array that was written into: whoever looks at the same memory sees it too."""
    while isinstance(array, np.ndarray):
        _blame(array, blame)
        array = array.base


def _arrays(values: Any) -> Iterator[Any]:
    """The host arrays among values, lists of tensors included, with what a transform's tensor wraps."""
    from flowtorch.tensor import Tensor

    for v in values:
        if isinstance(v, Tensor):
            if v._type.dtype.rank >= 2 and isinstance(v._array, np.ndarray):
                yield v._array
        elif isinstance(v, (list, tuple)):
            yield from _arrays(v)


def has_nan(array: Any) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.isnan(array).any()) if array.dtype.kind in "fcV" else bool(
            np.isnan(array.astype(np.float32)).any())


class _Watch:
    """Sees every primitive and notes who makes nan."""

    def primitive(self, op: Any, values: list, inplace: bool, run: Callable) -> Any:
        held = next((a for a in _arrays(values) if has_nan(a)), None)
        described = _ranges(values)
        result = run(values)
        if op.name.startswith(("isnan", "empty")):
            return result
        for a in _arrays((result,)):
            if has_nan(a):
                blame = None if held is None else blame_of(held)
                if blame is None:
                    blame = _new_blame(op.name, described, held is not None)
                    if held is not None:
                        _blame(held, blame)
                _blame(a, blame)
                if inplace:
                    _blame_memory(values[0]._array, blame)
        return result


watch = _Watch()


def _ranges(values: Any) -> str:
    parts = []
    for a in _arrays(values):
        if a.size:
            real = np.abs(a) if a.dtype.kind == "c" else a
            kind = "magnitudes" if a.dtype.kind == "c" else "values"
            parts.append(f"{list(a.shape)} with {kind} from {float(real.min()):g} to {float(real.max()):g}")
    return "; ".join(parts) or "none with elements"


def _new_blame(name: str, operands: str, given: bool) -> Blame:
    from flowtorch.autograd.engine import current
    from flowtorch.autograd.provenance import caller, where

    node = current.node
    made = where(node) if node is not None else None
    return Blame(name, made or caller(), operands, given, node.name() if node is not None else None)


def check(node: Any, grads: tuple, g: Any) -> None:
    """RuntimeError if a gradient that ``node`` gave has a nan; ``g`` is what it was given."""
    from flowtorch.tensor import Tensor

    for i, gradient in enumerate(grads):
        if isinstance(gradient, Tensor) and gradient.dtype.rank >= 2 and _nan_in(gradient):
            origin = node.metadata.get("traceback_")
            if origin:
                warnings.warn(f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n"
                              + "".join(origin), stacklevel=4)
            raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output."
                               + _story(node, gradient, g))


def _nan_in(t: Any) -> bool:
    from flowtorch.autograd.levels import unwrapped

    return has_nan(unwrapped(t)._array) if isinstance(unwrapped(t)._array, np.ndarray) else bool(t.isnan().any().item())


def _story(node: Any, gradient: Any, g: Any) -> str:
    """Where the nan came from: given to backward, kept from the forward pass, or made by this derivative."""
    arrived = next((a for a in _arrays(g if isinstance(g, (list, tuple)) else (g,)) if has_nan(a)), None)
    kept = [*_arrays(node.saved if isinstance(node.saved, tuple) else ())]
    out = node.out[0] if isinstance(node.out, tuple) and node.out else None
    kept += [out] if isinstance(out, np.ndarray) else []
    sources = [arrived, *[a for a in kept if a.dtype.kind in "fcV" and has_nan(a)]]
    blame = next((b for b in map(blame_of, sources) if b is not None), None)
    if arrived is not None and (blame is None or blame.given):
        return ("\nThe gradient that arrived here had nan already: it was given to backward, or made by adding inf to "
                "-inf.")
    if blame is None:
        blame = blame_of(gradient._array)
    return f"\n{blame.describe()}" if blame is not None else ""


__all__ = ["blame_of", "check", "detect_anomaly", "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "note_origin",
           "set_detect_anomaly", "state"]

"""Arguments in the order they once had, which PyTorch still takes: ``t.add_(0.1, grad)``."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

from flowtorch.tensor import Tensor

_SCALED = {"add": "alpha", "sub": "alpha", "addcmul": "value", "addcdiv": "value"}
_COMBINED = {"addmm", "addmv", "addbmm", "baddbmm", "addr"}
TAKES_OLD_ORDER = _SCALED.keys() | _COMBINED
_warned: set[str] = set()


def reorder(name: str, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
    """The arguments of an op's call in today's order, if they were given in the old one.

    Numbers stood before the tensors that they scale: ``(input, alpha, other)``, ``(beta, input, alpha, mat1, mat2)``;
    the last one without ``alpha`` too, and with ``input`` first where it is a method.
    """
    if name in _SCALED:
        found = _scaled(_SCALED[name], args, 3 if _SCALED[name] == "alpha" else 4)
    else:
        found = _combined(args) if name in _COMBINED else None
    if found is None or any(kwargs.get(number, 1) != 1 for number in found[1]):
        return None
    if not _warned:
        _warned.add(name)
        given = ", ".join("Tensor" if isinstance(a, Tensor) else "Number" for a in args)
        warnings.warn(f"This overload of {name} is deprecated: {name}({given}). Give the numbers by name, after the "
                      f"tensors: {', '.join(found[1])}", stacklevel=4)
    return found[0], {**kwargs, **found[1]}


def _scaled(number: str, args: tuple, count: int) -> tuple[tuple, dict] | None:
    if len(args) != count or not _is_number(args[1]):
        return None
    return (args[0], *args[2:]), {number: args[1]}


def _combined(args: tuple) -> tuple[tuple, dict] | None:
    if len(args) not in (4, 5) or not all(isinstance(a, Tensor) for a in args[-2:]):
        return None
    first, beta = (args[0], args[1]) if isinstance(args[0], Tensor) else (args[1], args[0])
    given = {"beta": beta, **({"alpha": args[2]} if len(args) == 5 else {})}
    if not isinstance(first, Tensor) or not all(_is_number(v) for v in given.values()):
        return None
    return (first, *args[-2:]), given


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Number)

"""Running recorded calls again: on the other side's values, in double precision, with inputs moved a little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errormodel import EPS
from ..outcome import numbers
from .trace import Event, Slot, Trace

MOVE = 2.0**-30  # by how much of themselves inputs are moved to see what rounding them costs
MOVES = 6


class Way:
    """How a call is run again: in twice the precision, with its inputs moved by a random ``MOVE`` (``seed`` > 0)."""

    def __init__(self, wide: bool = False, seed: int = 0) -> None:
        self.wide, self.seed = wide, seed
        self.rng = np.random.default_rng(seed)

    def moved(self, values: np.ndarray) -> np.ndarray:
        if not self.seed or values.dtype.kind not in "fc":
            return values
        with np.errstate(all="ignore"):
            return values * np.array([1 - MOVE, 1 + MOVE])[self.rng.integers(0, 2, values.shape, np.uint8)]


AS_IT_WAS = Way()


class Replay:
    """Calls of ``library`` on the values of a recording."""

    def __init__(self, library: Any, trace: Trace) -> None:
        self.library, self.trace = library, trace

    def tensor(self, digest: str, way: Way = AS_IT_WAS, grad: bool = False) -> Any:
        dtype = self.trace.dtypes[digest]
        values = way.moved(np.array(self.trace.values[digest], np.float64 if way.wide and dtype in REAL else None))
        if way.wide and dtype in EPS:
            dtype = "complex128" if "complex" in dtype else "float64"
        t = self.library.from_numpy(np.array(values)).to(getattr(self.library, dtype))
        return t.requires_grad_() if grad else t

    def call(
        self, e: Event, inputs: list[str], drawn: str = "", way: Way = AS_IT_WAS, grad: bool = False
    ) -> tuple[list, list]:
        """(tensors that come out, tensors that went in) of a call of ours on these values."""
        function, args, kwargs = e.call
        dtypes = [self.trace.dtypes[d] for d in inputs]
        given = [self.tensor(d, way, grad and dtype in EPS) for d, dtype in zip(inputs, dtypes, strict=True)]
        used = [t.clone() if grad and t.requires_grad else t for t in given]
        versions = [t._version for t in used]
        if drawn:
            self.library.set_rng_state(self.tensor(drawn))
        cast = getattr(self.library, e.autocast or "bfloat16")
        with (
            self.library.enable_grad() if grad else self.library.no_grad(),
            self.library.autocast("cpu", cast, enabled=bool(e.autocast) and not way.wide),
        ):
            result = function(*self.filled(args, used, way), **self.filled(kwargs, used, way))
        out = list(flat(result, self.library))
        out += [t for t, v in zip(used, versions, strict=True) if t._version != v and not any(t is o for o in out)]
        return out, given

    def filled(self, value: Any, used: list, way: Way) -> Any:
        if isinstance(value, Slot):
            return used[value.index]
        if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
            return type(value)(self.filled(v, used, way) for v in value)
        if isinstance(value, dict):
            return {k: self.filled(v, used, way) for k, v in value.items()}
        if way.wide and type(value) is self.library.dtype and value.is_floating_point:
            return self.library.float64
        return value

    def results(self, e: Event, inputs: list[str], drawn: str = "", way: Way = AS_IT_WAS) -> list[np.ndarray]:
        return [values_of(t) for t in self.call(e, inputs, drawn, way)[0]]

    def derivative(self, e: Event, other: Event, sweep: int, k: int, way: Way = AS_IT_WAS) -> np.ndarray:
        """What our derivative of one call sends to its input ``k``, on the other's values and incoming gradients."""
        out, given = self.call(e, other.inputs, other.drawn, way, grad=True)
        roots = [(j, t) for j, t in enumerate(out) if t.requires_grad and (sweep, j) in other.grads]
        if not roots or not given[k].requires_grad:
            return np.zeros(tuple(given[k].shape))
        incoming = [self.tensor(other.grads[sweep, j], way).to(t.dtype) for j, t in roots]
        (g,) = self.library.autograd.grad([t for _, t in roots], [given[k]], incoming, allow_unused=True)
        return np.zeros(tuple(given[k].shape)) if g is None else values_of(g)

    def accumulation(self, inputs: list[str], way: Way = AS_IT_WAS) -> list[np.ndarray]:
        before, more = (self.tensor(d, way) for d in inputs)
        return [values_of(before + more)]

    def step(self, e: Event, other: Event, way: Way = AS_IT_WAS) -> dict[str, np.ndarray]:
        """One step of our optimizer from the other's parameters, gradients and state: its outputs by name."""
        cls, groups = e.call
        params: dict[str, Any] = {}
        for name, d in zip(other.names[0], other.inputs, strict=True):
            number, what = name.split(".", 1)
            params.setdefault(number, {})[what] = self.tensor(d, way)
        entries, made, start = list(params.values()), [], 0
        for group, settings in zip(groups, e.settings, strict=True):
            chunk = [p["param"].requires_grad_() for p in entries[start : start + settings["count"]]]
            start += settings["count"]
            if chunk:
                made.append({"params": chunk, **group})
        known = cls.__init__.__code__.co_varnames
        optimizer = cls(made, **({"lr": groups[0]["lr"]} if "lr" in known else {}))
        for p in entries:
            p["param"].grad = p["grad"]
            state = {k: v for k, v in p.items() if k not in ("param", "grad")}
            if state:
                optimizer.state[p["param"]] = state
        optimizer.step()
        found: dict[str, np.ndarray] = {}
        for number, p in zip(params, entries, strict=True):
            after = {"param": p["param"], **optimizer.state.get(p["param"], {})}
            found |= {f"{number}.{k}": values_of(v) for k, v in after.items() if hasattr(v, "detach")}
        return found


REAL = ("float64", "float32", "float16", "bfloat16")


def values_of(t: Any) -> np.ndarray:
    return numbers(t, str(t.dtype).removeprefix("torch."))


def flat(value: Any, library: Any) -> Iterator[Any]:
    if isinstance(value, library.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for v in value:
            yield from flat(v, library)
    elif isinstance(value, dict):
        for v in value.values():
            yield from flat(v, library)

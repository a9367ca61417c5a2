"""The step of an optimizer that a lockstep run names, as a script: one parameter, and if it suffices one element."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np

from ..errormodel import EPS, allowance
from ..samples import Array
from .reproducer import literal


class StepScript:
    """``script`` runs with either library; ``text`` says what differs, ``verdict`` that it does."""

    verdict = "wrong"

    def __init__(self, name: str, script: str, text: str) -> None:
        self.name, self.script, self.text = name, script, text

    def keep(self, folder: Path) -> Path:
        """Store the script; the path of it."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"optimizer-{self.name}.py"
        path.write_text(self.script)
        return path


def of_optimizer(result: Any, step: Any) -> StepScript | None:
    """The script of an optimizer's step that adds an error; None for other calls."""
    event, match = result.ours.events[step.number], result.alignment.pair.get(step.number)
    if event.phase != "optimizer" or match is None or event.call is None:
        return None
    other, values = result.theirs.events[match], result.theirs.values
    got = result.there.step(event, other)
    expected = {n: values[d] for n, d in zip(other.names[1], other.outputs, strict=True) if n in got and d in values}
    dtypes = {n: result.theirs.dtypes[d] for n, d in zip(other.names[1], other.outputs, strict=True)}
    worst = max(expected, key=lambda n: float(errors(got[n], expected[n], dtypes[n]).max(initial=0.0)))
    number = worst.split(".")[0]
    inputs = {
        name.split(".", 1)[1]: Array(values[d], result.theirs.dtypes[d])
        for name, d in zip(other.names[0], other.inputs, strict=True)
        if name.split(".")[0] == number and d in values
    }
    at = int(np.argmax(errors(got[worst], expected[worst], dtypes[worst])))
    shape = inputs["param"].values.shape
    if expected[worst].shape == shape:  # steps go element by element, but for a few optimizers
        inputs = {k: a.with_(values=a.values.reshape(-1)[at : at + 1]) if a.values.shape == shape else a
                  for k, a in inputs.items()}  # fmt: skip
    first = [values.reshape(-1)[at] for values in (expected[worst], got[worst])]
    text = f"{worst.split('.', 1)[1]} of {event.name}: expected {first[0]:.9g}, got {first[1]:.9g}"
    group = next(g for g, until in zip(event.call[1], ends(event.settings), strict=True) if int(number) < until)
    return StepScript(event.name, source(event.call[0], group, inputs, text), text)


def errors(got: np.ndarray, expected: np.ndarray, dtype: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        if dtype not in EPS or got.shape != expected.shape:
            return np.asarray(np.inf if got.shape != expected.shape else (got != expected) * 1e9, np.float64)
        return np.nan_to_num(np.abs(got - expected) / allowance(expected, dtype), nan=np.inf)


def ends(settings: list[dict]) -> list[int]:
    """The number after the last parameter of each group."""
    return list(np.cumsum([s["count"] for s in settings]))


def source(cls: type, group: dict, inputs: dict[str, Array], what: str) -> str:
    known = inspect.signature(cls).parameters
    options = {k: v for k, v in group.items() if k in known and known[k].default != v and plain(v)}
    state = ", ".join(f"{k!r}: {literal(a)}" for k, a in inputs.items() if k not in ("param", "grad"))
    lines = [
        f"# {what}"[:118],
        "import sys",
        'torch = __import__(sys.argv[1] if len(sys.argv) > 1 else "flowtorch")',
        "torch.set_printoptions(precision=9)",
        f"p = torch.nn.Parameter({literal(inputs['param'])})",
        f"p.grad = {literal(inputs['grad'])}",
        f"optimizer = torch.optim.{cls.__name__}([p], {', '.join(f'{k}={v!r}' for k, v in options.items())})",
        *([f"optimizer.state[p] = {{{state}}}"] if state else []),
        "optimizer.step()",
        "print(p.detach(), dict(optimizer.state[p]))",
    ]
    text = "\n".join(lines) + "\n"
    return text.replace("import sys\n", "import sys\nimport numpy as np\n") if "np." in text else text


def plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str)) or (
        isinstance(value, (tuple, list)) and all(map(plain, value))
    )  # fmt: skip

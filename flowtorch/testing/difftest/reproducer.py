"""A failing call as a short script that runs anywhere: ``python repro.py [torch|flowtorch]``."""

from __future__ import annotations

import base64
import inspect
import textwrap
from typing import Any

import numpy as np

from ..samples import Array, Named, Sample

FEW = 40  # elements that are written out; more come as bytes
VIEWS = {
    "transposed": ".permute({dims})",
    "strided": "[..., ::2]",
    "offset": "[1:]",
    "expanded": ".expand({shape})",
    "overlapping": ".as_strided({shape}, {ones})",
}


def script(
    name: str, sample: Sample, *, function: Any = None, what: str = "", expected: Any = None, gradients: bool = False
) -> str:
    """The source of the script. ``function``: the snippet, if the call is not of a public name."""
    lines = [f"# {what}" if what else f"# {name}", "import sys", "import numpy as np"]
    lines.append('torch = __import__(sys.argv[1] if len(sys.argv) > 1 else "flowtorch")')
    names: list[str] = []
    inputs: list[str] = []

    def text(value: Any) -> str:
        if isinstance(value, Array):
            names.append(f"x{len(names)}")
            inputs.append(f"{names[-1]} = {literal(value)}")
            return names[-1]
        if isinstance(value, Named):
            return f"torch.{value.name}"
        if isinstance(value, (list, tuple)):
            inside = ", ".join(map(text, value))
            return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k!r}: {text(v)}" for k, v in value.items()) + "}"
        if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
            return f'float("{value}")'
        return repr(value)

    args = [text(a) for a in sample.args] + [f"{k}={text(v)}" for k, v in sample.kwargs.items()]
    needs_numpy = any("np." in line for line in inputs)
    lines = [line for line in lines if needs_numpy or line != "import numpy as np"]
    if function is not None:
        lines += source_of(function)
        first = "torch, " if takes_library(function) else ""
        call = f"{function.__name__.replace('<lambda>', 'f')}({first}{', '.join(args)})"
    elif name.startswith("operator."):
        lines.append("import operator")
        call = f"{name}({', '.join(args)})"
    else:
        call = f"torch.{name}({', '.join(args)})"
    lines += inputs
    if gradients:
        leaves = [n for n, a in zip(names, sample.arrays(), strict=True) if a.grad]
        lines += [f"{n}.requires_grad_()" for n in leaves]
        lines += [f"out = {call}", "out = out if isinstance(out, torch.Tensor) else out[0]"]
        lines.append("out.backward(torch.linspace(1, 2, out.numel()).reshape(out.shape).to(out.dtype))")
        lines.append(f"print({', '.join(n + '.grad' for n in leaves)})")
    else:
        lines += [f"out = {call}", "print(out)"]
    if expected is not None:
        lines.append(f"# expected: {expected}")
    return "\n".join(lines) + "\n"


def literal(a: Array) -> str:
    """Source that makes the tensor, memory layout and all."""
    from .oracle import quantised

    values, tail = base_of(a)
    small = values.size <= FEW
    if small:
        text = nested(quantised(Array(values, a.dtype)))
        made = f"torch.tensor({text}, dtype=torch.{a.dtype})"
        if 0 in values.shape:
            made = f"torch.empty({values.shape}, dtype=torch.{a.dtype})"
    else:
        data = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
        module = f"np.frombuffer(__import__('base64').b64decode('{data}'), '{values.dtype}')"
        made = f"torch.tensor({module}.reshape({values.shape})).to(torch.{a.dtype})"
    return made + (f'.to("{a.device}")' if a.device != "cpu" else "") + tail


def base_of(a: Array) -> tuple[np.ndarray, str]:
    """(the values to store, the view of them that the argument is)."""
    from ..samples import _lay_out

    if a.layout == "contiguous" or a.values.ndim == 0:
        return a.values, ""
    shape = a.values.shape
    dims = tuple(reversed(range(len(shape))))
    tail = VIEWS[a.layout].format(dims=dims, shape=shape, ones=(1,) * len(shape))
    return _lay_out(a.values, a.layout), tail if a.layout != "offset" or shape[0] else ""


def nested(values: np.ndarray) -> str:
    if values.ndim:
        return "[" + ", ".join(nested(v) for v in values) + "]"
    x = values[()]
    if values.dtype.kind in "biu":
        return str(x.item() if hasattr(x, "item") else x)
    if values.dtype.kind == "c":
        return f"complex({number(x.real)}, {number(x.imag)})"
    return number(x)


def number(x: Any) -> str:
    """The shortest text that reads back as this number of this dtype."""
    if not np.isfinite(float(x)):
        return f'float("{float(x)}")'
    text = str(x)
    return text if float(text) == float(x) or type(x) is not np.float64 else repr(float(x))


def takes_library(function: Any) -> bool:
    """Whether a snippet takes the library as its first argument, which is then called ``torch``."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False
    return bool(names) and names[0] == "torch"


def source_of(function: Any) -> list[str]:
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return [f"# the source of {function!r} is not at hand"]
    if function.__name__ == "<lambda>":
        text = "f = " + text[text.index("lambda") :]
        depth = 0
        for k, c in enumerate(text):
            depth += c in "([{"
            depth -= c in ")]}"
            if depth < 0 or (c == "," and depth == 0 and ":" in text[:k]):
                text = text[:k]
                break
    lines = text.rstrip().split("\n")
    while lines and lines[0].lstrip().startswith("@"):
        lines.pop(0)
    return lines

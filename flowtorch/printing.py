"""How tensors print: ``repr``, ``str`` and ``set_printoptions``, character for character as in PyTorch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flowtorch import devices
from flowtorch.array.place import moved

__all__ = ["PRINT_OPTS", "get_printoptions", "printoptions", "set_printoptions"]


@dataclass
class PrintOptions:
    """The settings that ``set_printoptions`` changes."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PRINT_OPTS = PrintOptions()

PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors print.

    Args:
        precision: digits after the decimal point (4).
        threshold: a tensor of more elements than this is summarised (1000).
        edgeitems: elements kept at each end of a summarised dimension (3).
        linewidth: columns before a line is broken (80).
        profile: ``"default"``, ``"short"`` or ``"full"``, a set of values that the other arguments refine.
        sci_mode: True or False forces scientific notation on or off; None (and every call that leaves it out)
            goes back to deciding by the values.
    """
    changes = dict(PROFILES.get(profile, {})) if profile is not None else {}
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    changes.update((name, value) for name, value in given.items() if value is not None)
    for name, value in changes.items():
        setattr(PRINT_OPTS, name, value)
    PRINT_OPTS.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """Return the printing options in force as a dict that ``set_printoptions(**options)`` accepts."""
    return asdict(PRINT_OPTS)


@contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """Set printing options, as :func:`set_printoptions` does, for the length of a ``with`` block."""
    before = get_printoptions()
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        set_printoptions(**before)


# --- numbers to words ------------------------------------------------------------------------------


def _scientific(magnitudes: np.ndarray) -> bool:
    """Decide on scientific notation from the absolute values of the nonzero finite elements."""
    if PRINT_OPTS.sci_mode is not None:
        return PRINT_OPTS.sci_mode
    low, high = float(magnitudes.min()), float(magnitudes.max())
    return high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4


def _decisive(values: np.ndarray) -> np.ndarray:
    """Mark the elements that decide notation and width; the others may be wider than the column."""
    if values.dtype.name == "float8_e8m0fnu":
        # This format has no zero, and in PyTorch its smallest value counts as one and nan counts as finite.
        return values.view(np.uint8) != 0
    values = values.astype(np.float64)
    return np.isfinite(values) & (values != 0)


def _float_words(values: np.ndarray) -> tuple[list[str], int]:
    """Format a flat array of floats; return the words and the width to pad them to."""
    decisive, values = _decisive(values), values.astype(np.float64)
    measured = values[decisive]
    whole = bool((measured == np.ceil(measured)).all())
    scientific = measured.size > 0 and _scientific(np.abs(measured))
    if scientific:
        words = _spelled(values, f".{PRINT_OPTS.precision}e")
    elif whole:
        words = [w if w[-1] in "fn" else w + "." for w in _spelled(values, ".0f")]
    else:
        words = _spelled(values, f".{PRINT_OPTS.precision}f")
    lengths = (len(word) for word, decides in zip(words, decisive.tolist(), strict=True) if decides)
    return words, max(lengths, default=1)


def _spelled(values: np.ndarray, spec: str) -> list[str]:
    return [format(value, spec) for value in values.tolist()]


def _exact_words(values: np.ndarray) -> tuple[list[str], int]:
    """Format integers or booleans."""
    words = [str(value) for value in values.tolist()]
    return words, max(map(len, words), default=1)


def _padded(words: list[str], width: int) -> list[str]:
    return [word.rjust(width) for word in words]


def _complex_words(values: np.ndarray) -> tuple[list[str], int]:
    """Format complex numbers: real and imaginary parts choose their notation independently."""
    real, real_width = _float_words(values.real)
    imag, imag_width = _float_words(values.imag)
    signed = (word if word[0] == "-" else "+" + word for word in imag)
    words = [r + i + "j" for r, i in zip(_padded(real, real_width), signed, strict=True)]
    return words, real_width + imag_width + 1


def _words(values: np.ndarray) -> tuple[list[str], int]:
    """Format a flat array; return the padded words and the column width, which decides where lines break."""
    if values.dtype.name == "complex32":             # a type of ml_dtypes, which knows no parts
        values = values.astype(np.complex64)
    kind = values.dtype.kind
    if kind == "c":
        return _complex_words(values)
    words, width = _exact_words(values) if kind in "biu" else _float_words(values)
    return _padded(words, width), width


# --- summarising and laying out --------------------------------------------------------------------


def _edges(array: Any) -> np.ndarray:
    """Copy to the host the parts of a large array that a summary shows.

    Corner blocks are fetched one by one, so a device array is never copied whole.
    """
    keep = PRINT_OPTS.edgeitems
    shape = tuple(min(n, 2 * keep) for n in array.shape)
    ends = [(slice(0, keep), slice(-keep, None)) if n > 2 * keep else (slice(None),) for n in array.shape]
    summary = np.empty(shape, array.dtype)
    for block in itertools.product(*ends):
        summary[block] = _host(array[block])
    return summary


def _host(array: Any) -> np.ndarray:
    return moved(array, devices.cpu)


def _vector_lines(words: list[str], width: int, indent: int) -> str:
    """Join the words of one innermost row, breaking lines at the line width."""
    per_line = max(1, math.floor((PRINT_OPTS.linewidth - indent) / (width + 2)))
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(shape: tuple[int, ...], cut: tuple[bool, ...], words: Iterator[str], width: int, indent: int) -> str:
    """Lay out words in nested brackets; ``cut[d]`` says that dimension d has an ellipsis in its middle."""
    half = shape[0] // 2
    if len(shape) == 1:
        row = list(itertools.islice(words, shape[0]))
        if cut[0]:
            row.insert(half, " ...")
        return _vector_lines(row, width, indent)
    parts = [_nested(shape[1:], cut[1:], words, width, indent + 1) for _ in range(shape[0])]
    if cut[0]:
        parts.insert(half, "...")
    return "[" + ("," + "\n" * (len(shape) - 1) + " " * (indent + 1)).join(parts) + "]"


def format_array(array: Any, indent: int) -> str:
    """Spell out the elements of an array in nested brackets, further lines indented by ``indent`` columns."""
    if array.size == 0:
        return "[]"
    cut = (False,) * array.ndim
    if array.ndim and array.size > PRINT_OPTS.threshold:
        if not PRINT_OPTS.edgeitems:
            return "[...]"
        cut = tuple(n > 2 * PRINT_OPTS.edgeitems for n in array.shape)
        array = _edges(array)
    else:
        array = _host(array)
    words, width = _words(array.reshape(-1))
    if array.ndim == 0:
        return words[0]
    return _nested(array.shape, cut, iter(words), width, indent)


def _tensor_str(tensor: Any, indent: int) -> str:
    """Spell out the elements of a strided tensor."""
    return format_array(tensor._array, indent)


# --- what stands around the numbers ----------------------------------------------------------------


def with_suffixes(text: str, suffixes: list[str], indent: int, own_line: bool) -> str:
    """Append ``, suffix`` for each suffix, on a new line where this one would grow too long, and close."""
    column = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if own_line or column + len(suffix) + 2 > PRINT_OPTS.linewidth:
            text += ",\n" + " " * indent + suffix
            column = indent + len(suffix)
            own_line = False
        else:
            text += ", " + suffix
            column += len(suffix) + 2
    return text + ")"


def _size(tensor: Any) -> str:
    return "size=" + str(tuple(tensor.shape))


def _component(name: str, tensor: Any, indent: int, meta: bool) -> str:
    """Spell out one of the tensors that a sparse tensor is made of."""
    prefix = f"{name}=tensor("
    text = "..." if meta else _tensor_str(tensor.detach(), indent + len(prefix))
    if meta or tensor.numel() == 0:
        text += ", " + _size(tensor)
    return prefix + text + ")"


SPARSE_PARTS: dict[str, tuple[tuple[str, str], ...]] = {
    "sparse_coo": (("indices", "_indices"), ("values", "_values")),
    "sparse_csr": (("crow_indices", "crow_indices"), ("col_indices", "col_indices"), ("values", "values")),
    "sparse_csc": (("ccol_indices", "ccol_indices"), ("row_indices", "row_indices"), ("values", "values")),
    "sparse_bsr": (("crow_indices", "crow_indices"), ("col_indices", "col_indices"), ("values", "values")),
    "sparse_bsc": (("ccol_indices", "ccol_indices"), ("row_indices", "row_indices"), ("values", "values")),
}


def _sparse_body(tensor: Any, layout: str, indent: int) -> tuple[str, list[str]]:
    suffixes = [_size(tensor)]
    if not tensor.is_meta:
        suffixes.append(f"nnz={tensor._nnz()}")
    if not _default_dtype(tensor.dtype):
        suffixes.append(f"dtype={tensor.dtype}")
    parts = [
        _component(name, getattr(tensor, method)(), indent, tensor.is_meta) for name, method in SPARSE_PARTS[layout]
    ]
    return (",\n" + " " * indent).join(parts), suffixes


def _strided_body(tensor: Any, indent: int) -> tuple[str, list[str]]:
    """The numbers of a strided tensor, and the suffixes without which they could not be read back."""
    from flowtorch.dtypes import get_default_dtype

    suffixes = []
    if tensor.is_meta or tensor.numel() == 0:
        if tensor.is_meta or tensor.dim() != 1:
            suffixes.append(_size(tensor))
        # No element shows the dtype, so int64 and bool have to be named too.
        if tensor.dtype != get_default_dtype():
            suffixes.append(f"dtype={tensor.dtype}")
        return "..." if tensor.is_meta else "[]", suffixes
    if not PRINT_OPTS.edgeitems:
        suffixes.append(_size(tensor))
    if not _default_dtype(tensor.dtype):
        suffixes.append(f"dtype={tensor.dtype}")
    return _tensor_str(tensor, indent), suffixes


def _default_dtype(dtype: Any) -> bool:
    """Tell whether a reader can know the dtype from the numbers alone."""
    from flowtorch import dtypes

    default = dtypes.get_default_dtype()
    complex_default = dtypes.complex128 if default == dtypes.float64 else dtypes.complex64
    return dtype in (default, complex_default, dtypes.int64, dtypes.bool_)


def _device_suffix(tensor: Any) -> list[str]:
    return [] if tensor.device.type == "cpu" else [f"device='{tensor.device}'"]


def _grad_suffix(tensor: Any) -> list[str]:
    try:
        grad_fn = tensor.grad_fn
    except RuntimeError:
        # A view made and changed without recording has no history that could be named.
        return ["grad_fn=<Invalid>"]
    if grad_fn is not None:
        return [f"grad_fn=<{grad_fn.name().rsplit('::', 1)[-1]}>"]
    return ["requires_grad=True"] if tensor.requires_grad else []


def tensor_repr(tensor: Any, tensor_contents: str | None = None, tangent: Any = None) -> str:
    """Return ``repr(tensor)``; ``tensor_contents`` replaces the numbers, ``tangent`` is a last suffix."""
    from flowtorch.nn.parameter import Parameter
    from flowtorch.tensor import Tensor

    plain = tensor.__class__ in (Tensor, Parameter)
    prefix = "tensor(" if plain else f"{type(tensor).__name__}("
    layout = str(tensor.layout).rsplit(".", 1)[-1]
    body: Callable[[Any, int], tuple[str, list[str]]] = _strided_body
    if layout != "strided":

        def body(value: Any, indent: int) -> tuple[str, list[str]]:
            return _sparse_body(value, layout, indent)

    text, suffixes = body(tensor, len(prefix))
    suffixes = _device_suffix(tensor) + suffixes
    if layout != "strided":
        suffixes.append(f"layout={tensor.layout}")
    suffixes += _grad_suffix(tensor)
    if tangent is not None:
        suffixes.append(f"tangent={tangent}")
    text = text if tensor_contents is None else tensor_contents
    text = with_suffixes(prefix + text, suffixes, len(prefix), own_line=layout == "sparse_coo")
    return f"Parameter({text})" if isinstance(tensor, Parameter) and not plain else text


def _str(self: Any, *, tensor_contents: str | None = None) -> str:
    """Return ``repr(self)`` (what ``Tensor.__repr__`` calls)."""
    return tensor_repr(self, tensor_contents)

"""``assert_close``: values that agree within the precision of their dtype, or an AssertionError that says where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# (rtol, atol) by the name of the dtype; other dtypes must be equal
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex32": (1e-3, 1e-5),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}
_NUMBERS = (bool, int, float, complex, np.number, np.bool_)
_BOOLS = (bool, np.bool_)
_EXACT = (0.0, 0.0)


class _Mismatch(Exception):
    """Two values differ; the message, and where within containers."""

    def __init__(self, message: str, where: tuple = ()) -> None:
        super().__init__(message)
        self.message, self.where = message, where


class _Options:
    """The keyword arguments of ``assert_close``."""

    def __init__(self, **options: Any) -> None:
        self.__dict__.update(options)
        if (self.rtol is None) != (self.atol is None):
            missing = "rtol" if self.rtol is None else "atol"
            raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")

    rtol: Any
    atol: Any

    def tolerances(self, *dtypes: str) -> tuple[float, float]:
        """(rtol, atol): those given, or the wider of the dtypes' own."""
        if self.rtol is not None:
            return self.rtol, self.atol
        known = [_TOLERANCES.get(d, _EXACT) for d in dtypes]
        return max(k[0] for k in known), max(k[1] for k in known)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise AssertionError unless ``|actual - expected| <= atol + rtol * |expected|`` everywhere.

    Tensors, arrays, numbers, and sequences and mappings of them are compared; dtype, device and layout must match too.
    Without ``rtol`` and ``atol`` they follow from the dtype. ``msg`` replaces the message, or is called with it.
    """
    options = _Options(
        allow_subclasses=allow_subclasses,
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        check_device=check_device,
        check_dtype=check_dtype,
        check_layout=check_layout,
        check_stride=check_stride,
    )
    try:
        _compare(actual, expected, options, ())
    except _Mismatch as mismatch:
        text = mismatch.message
        if mismatch.where:
            text += "\n\nThe failure occurred for item " + "".join(f"[{k!r}]" for k in mismatch.where)
        raise AssertionError((msg(text) if callable(msg) else msg) if msg is not None else text) from None


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """The older form of ``assert_close``: anything becomes a tensor, and nan equals nan."""
    import flowtorch

    if not isinstance(actual, flowtorch.Tensor):
        actual = flowtorch.as_tensor(actual)
    if not isinstance(expected, flowtorch.Tensor):
        expected = flowtorch.as_tensor(expected, dtype=actual.dtype)
    assert_close(
        actual,
        expected,
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        check_device=True,
        check_dtype=False,
        check_stride=False,
        msg=msg or None,
    )


def _compare(actual: Any, expected: Any, options: Any, where: tuple) -> None:
    import flowtorch

    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    if not options.allow_subclasses and type(actual) is not type(expected):
        related = False
    if _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            raise _Mismatch(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", where)
        for k, (a, e) in enumerate(zip(actual, expected, strict=True)):
            _compare(a, e, options, (*where, k))
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        _compare_mappings(actual, expected, options, where)
    elif actual is None or expected is None:
        if actual is not expected:
            raise _Mismatch(f"None mismatch: {actual} is not {expected}", where)
    elif isinstance(actual, _BOOLS) and isinstance(expected, _BOOLS):
        if bool(actual) is not bool(expected):
            raise _Mismatch(f"Booleans mismatch: {bool(actual)} is not {bool(expected)}", where)
    elif isinstance(actual, _NUMBERS) and isinstance(expected, _NUMBERS):
        _compare_numbers(actual, expected, options, where)
    elif related and isinstance(actual, (flowtorch.Tensor, np.ndarray)):
        as_tensor = flowtorch.as_tensor
        _compare_tensors(as_tensor(actual), as_tensor(expected), options, where)
    else:
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _compare_mappings(actual: Mapping, expected: Mapping, options: Any, where: tuple) -> None:
    missing, additional = [k for k in expected if k not in actual], [k for k in actual if k not in expected]
    if missing or additional:
        raise _Mismatch(
            "The keys of the mappings do not match:\n"
            f"Missing keys in the actual mapping: {sorted(missing)}\n"
            f"Additional keys in the actual mapping: {sorted(additional)}",
            where,
        )
    for k in sorted(expected) if all(isinstance(k, str) for k in expected) else expected:
        _compare(actual[k], expected[k], options, (*where, k))


def _compare_numbers(actual: Any, expected: Any, options: Any, where: tuple) -> None:
    a, e = (v.item() if isinstance(v, np.generic) else v for v in (actual, expected))
    if options.check_dtype and type(a) is not type(e):
        raise _Mismatch(f"The (d)types do not match: {type(a)} != {type(e)}.", where)
    rtol, atol = options.tolerances(
        *("complex128" if isinstance(v, complex) else "float64" if isinstance(v, float) else "int64" for v in (a, e))
    )
    if a == e or (options.equal_nan and a != a and e != e) or abs(a - e) <= atol + rtol * abs(e) < float("inf"):
        return
    raise _Mismatch(_scalar_message(a, e, rtol, atol), where)


def _scalar_message(a: Any, e: Any, rtol: float, atol: float) -> str:
    absolute, exact = abs(a - e), not rtol and not atol
    relative = absolute / abs(e) if e else float("inf")
    limits = ("", "") if exact else (f" (up to {atol} allowed)", f" (up to {rtol} allowed)")
    return (
        f"Scalars are not {'equal' if exact else 'close'}!\n\nExpected {e} but got {a}.\n"
        f"Absolute difference: {absolute}{limits[0]}\nRelative difference: {relative}{limits[1]}"
    )


def _compare_tensors(actual: Any, expected: Any, options: Any, where: tuple) -> None:
    checks = [
        ("shape", True),
        ("layout", options.check_layout),
        ("device", options.check_device),
        ("dtype", options.check_dtype),
    ]
    for attribute, wanted in checks:
        a, e = getattr(actual, attribute), getattr(expected, attribute)
        if wanted and a != e:
            raise _Mismatch(f"The values for attribute '{attribute}' do not match: {a} != {e}.", where)
    if options.check_stride and actual.stride() != expected.stride():
        raise _Mismatch(
            f"The values for attribute 'stride()' do not match: {actual.stride()} != {expected.stride()}.", where
        )
    rtol, atol = options.tolerances(*(str(t.dtype).removeprefix("torch.") for t in (actual, expected)))
    import flowtorch

    common = flowtorch.promote_types(actual.dtype, expected.dtype)
    a, e = (t.detach().cpu().to(common) for t in (actual, expected))
    if a.layout != e.layout:
        a, e = a.to_dense(), e.to_dense()
    for part, x, y in _parts(a, e, where):
        exact = part is not None and not part.endswith("values")
        limits = (0.0, 0.0) if exact else (rtol, atol)
        close = flowtorch.isclose(x, y, rtol=limits[0], atol=limits[1], equal_nan=options.equal_nan)
        if bool(close.all()):
            continue
        if x.ndim == 0:
            raise _Mismatch(_scalar_message(x.item(), y.item(), *limits), where)
        raise _Mismatch(_tensor_message(x, y, close, limits[0], limits[1], part or "Tensor-likes"), where)


def _parts(a: Any, e: Any, where: tuple) -> list[tuple[str | None, Any, Any]]:
    """(name, actual, expected) of the strided tensors that are compared: the tensors themselves, or their parts."""
    layout = str(a.layout).rpartition(".")[2]
    if layout == "strided":
        return [(None, a, e)]
    kind = layout.removeprefix("sparse_").upper()
    if a._nnz() != e._nnz():
        raise _Mismatch(f"The number of specified values in sparse {kind} tensors does not match: {a._nnz()} != "
                        f"{e._nnz()}", where)
    names = {"coo": ("_indices", "_values"), "csr": ("crow_indices", "col_indices", "values"),
             "csc": ("ccol_indices", "row_indices", "values")}
    names["bsr"], names["bsc"] = names["csr"], names["csc"]
    return [(f"Sparse {kind} {name.strip('_')}", getattr(a, name)(), getattr(e, name)())
            for name in names[kind.lower()]]


def _tensor_message(a: Any, e: Any, close: Any, rtol: float, atol: float, subject: str = "Tensor-likes") -> str:
    import flowtorch

    exact = not rtol and not atol
    wrong, count = int((~close).sum()), close.numel()
    if not (a.dtype.is_floating_point or a.dtype.is_complex):
        a, e = a.to(flowtorch.int64), e.to(flowtorch.int64)
    difference = (a - e).abs()
    difference[close] = 0
    relative = difference / e.abs()
    relative[close] = 0
    lines = [
        f"{subject} are not {'equal' if exact else 'close'}!\n",
        f"Mismatched elements: {wrong} / {count} ({wrong / count:.1%})",
    ]
    for name, values, limit in (("absolute", difference, atol), ("relative", relative, rtol)):
        at = int(values.flatten().argmax())
        index = tuple(int(i) for i in np.unravel_index(at, tuple(values.shape)))
        allowed = "" if exact else f" (up to {limit} allowed)"
        lines.append(f"Greatest {name} difference: {values.flatten()[at].item()} at index {index}{allowed}")
    return "\n".join(lines)

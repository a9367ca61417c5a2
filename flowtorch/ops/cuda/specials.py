"""Special functions on the device: those of CUDA's math library, and orthogonal polynomials by their recurrences."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from flowtorch import devices
from flowtorch.array.cuda import empty, kernel_module
from flowtorch.codegen.triton_map import grid_map
from flowtorch.ops.cuda.base import COMPLEX, cast, copied, copy_into, dense, formula, kernel, parts
from flowtorch.ops.cuda.norms import _moments


def _elementwise(name: str, lines: list[str], names: str = "x", wide: bool = False) -> None:
    """Register a kernel that computes ``y`` from its operands by ``lines``, in float32 or float64 (always if wide)."""

    def run(*arrays: Any) -> Any:
        if arrays[0].dtype.kind in "biuc":
            raise NotImplementedError(f"'{name}' of {arrays[0].dtype} has no kernel on device 'cuda'")
        state = "float64" if wide or arrays[0].dtype == np.float64 else "float32"
        result = empty(np.broadcast_shapes(*(a.shape for a in arrays)), arrays[0].dtype)
        casts = [f"{k} = {k}.to(tl.{state})" for k in names]
        # a series in float64 takes so many registers that a thread has room for one element
        block, inputs = 128 if wide else 512, dict(zip(names, arrays, strict=True))
        grid_map(name, result.shape, [*casts, *lines], inputs, {"y": result}, block=block)
        return result

    kernel(name)(run)


# x beyond which exp(|x|) overflows, where the scaled functions take the first terms of their asymptotic series
_SCALED = (
    "a = tl.abs(x)",
    "b = tl.minimum(a, 80.0)",
    "r = 1 / tl.maximum(a, 1.0)",
)
_ELEMENTWISE = {
    "i0": ["y = libdevice.cyl_bessel_i0(x)"],
    "i1": ["y = libdevice.cyl_bessel_i1(x)"],
    "modified_bessel_i0": ["y = libdevice.cyl_bessel_i0(x)"],
    "modified_bessel_i1": ["y = libdevice.cyl_bessel_i1(x)"],
    "i0e": [
        *_SCALED,
        "s = 0.0732421875 + r * (0.112152099609375 + r * 0.22710800170898438)",
        "s = 1 + r * (0.125 + r * (0.0703125 + r * s))",
        "y = tl.where(a < 80, libdevice.cyl_bessel_i0(b) * libdevice.exp(-b), s * tl.sqrt(r * 0.15915494309189535))",
    ],
    "i1e": [
        *_SCALED,
        "s = 1 - r * (0.375 + r * (0.1171875 + r * (0.1025390625 + r * (0.144195556640625 + r * 0.2775764465332031))))",
        "y = tl.where(a < 80, libdevice.cyl_bessel_i1(b) * libdevice.exp(-b), s * tl.sqrt(r * 0.15915494309189535))",
        "y = tl.where(x < 0, -y, y)",
    ],
    "bessel_j0": ["y = libdevice.j0(x)"],
    "bessel_j1": ["y = libdevice.j1(x)"],
    "bessel_y0": ["y = libdevice.y0(x)"],
    "bessel_y1": ["y = libdevice.y1(x)"],
    "ndtr": ["y = libdevice.erfc(x * -0.7071067811865476) * 0.5"],
    "ndtri": ["y = special.normal_quantile(x)"],
    "erfcx": ["y = libdevice.erfcx(x)"],
    "log_ndtr": [
        "t = x * 0.7071067811865476",
        "low = libdevice.log(libdevice.erfcx(-tl.minimum(t, 0.0)) * 0.5) - t * t",
        "y = tl.where(x < -1, low, libdevice.log1p(-libdevice.erfc(t) * 0.5))",
    ],
    "entr": [
        "y = tl.where(x > 0, -x * libdevice.log(x), tl.where(x == 0, 0.0, float('-inf')))",
        "y = tl.where(x != x, x, y)",
    ],
    "spherical_bessel_j0": [
        "q = x * x",
        "near = 1 - q / 6 * (1 - q / 20 * (1 - q / 42 * (1 - q / 72 * (1 - q / 110 * (1 - q / 156)))))",
        "y = tl.where(tl.abs(x) < 0.5, near, libdevice.sin(x) / tl.where(x == 0, 1.0, x))",
        "y = tl.where(tl.abs(x) == float('inf'), 0.0, y)",
    ],
}
_SCIPY = {
    "cyl_bessel_i0": "i0", "cyl_bessel_i1": "i1", "j0": "j0", "j1": "j1", "y0": "y0", "y1": "y1", "erfcx": "erfcx",
}  # fmt: skip


def _give_bodies() -> None:
    """Let the interpreter take scipy's functions for those of CUDA's library."""

    def body(name: str) -> Any:
        def call(x: Any) -> Any:
            import scipy.special

            return getattr(scipy.special, name)(x)

        return call

    for name, theirs in _SCIPY.items():
        kernel_module("interpreter").give_body(name, body(theirs))


if devices.interpreted_cuda() and kernel_module("compile").INTERPRET:
    _give_bodies()
for _name, _lines in _ELEMENTWISE.items():
    _elementwise(_name, _lines)


_WIDE = {
    "airy_ai": ("x", "special.airy(x)"),
    "zeta": ("xq", "special.zeta(x, q)"),
    "igamma": ("ax", "special.incomplete_gamma(a, x, 0)"),
    "igammac": ("ax", "special.incomplete_gamma(a, x, 1)"),
    "_gamma_grad": ("ax", "special.gamma_gradient(a, x)"),
    "_dirichlet_gradient": ("xat", "special.dirichlet_gradient(x, a, t)"),
}
"""Functions whose series would lose too much in float32: (operands, value)."""
_WIDE |= {
    f"{scaled}modified_bessel_k{order}": ("x", f"special.bessel_k(x, {order}, {int(bool(scaled))})")
    for scaled in ("", "scaled_")
    for order in (0, 1)
}
for _name, (_names, _value) in _WIDE.items():
    _elementwise(_name, [f"y = {_value}"], _names, wide=True)


@kernel("_polygamma")
def polygamma(input: Any, *, n: int = 0) -> Any:
    result = empty(input.shape, input.dtype)
    lines = ["x = x.to(tl.float64)", "y = special.polygamma(x * 0 + n, x)"]
    grid_map("polygamma", result.shape, lines, {"x": input}, {"y": result}, numbers={"n": n}, block=128)
    return result


@kernel("_logit")
def logit(input: Any, *, eps: float | None = None) -> Any:
    name = input.dtype.name
    if eps is None:
        return formula(_LOGIT, (("x", name),), (), name)(input)
    text = re.sub(r"\bx\b", "minimum(maximum(x, eps), 1 - eps)", _LOGIT)
    return formula(text, (("x", name),), ("eps",), name)(input, float(eps))


_LOGIT = "where(abs(x - 0.5) < 0.2, log1p(2 * (x - 0.5) / (1 - x)), log(x / (1 - x)))"


# ---------------------------------------------------------------- polynomials by three-term recurrences

def _polynomial(name: str, first: str, step: str, argument: str = "x") -> None:
    _elementwise(name, [
        f"x = {argument}",
        "order = n.to(tl.int32)",
        "p = tl.zeros_like(x) + 1",
        f"q = {first}",
        "y = tl.where(order <= 0, p, q)",
        "y = tl.where(order < 0, 0.0, y)",
        "k = 1",
        "while k < tl.max(order, 0):",
        f"    new = {step}",
        "    p = q",
        "    q = new",
        "    k += 1",
        "    y = tl.where(order == k, q, y)",
    ], "xn")  # fmt: skip


_FIRST = {"t": "x + 0", "u": "x + x", "v": "x + x - 1", "w": "x + x + 1"}
for _kind, _start in _FIRST.items():
    _polynomial(f"chebyshev_polynomial_{_kind}", _start, "2 * x * q - p")
    _polynomial(f"shifted_chebyshev_polynomial_{_kind}", _start, "2 * x * q - p", "2 * x - 1")
_polynomial("hermite_polynomial_h", "x + x", "2 * x * q - 2 * k * p")
_polynomial("hermite_polynomial_he", "x + 0", "x * q - k * p")
_polynomial("laguerre_polynomial_l", "1 - x", "((2 * k + 1 - x) * q - k * p) / (k + 1)")
_polynomial("legendre_polynomial_p", "x + 0", "((2 * k + 1) * x * q - k * p) / (k + 1)")


# ---------------------------------------------------------------- small pieces

@kernel("complex")
def complex_(real: Any, imag: Any) -> Any:
    shape = np.broadcast_shapes(real.shape, imag.shape)
    result = empty(shape, np.dtype(np.complex128 if real.dtype == np.float64 else np.complex64))
    for target, part in zip(parts(result), (real, imag), strict=True):
        copy_into(target, part)
    return result


@kernel("_in_columns")
def in_columns(input: Any) -> Any:
    return dense(input.swapaxes(-2, -1)).swapaxes(-2, -1) if input.flags.c_contiguous else _columns(input)


def _columns(input: Any) -> Any:
    result = empty(input.swapaxes(-2, -1).shape, input.dtype)
    copy_into(result, input.swapaxes(-2, -1))
    return result.swapaxes(-2, -1)


@kernel("_moments")
def moments(input: Any, dims: Any, eps: float) -> tuple:
    mean, variance, state = _moments(input, tuple(dims))
    name = input.dtype.name
    return cast(mean, name), formula("1 / sqrt(v + eps)", (("v", state),), ("eps",), name)(variance, float(eps))


# ---------------------------------------------------------------- rounding, quotients

@kernel("round")
def round_(input: Any, *, decimals: int = 0) -> Any:
    """Halves go to even; to decimal places by way of a multiple that is rounded."""
    name = input.dtype.name
    if input.dtype.kind in "biu":
        if decimals:
            raise NotImplementedError("\"round_cuda\" not implemented for integers with decimals")
        return copied(input)
    if not decimals:
        return formula("round(x)", (("x", name),), (), name)(input)
    text = "round(x * s) / s" if decimals > 0 else "round(x / s) * s"
    return formula(text, (("x", name),), ("s",), name)(input, 10.0 ** abs(decimals))



@kernel("_trunc_divide")
def trunc_divide(input: Any, other: Any) -> Any:
    """In half precision too the quotient is rounded before it is truncated."""
    name = input.dtype.name
    text = "trunc(cast(x / y, " + name + "))" if input.dtype.kind not in "biu" else "trunc_divide(x, y)"
    return formula(text, (("x", name), ("y", other.dtype.name)), (), name)(input, other)


_NEIGHBOUR = (
    "u, v = x.to(tl.float32), y.to(tl.float32)",
    "b = x.to(tl.int16, bitcast=True)",
    "outward = (v > u) == (u > 0)",
    "step = tl.where(outward, b + 1, b - 1)",
    # from zero to the smallest number on either side
    "step = tl.where(u == 0, tl.where(v > 0, b * 0 + 1, b * 0 - 32767), step)",
)


@kernel("nextafter")
def nextafter(input: Any, other: Any) -> Any:
    """Numbers of half precision are neighbours where their bits are."""
    name = input.dtype.name
    if input.dtype.itemsize != 2:
        return formula("nextafter(x, y)", (("x", name), ("y", other.dtype.name)), (), name)(input, other)
    result = empty(np.broadcast_shapes(input.shape, other.shape), input.dtype)
    moved = f"step.to(tl.{name}, bitcast=True).to(tl.float32)"
    last = f"z = tl.where((u != u) | (v != v), u + v, tl.where(u == v, v, {moved}))"
    grid_map("nextafter", result.shape, [*_NEIGHBOUR, last], {"x": input, "y": cast(other, input.dtype)}, {"z": result})
    return result


# ---------------------------------------------------------------- complex numbers

def logaddexp(input: Any, other: Any) -> Any:
    """By the one with the larger real part; equal infinities are themselves."""
    types = (("x", input.dtype.name), ("y", other.dtype.name))
    text = ("where(isinf(real(x)) & (x == y), x, "
            "where(real(x) >= real(y), x + log1p(exp(y - x)), y + log1p(exp(x - y))))")  # fmt: skip
    return formula(text, types, (), input.dtype.name)(input, other)


COMPLEX["logaddexp"] = logaddexp

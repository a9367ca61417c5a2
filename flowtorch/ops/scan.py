"""Scans: running sums, products, extrema and log-sum-exps along a dimension."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.array.blocks import BLOCK, by_rows
from flowtorch.autograd.levels import unwrapped
from flowtorch.autograd.mode import grad_enabled
from flowtorch.errors import c_name
from flowtorch.ops.dispatch import name_function
from flowtorch.ops.factory import ones_like as _ones_like
from flowtorch.ops.families import normalize_dims, op
from flowtorch.ops.op import REGISTRY
from flowtorch.ops.order import in_rows
from flowtorch.ops.pointwise import conj
from flowtorch.ops.reduction import accumulation_type, along
from flowtorch.ops.second_order import derived
from flowtorch.tensor import wrap

_WIDE = {"f": np.float64, "F": np.complex128}             # a running total would gather an error at every step


def _in_place(op: Any) -> None:
    """The in-place form takes no other dtype than the tensor's own."""
    general = op.public_inplace

    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        d = kwargs.pop("dtype", None) or input.dtype
        if d is not input.dtype:
            raise RuntimeError(f"Bad in-place call: input tensor dtype {c_name(input.dtype)} and output tensor dtype "
                               f"{c_name(d)} should match")
        return general(input, *args, dtype=d, **kwargs)

    name_function(call, op, op.name + "_")
    op.public_inplace = call


def _are_long(input: np.ndarray) -> bool:
    """Whether these are rows in order that are better taken some at a time."""
    return input.size > BLOCK and 0 < input.shape[-1] <= BLOCK and input.flags.c_contiguous


def _accumulate(ufunc: Any, rows: np.ndarray, out: np.ndarray) -> None:
    room = rows.astype(np.float64)
    ufunc.accumulate(room, axis=1, out=room)
    np.copyto(out, room, casting="same_kind")


def _scan(ufunc: Any, name: str, vjp: Any, doc: str) -> Any:
    def body(input, dim, *, dtype=None):
        target = accumulation_type(input, dtype)
        if target.kind == "b":
            raise NotImplementedError(f"\"{name}_out_cpu\" not implemented for 'Bool'")
        if input.ndim == 0:
            normalize_dims(dim, 0)
            return input.astype(target)
        if target.itemsize == 2 and target.kind not in "iu":             # one rounding at the end
            return in_rows(ufunc.accumulate(input.astype(np.float32), axis=along(dim, input.ndim))).astype(target)
        wide = _WIDE.get(target.char)
        if wide is None:
            return in_rows(ufunc.accumulate(input, axis=along(dim, input.ndim), dtype=target))
        d = along(dim, input.ndim)
        if input.dtype == target == np.float32 and d == input.ndim - 1 and _are_long(input):
            return by_rows(lambda rows, out: _accumulate(ufunc, rows, out), input)
        room = np.array(input, wide, order="C")
        return ufunc.accumulate(room, axis=d, out=room).astype(target)
    body.__name__, body.__doc__ = name, doc
    call = op(body, tensors=("input",), linear=name == "cumsum", inplace=True, vjp=(vjp,), low="upcast", out="dtype")
    _in_place(call.op)
    return call


cumsum = _scan(np.add, "cumsum", lambda g, dim: _reverse_cumsum(g, dim), """The running sum along ``dim``. Integers
    are added up as int64.

    >>> torch.cumsum(torch.tensor([1, 2, 3]), dim=0)
    tensor([1, 3, 6])
    """)
cumprod = _scan(np.multiply, "cumprod", lambda g, input, out, dim: _cumprod_backward(g, input, out, dim),
                "The running product along ``dim``.")


def _reverse_cumsum(g, dim):
    if g.dim() == 0 or g.numel() <= 1:
        return g
    return g.flip((dim,)).cumsum(dim).flip((dim,))


def _cumprod_backward(g, input, out, dim):
    if input.dim() == 0 or input.numel() == 0:
        return g
    if input.dtype is not out.dtype:
        straight = input.real if input.dtype.is_complex and not out.dtype.is_complex else input
        input = straight.to(out.dtype)             # the factors are those of the product: dtype= came first
    if input.is_meta:
        return _reverse_cumsum(g * conj(out), dim) / conj(input)
    zeros = input == 0
    if not unwrapped(zeros).any().item() and not _differentiated(input):
        return _reverse_cumsum(g * conj(out), dim) / conj(input)
    # With zeros (and to be differentiable again there): d out_j / d x_i is the product of x_0 .. x_j without x_i.
    n = input.shape[dim]
    parts = []
    cat = REGISTRY["cat"].public
    one = _ones_like(input.narrow(dim, 0, 1))
    for i in range(n):
        before = one if i == 0 else input.narrow(dim, 0, i).prod(dim, True)
        if i + 1 < n:
            after = cat([one, input.narrow(dim, i + 1, n - i - 1).cumprod(dim)], dim)
        else:
            after = one
        parts.append((g.narrow(dim, i, n - i) * conj(before * after)).sum(dim, True))
    return cat(parts, dim)


def _differentiated(input):
    return grad_enabled() and input.requires_grad


def _running(name: str, ufunc: Any, doc: str) -> Any:
    def body(input, dim):
        if input.ndim == 0:
            normalize_dims(dim, 0)
            return input.copy(), np.zeros((), np.int64)
        d = along(dim, input.ndim)
        values = ufunc.accumulate(input, axis=d)
        # A new record is where the element equals the running extremum: ties move on to the later index, as in PyTorch.
        record = (input == values) | (np.isnan(input) if input.dtype.kind in "fV" else False)
        shape = [1] * input.ndim
        shape[d] = -1
        index = np.where(record, np.arange(input.shape[d]).reshape(shape), 0)
        return in_rows(values), in_rows(np.maximum.accumulate(index, axis=d)).astype(np.int64)
    body.__name__, body.__doc__ = name, doc
    return op(body, tensors=("input",), outputs=("values", "indices"), low="keep", rejects=("complex",),
              vjp=(lambda g, out, input_shape, dim: _running_backward(g[0], out[1], input_shape, dim),))


def _running_backward(g, index, shape, dim):
    if not shape or 0 in shape:
        return g
    return g.new_zeros(shape).scatter_add(dim, index, g)


cummax = _running("cummax", np.maximum, "(running maximum, its index) along ``dim``.")
cummin = _running("cummin", np.minimum, "(running minimum, its index) along ``dim``.")


@op(tensors=("input",), rejects=("integer", "bool"),
    vjp=(lambda g, input, out, dim: _logcumsumexp_backward(g, input, out, dim),))
def logcumsumexp(input, dim):
    """The running log-sum-exp along ``dim``."""
    if input.ndim == 0:
        normalize_dims(dim, 0)
        return input.copy()
    d = along(dim, input.ndim)
    if input.size == 0:
        return input.copy()
    if input.dtype.kind == "c":
        return in_rows(_complex_logcumsumexp(input, d))
    return in_rows(np.logaddexp.accumulate(input, axis=d))


def _complex_logcumsumexp(input: np.ndarray, d: int) -> np.ndarray:
    """Step by step along ``d``, so that the imaginary part is continued rather than wrapped into (-pi, pi]."""
    x = np.moveaxis(input.astype(np.complex128), d, 0)
    out = np.empty_like(x)
    out[0] = total = x[0]
    for i in range(1, len(x)):
        first = total.real >= x[i].real
        high, low = np.where(first, total, x[i]), np.where(first, x[i], total)
        out[i] = total = np.where(low.real == -np.inf, high, high + np.log1p(np.exp(low - high)))
    return np.moveaxis(out, 0, d).astype(input.dtype)


_PAIRS = 64          # up to this length the gradient is taken from the matrix of all pairs, which nothing can overflow


def _in_pairs(g, input, out, dim):
    """sum_j>=i g_j exp(x_i - out_j): no out_j with j >= i is smaller than x_i, so no exponential is large."""
    x, total, g = input.movedim(dim, -1), out.movedim(dim, -1), g.movedim(dim, -1)
    n = x.shape[-1]
    later = wrap(np.tri(n, dtype=bool).T).to(x.device)
    powers = conj(x.unsqueeze(-1) - total.unsqueeze(-2)).masked_fill(~later, -np.inf).exp()
    return (powers * g.unsqueeze(-2)).masked_fill(~later, 0).sum(-1).movedim(-1, dim)


def _logcumsumexp_backward(g, input, out, dim):
    if input.dim() == 0 or input.numel() == 0:
        return g
    if input.shape[dim] <= _PAIRS:
        return _in_pairs(g, input, out, dim)
    if derived(g, input):
        # Differentiable again: the same sum, scaled by the largest element instead of taken in logarithms.
        top = REGISTRY["amax"].public(input.detach(), dim, True) if not input.dtype.is_complex else 0
        return conj(input - top).exp() * _reverse_cumsum(g * conj(top - out).exp(), dim)
    if input.dtype.is_complex:
        return conj(input).exp() * _reverse_cumsum(g * (-conj(out)).exp(), dim)
    # sum_j>=i g_j exp(x_i - out_j), positive and negative parts apart so that logarithms exist.
    def part(h):
        return ((h.log() - out).flip((dim,)).logcumsumexp(dim).flip((dim,)) + input).exp()
    return part(g.clamp(min=0)) - part((-g).clamp(min=0))



"""Products of operands of fixed rank: mm, bmm, mv, dot and their sums with a further tensor (addmm, baddbmm, ...)."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from flowtorch.ops.families import inplace_general, normalize_dim, result_dtype
from flowtorch.ops.linear import adjoint, contraction, matmul, product
from flowtorch.ops.linear_checks import check_expand
from flowtorch.ops.old_orders import reorder
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.pointwise import conj
from flowtorch.tensor import Tensor

# The bodies raise on operands that the checks of the complete path would refuse; what they say is never seen.

def _unlike(*arrays: np.ndarray) -> bool:
    """Whether the dtypes are not all one."""
    d = arrays[0].dtype
    return any(a.dtype is not d and a.dtype != d for a in arrays)


_left = (lambda g, mat2: matmul(g, adjoint(mat2)), lambda g, input: matmul(adjoint(input), g))


@contraction(("input", "mat2"), name="mm", vjp=_left)
def mm(input, mat2):
    """The product of two matrices, (n, k) by (k, m), of one dtype; RuntimeError otherwise. ``matmul`` takes batches.

    >>> torch.mm(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    if input.ndim != 2 or mat2.ndim != 2 or _unlike(input, mat2):
        raise TypeError
    return product(input, mat2)


@contraction(("input", "mat2"), name="bmm", vjp=_left)
def bmm(input, mat2):
    """The products of two batches of matrices: (b, n, k) by (b, k, m). The batches must be equal; ``matmul``
    broadcasts them.

    >>> torch.bmm(torch.ones(5, 2, 3), torch.ones(5, 3, 4)).shape
    torch.Size([5, 2, 4])
    """
    if input.ndim != 3 or mat2.ndim != 3 or _unlike(input, mat2):
        raise TypeError
    if len(input) != len(mat2):
        raise TypeError
    return product(input, mat2)


@contraction(("input", "vec"), name="mv", vjp=(lambda g, vec: g.unsqueeze(1) * conj(vec),
                                               lambda g, input: matmul(adjoint(input), g)))
def mv(input, vec):
    """The product of a matrix and a vector."""
    if input.ndim != 2 or vec.ndim != 1 or _unlike(input, vec):
        raise TypeError
    return product(input, vec)


@contraction(
    ("input", "tensor"), name="dot", vjp=(lambda g, tensor: g * conj(tensor), lambda g, input: g * conj(input))
)
def dot(input, tensor):
    """The sum of the products of two vectors' elements."""
    if input.ndim != 1 or tensor.ndim != 1 or _unlike(input, tensor):
        raise TypeError
    return input.dot(tensor)


@contraction(("input", "other"), name="vdot", vjp=(lambda g, other: conj(g) * other, lambda g, input: g * input))
def vdot(input, other):
    """``dot`` with the first vector conjugated."""
    if input.ndim != 1 or other.ndim != 1 or _unlike(input, other):
        raise TypeError
    return np.vdot(input, other)


# ---------------------------------------------------------------- beta * input + alpha * product

def _scaled(a: np.ndarray, factor: Any) -> np.ndarray:
    """``a`` times a Python number, in ``a``'s dtype (integers cut the number's fraction off first)."""
    if factor == 1 and type(factor) is not complex:
        return a
    if type(factor) is complex and a.dtype.kind != "c":
        raise RuntimeError("value cannot be converted to type "
                           f"{'double' if a.dtype == np.float64 else 'float'} without overflow")
    return a * np.asarray(factor).astype(a.dtype)


def _combine(input: np.ndarray, total: Any, beta: Any, alpha: Any) -> np.ndarray:
    total = _scaled(np.asarray(total), alpha)
    if beta == 0:                                                 # what is multiplied by zero may be NaN
        return total
    scaled = _scaled(input, beta)
    if total.flags.writeable and np.broadcast_shapes(scaled.shape, total.shape) == total.shape:
        return np.add(total, scaled, total)
    raise ValueError("shape mismatch")


def _times(g: Any, factor: Any) -> Any:
    return g if factor == 1 else g * (factor.conjugate() if isinstance(factor, complex) else factor)


@contraction(("input", "mat1", "mat2"), name="addmm", inplace=True, vjp=(
    lambda g, beta: _times(g, beta), lambda g, mat2, alpha: _times(matmul(g, adjoint(mat2)), alpha),
    lambda g, mat1, alpha: _times(matmul(adjoint(mat1), g), alpha)))
def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """``beta * input + alpha * (mat1 @ mat2)``; ``input`` broadcasts."""
    if mat1.ndim != 2 or mat2.ndim != 2 or _unlike(input, mat1, mat2):
        raise TypeError
    return _combine(input, product(mat1, mat2), beta, alpha)


@contraction(("input", "mat", "vec"), name="addmv", inplace=True, vjp=(
    lambda g, beta: _times(g, beta), lambda g, vec, alpha: _times(g.unsqueeze(1) * conj(vec), alpha),
    lambda g, mat, alpha: _times(matmul(adjoint(mat), g), alpha)))
def addmv(input, mat, vec, *, beta=1, alpha=1):
    """``beta * input + alpha * (mat @ vec)``; ``input`` broadcasts."""
    if mat.ndim != 2 or vec.ndim != 1 or _unlike(input, mat, vec):
        raise TypeError
    return _combine(input, product(mat, vec), beta, alpha)


@contraction(("input", "batch1", "batch2"), name="addbmm", inplace=True, vjp=(
    lambda g, beta: _times(g, beta), lambda g, batch2, alpha: _times(matmul(g, adjoint(batch2)), alpha),
    lambda g, batch1, alpha: _times(matmul(adjoint(batch1), g), alpha)))
def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """``beta * input + alpha *`` the sum of the products of two batches of matrices; ``input`` broadcasts."""
    if batch1.ndim != 3 or batch2.ndim != 3 or _unlike(input, batch1, batch2):
        raise TypeError
    n, rows, inner = batch1.shape
    if batch2.shape[:2] != (n, inner):
        raise TypeError
    # The sum over the batch is part of one long product.
    total = product(
        batch1.transpose(1, 0, 2).reshape(rows, n * inner),
        batch2.reshape(n * inner, -1) if batch2.size else batch2.reshape(n * inner, batch2.shape[2]),
    )
    return _combine(input, total, beta, alpha)


@contraction(("input", "batch1", "batch2"), name="baddbmm", inplace=True, vjp=(
    lambda g, beta: _times(g, beta), lambda g, batch2, alpha: _times(matmul(g, adjoint(batch2)), alpha),
    lambda g, batch1, alpha: _times(matmul(adjoint(batch1), g), alpha)))
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """``beta * input + alpha *`` the products of two batches of matrices; ``input`` broadcasts."""
    if batch1.ndim != 3 or batch2.ndim != 3 or _unlike(input, batch1, batch2):
        raise TypeError
    if len(batch1) != len(batch2):
        raise TypeError
    return _combine(input, product(batch1, batch2), beta, alpha)


def _checked_inplace(name: str) -> Any:
    """The in-place form, which refuses results of another shape in PyTorch's words."""
    record = REGISTRY[name]
    plain = inplace_general(record)

    def call(self, *args, **kwargs):
        first, second = (args[k] if len(args) > k else kwargs.get(record.names[k + 1]) for k in (0, 1))
        if isinstance(first, Tensor) and isinstance(second, Tensor) and name in ("addmm", "addbmm") and (
                first.dim() == second.dim() == (2 if name == "addmm" else 3)):
            shape = [first.shape[-2], second.shape[-1]]
            if list(self.shape) != shape:
                raise RuntimeError(f"Bad in-place call: input tensor size {list(self.shape)} and output tensor size "
                                   f"{shape} "
                                   "should match")
        return plain(self, *args, **kwargs)
    call.__name__ = call.__qualname__ = name + "_"
    call.__doc__ = record.doc
    return call


for _name in ("addmm", "addmv", "addbmm", "baddbmm"):
    REGISTRY[_name].public_inplace = _checked_inplace(_name)            # type: ignore[attr-defined]


# ---------------------------------------------------------------- outer products

def _vector(t: Any, op_name: str, argument: str) -> None:
    if t.dim() != 1:
        raise RuntimeError(f"{op_name}: Expected 1-D argument {argument}, but got {t.dim()}-D")


@composite(method=True, out=True)
def outer(input, vec2):
    """All products of an element of each vector."""
    if not isinstance(vec2, Tensor):
        raise TypeError(f"outer(): argument 'vec2' (position 2) must be Tensor, not {type(vec2).__name__}")
    _vector(input, "outer", "self")
    _vector(vec2, "outer", "vec2")
    return input.unsqueeze(1) * vec2


@composite(method=True, out=True)
def ger(input, vec2):
    """All products of an element of each vector; another name of ``outer``."""
    return outer(input, vec2)


@composite(method=True, out=True, inplace=True)
def addr(input, vec1, vec2, *old_order, beta=1, alpha=1):
    """``beta * input + alpha * outer(vec1, vec2)``; ``input`` broadcasts."""
    if old_order:
        found = reorder("addr", (input, vec1, vec2, *old_order), {})
        if found is None:
            raise TypeError(f"addr() takes 3 positional arguments but {3 + len(old_order)} were given")
        return addr(*found[0], **found[1])
    _vector(vec1, "addr", "vec1")
    _vector(vec2, "addr", "vec2")
    shape = (vec1.size(0), vec2.size(0))
    check_expand(input, shape)
    if input.dtype.rank == vec1.dtype.rank == vec2.dtype.rank == 0:
        both = vec1.unsqueeze(1) & vec2 if alpha else input.new_zeros(shape)
        return (input & bool(beta)) | both
    if all(t.dtype.rank < 2 for t in (input, vec1, vec2)):
        for value, name in ((beta, "beta"), (alpha, "alpha")):
            if isinstance(value, float):
                raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")
    total = outer(vec1, vec2)
    total = total if alpha == 1 else total * alpha
    if beta == 0:
        return total.to(result_dtype([input.reshape(-1)[:1], total])) if input.numel() else total
    return (input if beta == 1 else input * beta) + total


# ---------------------------------------------------------------- cross

@contraction(("input", "other"), name="linalg_cross", method=False, namespace="Tensor", node="LinalgCrossBackward0",
             vjp=(lambda g, other, dim: _cross(conj(other), g, dim), lambda g, input, dim: _cross(g, conj(input), dim)))
def _cross(input, other, dim=-1):
    """The vector product of the 3-vectors along ``dim``."""
    if input.dtype.kind == "b":
        raise NotImplementedError('"cross" not implemented for \'Bool\'')
    shape = np.broadcast_shapes(input.shape, other.shape)
    a = np.moveaxis(np.broadcast_to(input, shape), dim, 0)
    b = np.moveaxis(np.broadcast_to(other, shape), dim, 0)
    out = np.empty(shape, input.dtype)
    c = np.moveaxis(out, dim, 0)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        np.subtract(a[j] * b[k], a[k] * b[j], out=c[i, ...])
    return out


@composite(namespace="linalg", name="cross")
def linalg_cross(input, other, *, dim=-1, out=None):
    """The vector product of the 3-vectors along ``dim``."""
    if input.dim() != other.dim():
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    d = normalize_dim(dim, input.dim())
    if input.dim() == 0 or input.size(d) != 3 or other.size(d) != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.size(d)} and "
                           f"{other.size(d)}")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.label} but found {other.dtype.label}")
    return _cross(input, other, d) if out is None else _cross(input, other, d, out=out)


@composite(method=True)
def cross(input, other, dim=None, *, out=None):
    """The vector product of the 3-vectors along ``dim``, by default the first dimension of size 3."""
    if dim is None:
        warnings.warn("Using torch.cross without specifying the dim arg is deprecated.\nPlease either pass the dim "
                      "explicitly "
                      "or simply use torch.linalg.cross.\nThe default value of dim will change to agree with that of "
                      "linalg.cross in a future release.", stacklevel=2)
        dim = next((d for d, n in enumerate(input.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return linalg_cross(input, other, dim=dim, out=out)

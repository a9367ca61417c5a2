"""Vector norms and what is built on them."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array import sums
from flowtorch.ops.arguments import int_tuple, need_int, need_number
from flowtorch.ops.families import normalize_dim, normalize_dims, op
from flowtorch.ops.op import composite
from flowtorch.ops.order import in_rows
from flowtorch.ops.reduction import expand_reduced
from flowtorch.tensor import Tensor


@op(
    name="_vector_norm",
    tensors=("input",),
    method=False,
    out=False,
    node="LinalgVectorNormBackward0",
    rejects=("integer", "bool"),
    vjp=(lambda g, input, out, ord, dim, keepdim: _norm_backward(g, input, out, ord, dim, keepdim),),
)
def _vector_norm(input, ord=2.0, dim=None, keepdim=False):
    """The ``ord``-norm over ``dim`` (all by default)."""
    return in_rows(np.asarray(_norms(input, ord, normalize_dims(dim, input.ndim), keepdim)))


def _norms(input: Any, ord: float, axes: tuple, keepdim: Any) -> Any:
    if ord == 2 and (total := sums.over(input, axes, keepdim, squares=True)) is not None:
        return np.sqrt(total)
    size = np.absolute(input)
    if ord == math.inf:
        return np.maximum.reduce(size, axis=axes, keepdims=keepdim)
    if ord == -math.inf:
        return np.minimum.reduce(size, axis=axes, keepdims=keepdim)
    if ord == 0:
        return np.asarray(np.add.reduce(size != 0, axis=axes, keepdims=keepdim)).astype(size.dtype)
    if ord == 1:
        return np.add.reduce(size, axis=axes, keepdims=keepdim)
    if ord == 2:
        return np.sqrt(np.add.reduce(size * size, axis=axes, keepdims=keepdim))
    total = np.add.reduce(np.power(size, size.dtype.type(ord)), axis=axes, keepdims=keepdim)
    return np.power(total, size.dtype.type(1 / ord))


def _norm_backward(g: Any, input: Any, norm: Any, ord: float, dim: Any, keepdim: bool) -> Any:
    shape = tuple(input.shape)
    g, norm = expand_reduced(g, shape, dim, keepdim), expand_reduced(norm, shape, dim, keepdim)
    if ord == 0:
        return None
    if ord == 1:
        return input.sgn() * g
    if ord == 2:
        return g * (input / norm).masked_fill(norm == 0, 0)
    if math.isinf(ord):
        size = input.abs()
        mask = (size == norm).logical_or(size.isnan().logical_and(norm.isnan()))
        count = mask.sum(normalize_dims(dim, len(shape)) if shape else None, True)
        return input.sgn() * (g / count * mask)
    if ord < 1:
        part = input.sgn() * input.abs().pow(ord - 1).masked_fill(input == 0, 0)
        return part * (g * norm.pow(1 - ord))
    if ord < 2:
        return input.sgn() * input.abs().pow(ord - 1) * (g / norm.pow(ord - 1)).masked_fill(norm == 0, 0)
    return input * input.abs().pow(ord - 2) * (g / norm.pow(ord - 1)).masked_fill(norm == 0, 0)


@composite(namespace="linalg", out=True)
def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None):
    """The ``ord``-norm of a vector, or of the vectors along ``dim``; ``dtype`` is the type to compute in."""
    if not isinstance(x, Tensor):
        raise TypeError(f"linalg_vector_norm(): argument 'x' (position 1) must be Tensor, not {type(x).__name__}")
    need_number("linalg_vector_norm", "ord", 2, ord)
    if isinstance(ord, complex):
        raise RuntimeError("linalg.vector_norm: Expected a non-complex scalar as the order of norm.")
    if x.dtype.rank < 2:
        raise RuntimeError("linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
                           f"{x.dtype.label}")
    if dtype is not None:
        if dtype.is_complex != x.dtype.is_complex or dtypes.promote_types(x.dtype, dtype) is not dtype:
            raise RuntimeError(f"linalg.vector_norm: the dtype of the input ({x.dtype.label}) should be convertible "
                               "without narrowing "
                               f"to the specified dtype ({dtype.label})" if dtype.is_complex == x.dtype.is_complex else
                               f"linalg.vector_norm: dtype should be {'complex' if x.dtype.is_complex else 'real'} for "
                               f"{'complex' if x.dtype.is_complex else 'real'} inputs, but got {dtype.label}")
        x = x.to(dtype)
    dims = normalize_dims(dim, x.dim()) if dim is not None and dim != () and dim != [] else None
    gone = dims if dims is not None else tuple(range(x.dim()))
    if any(x.shape[d] == 0 for d in gone) and (ord < 0 or math.isinf(ord)):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty "
            + (
                "tensor because the operation does not have an identity"
                if dims is None or len(gone) == x.dim()
                else "dimension because this dimension is empty and the operation does not have an identity"
            )
        )
    return _vector_norm(x, float(ord), dims, keepdim)


@composite(out=True)
def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    """The ``p``-norm of all elements, or over ``dim``; "fro" is the 2-norm, "nuc" the sum of singular values.

    Only of floating-point and complex tensors (RuntimeError otherwise). ``torch.linalg.vector_norm`` is the newer
    function.

    >>> torch.norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), dim=1)
    tensor([5., 1.])
    """
    if input.dtype.rank < 2:
        raise RuntimeError("linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
                           f"{input.dtype.label}")
    if p == "nuc":
        from flowtorch import linalg

        return linalg.matrix_norm(input, "nuc", (-2, -1) if dim is None else tuple(dim), keepdim, dtype=dtype)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"only valid string values are 'fro' and 'nuc', found: {p}")
    order = 2 if p == "fro" or p is None else p
    if isinstance(order, Tensor):
        order = order.item()
    return vector_norm(input, order, dim, keepdim, dtype=dtype)


@composite(namespace="Tensor", method="norm", name="norm")
def _norm_method(self, p="fro", dim=None, keepdim=False, dtype=None):
    """See ``torch.norm``.

    >>> torch.tensor([3.0, 4.0]).norm()
    tensor(5.)
    """
    return norm(self, p, dim, keepdim, dtype=dtype)


@composite(out=True, method=True, inplace=True)
def renorm(input, p, dim, maxnorm):
    """Scale the slices along ``dim`` whose ``p``-norm exceeds ``maxnorm`` down to it."""
    if input.dim() < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.dim()} dimensions")
    if isinstance(p, complex) or p <= 0:
        raise RuntimeError(
            "renorm: non-positive-norm not supported" if not isinstance(p, complex) else "renorm: p must be real-valued"
        )
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    dim = normalize_dim(dim, input.dim())
    others = tuple(d for d in range(input.dim()) if d != dim)
    size = vector_norm(input, p, others, True)
    factor = (maxnorm / (size + 1e-7)).masked_fill((size > maxnorm).logical_not(), 1)     # nan scales nothing
    return (input * factor).contiguous()


@composite(out=True)
def frobenius_norm(input, dim, keepdim=False):
    """The 2-norm over one or two dimensions, or over all for an empty ``dim``."""
    dims = int_tuple("frobenius_norm", "dim", 2, dim)
    if len(dims) > 2:
        raise RuntimeError(f"Expected at most 2 dimensions, but got {len(dims)} dimensions instead.")
    return vector_norm(input, 2, dims or None, keepdim).contiguous()


@composite(out=True)
def nuclear_norm(input, dim=None, keepdim=False):
    """The sum of the singular values of matrices."""
    from flowtorch import linalg

    if isinstance(dim, bool):                                   # nuclear_norm(input, keepdim)
        dim, keepdim = None, dim
    return linalg.matrix_norm(input, "nuc", (-2, -1) if dim is None else tuple(dim), keepdim)


@composite
def norm_except_dim(v, pow=2, dim=0):
    """The norm over all dimensions but ``dim``, which alone keeps its size (-1: over all)."""
    pow, dim = need_int("norm_except_dim", "pow", 2, pow), need_int("norm_except_dim", "dim", 3, dim)
    if dim == -1:
        return norm(v, pow)
    (kept,) = normalize_dims(dim, v.dim())
    return norm(v, pow, [d for d in range(v.dim()) if d != kept], True)

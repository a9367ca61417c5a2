"""Functions of the elements that a mask lets through: the others are replaced by what does not change the result."""
from __future__ import annotations

import math
from typing import Any

import flowtorch as ft
from flowtorch import dtypes
from flowtorch.ops.families import normalize_dims
from flowtorch.tensor import Tensor

_Dims = Any


# ---------------------------------------------------------------- arguments

def _parts(input: Any, mask: Any) -> tuple[Any, Any]:
    """(data, mask) of a tensor and a mask, of which a MaskedTensor has one of its own."""
    from flowtorch.masked.tensor import MaskedTensor

    if isinstance(input, MaskedTensor):
        own = input.get_mask()
        return input.get_data(), own if mask is None else own & mask
    if not isinstance(input, Tensor):
        raise TypeError(f"expected input to be a Tensor, not {type(input).__name__}")
    return input, mask


def _as_mask(input: Any, mask: Any) -> Any:
    """A boolean mask of the input's shape, None for none."""
    if mask is None:
        return None
    if len(mask.shape) > input.dim():
        raise IndexError("_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)")
    if mask.layout is not dtypes.strided:
        mask = mask.to_dense()
    if mask.shape != input.shape:
        mask = ft.broadcast_to(mask.clone(), input.shape)
    return mask if mask.dtype is dtypes.bool_ else mask.to(dtypes.bool_)


def _hidden(input: Any, mask: Any, fill: Any) -> Any:
    """``input`` with ``fill`` where the mask hides elements."""
    mask = _as_mask(input, mask)
    if mask is None:
        return input
    return ft.where(mask, input, ft.full((), fill, dtype=input.dtype, device=input.device))


def _strided(name: str, input: Any) -> None:
    if input.layout is not dtypes.strided:
        raise ValueError(f"masked {name} expects strided tensor (got {input.layout} tensor)")


def _accumulating(input: Any, dtype: Any) -> Any:
    """The dtype of sums: integers and bools count in int64."""
    if dtype is not None:
        return dtype
    return dtypes.int64 if input.dtype.rank < 2 else input.dtype


def _lowest(dtype: Any) -> Any:
    if dtype.rank >= 2:
        return -math.inf
    return False if dtype is dtypes.bool_ else dtypes.iinfo(dtype).min


def _highest(dtype: Any) -> Any:
    if dtype.is_floating_point:
        return math.inf
    return True if dtype is dtypes.bool_ else dtypes.iinfo(dtype).max


def _dims(dim: _Dims, n: int) -> tuple[int, ...]:
    if dim == ():
        dim = None
    return normalize_dims(dim, n)


def _first(dim: Any, n: int) -> int:
    dims = _dims(dim, n)
    return dims[0] if dims else 0


# ---------------------------------------------------------------- reductions

def sum(input: Any, dim: _Dims = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Any = None) -> Any:
    """The sum of the elements that the mask lets through; 0 where there are none."""
    input, mask = _parts(input, mask)
    dtype = _accumulating(input, dtype)
    if input.layout is not dtypes.strided:
        return _sparse_sum(input, dim, bool(keepdim), dtype, mask)
    dims = _dims(dim, input.dim())
    return ft.sum(_hidden(input, mask, 0), dims, bool(keepdim), dtype=dtype)


def _sparse_sum(input: Any, dim: _Dims, keepdim: bool, dtype: Any, mask: Any) -> Any:
    if mask is not None:
        input = input.sparse_mask(mask.to(input.dtype) if mask.layout is input.layout else mask.to_sparse())
    if dim is None or dim == ():
        dim = tuple(range(input.dim()))
    return input.sum(dim, keepdim, dtype=dtype)


def prod(input: Any, dim: _Dims = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Any = None) -> Any:
    """The product of the elements that the mask lets through; 1 where there are none."""
    input, mask = _parts(input, mask)
    _explicit("prod", input, mask)
    dtype = _accumulating(input, dtype)
    result = _hidden(input, mask, 1).to(dtype)
    for d in sorted(_dims(dim, input.dim()), reverse=True):
        result = result.prod(d, keepdim=bool(keepdim))
    return result


def _explicit(name: str, input: Any, mask: Any) -> None:
    if input.layout is not dtypes.strided:
        if mask is None and input.is_sparse:
            raise ValueError(f"masked {name} expects explicit mask for sparse_coo tensor input")
        raise ValueError(f"masked {name} of {input.layout} tensors is not supported; use to_dense()")


def amax(input: Any, dim: _Dims = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Any = None) -> Any:
    """The largest element that the mask lets through; the lowest number where there is none."""
    return _extreme("amax", _lowest, input, dim, keepdim, dtype, mask)


def amin(input: Any, dim: _Dims = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Any = None) -> Any:
    """The smallest element that the mask lets through; the highest number where there is none."""
    return _extreme("amin", _highest, input, dim, keepdim, dtype, mask)


def _extreme(name: str, fill: Any, input: Any, dim: _Dims, keepdim: Any, dtype: Any, mask: Any) -> Any:
    input, mask = _parts(input, mask)
    _explicit(name, input, mask)
    shown = _hidden(input, mask, fill(input.dtype))
    return getattr(ft, name)(shown, _dims(dim, input.dim()), bool(keepdim)).to(dtype or input.dtype)


def argmax(input: Any, dim: int | None = None, *, keepdim: bool | None = False, dtype: Any = None,
           mask: Any = None) -> Any:
    """Where the largest element that the mask lets through stands."""
    return _place("argmax", _lowest, input, dim, keepdim, dtype, mask)


def argmin(input: Any, dim: int | None = None, *, keepdim: bool | None = False, dtype: Any = None,
           mask: Any = None) -> Any:
    """Where the smallest element that the mask lets through stands."""
    return _place("argmin", _highest, input, dim, keepdim, dtype, mask)


def _place(name: str, fill: Any, input: Any, dim: Any, keepdim: Any, dtype: Any, mask: Any) -> Any:
    if dim is not None and isinstance(dim, (tuple, list)):
        raise TypeError(f"{name}(): argument 'dim' (position 2) must be int, not {type(dim).__name__}")
    input, mask = _parts(input, mask)
    _strided(name, input)
    shown = _hidden(input, mask, fill(input.dtype))
    return getattr(ft, name)(shown, dim, bool(keepdim)).to(dtype or input.dtype)




def mean(input: Any, dim: _Dims = None, *, keepdim: bool | None = False, dtype: Any = None, mask: Any = None) -> Any:
    """The mean of the elements that the mask lets through; nan where there are none."""
    input, mask = _parts(input, mask)
    dtype_source = "Optional" if dtype is not None else "Input"
    dtype = input.dtype if dtype is None else dtype
    if not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(f"mean(): Could not infer output dtype. {dtype_source} dtype must be either a floating point "
                         f"or complex dtype. Got: {dtype!r}")
    if input.layout is not dtypes.strided:
        raise ValueError(f"masked mean expects strided or sparse_csr tensor (got {input.layout} tensor)")
    dims = _dims(dim, input.dim())
    if mask is None:
        return ft.mean(input, dims, bool(keepdim), dtype=dtype)
    total = ft.sum(_hidden(input, mask, 0), dims, bool(keepdim), dtype=dtype)
    count = ft.sum(_as_mask(input, mask), dims, bool(keepdim))
    return total / count


def var(input: Any, dim: _Dims = None, unbiased: bool | None = None, *, correction: Any = None,
        keepdim: bool | None = False, dtype: Any = None, mask: Any = None) -> Any:
    """The variance of the elements that the mask lets through."""
    return _spread(input, dim, unbiased, correction, keepdim, dtype, mask, False)


def std(input: Any, dim: _Dims = None, unbiased: bool | None = None, *, correction: Any = None,
        keepdim: bool | None = False, dtype: Any = None, mask: Any = None) -> Any:
    """The standard deviation of the elements that the mask lets through."""
    return _spread(input, dim, unbiased, correction, keepdim, dtype, mask, True)


def _spread(input: Any, dim: _Dims, unbiased: Any, correction: Any, keepdim: Any, dtype: Any, mask: Any,
            root: bool) -> Any:
    if unbiased is not None and correction is not None:
        raise RuntimeError("Only one of unbiased and correction may be given")
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    input, mask = _parts(input, mask)
    _strided("std_var", input)
    if dtype is None:
        dtype = input.dtype if input.dtype.rank >= 2 else dtypes.get_default_dtype()
    work = dtype if dtype.rank >= 2 else dtypes.get_default_dtype()
    dims = _dims(dim, input.dim())
    if mask is None:
        result = (ft.std if root else ft.var)(input.to(work), dims, correction=correction, keepdim=bool(keepdim))
        return result.to(dtype)
    shown = _as_mask(input, mask)
    x = input.to(work)
    count = ft.sum(shown, dims, True)
    center = ft.sum(_hidden(x, mask, 0), dims, True) / count
    deviation = x - center
    square = deviation * deviation.conj() if deviation.is_complex() else deviation * deviation
    total = ft.sum(_hidden(square, mask, 0), dims, bool(keepdim))
    if not keepdim:
        count = count.reshape(total.shape)
    if correction:
        count = ft.maximum(count - correction, count.new_zeros(())).to(work.to_real())
    result = total / count
    return (ft.sqrt(result) if root else result).to(dtype)


def median(input: Any, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """The (lower) median of the elements that the mask lets through; nan where there are none."""
    input, mask = _parts(input, mask)
    _strided("median", input)
    dtype = input.dtype if dtype is None else dtype
    at = _first(dim, input.dim())
    if input.dtype.is_floating_point:
        return ft.nanmedian(_hidden(input, mask, math.nan), at, keepdim)[0].to(dtype)
    shown = _as_mask(input, mask)
    if shown is None:
        return ft.median(input, at, keepdim)[0].to(dtype)
    if not shown.any(at).all():
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    wide = _hidden(input.to(dtypes.float64), mask, math.nan)
    return ft.nanmedian(wide, at, keepdim)[0].to(dtype)


def logsumexp(input: Any, dim: _Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None) -> Any:
    """log(sum(exp())) of the elements that the mask lets through; -inf where there are none."""
    input, mask = _parts(input, mask)
    _strided("logsumexp", input)
    dtype = input.dtype if dtype is None else dtype
    shown = _hidden(input, mask, _lowest(input.dtype))
    return ft.logsumexp(shown, _dims(dim, input.dim()), keepdim).to(dtype)


def norm(input: Any, ord: float | None = 2.0, dim: _Dims = None, *, keepdim: bool | None = False, dtype: Any = None,
         mask: Any = None) -> Any:
    """The vector norm of the elements that the mask lets through."""
    input, mask = _parts(input, mask)
    _strided("norm", input)
    ord = 2.0 if ord is None else ord
    shown = _hidden(input, mask, math.inf if ord == -math.inf else 0)
    from flowtorch.linalg import vector_norm  # type: ignore[attr-defined]

    return vector_norm(shown, ord, list(_dims(dim, input.dim())), bool(keepdim), dtype=dtype)


# ---------------------------------------------------------------- along one dimension

def cumsum(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Sums so far of the elements that the mask lets through."""
    input, mask = _parts(input, mask)
    _strided("cumsum", input)
    return ft.cumsum(_hidden(input, mask, 0), _first(dim, input.dim()), dtype=dtype or input.dtype)


def cumprod(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Products so far of the elements that the mask lets through."""
    input, mask = _parts(input, mask)
    _strided("cumprod", input)
    return ft.cumprod(_hidden(input, mask, 1), _first(dim, input.dim()), dtype=dtype or input.dtype)


def softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Softmax over the elements that the mask lets through; the others get 0."""
    return _normalized("softmax", input, dim, dtype, mask)


def log_softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """The logarithm of ``softmax``."""
    return _normalized("log_softmax", input, dim, dtype, mask)


def softmin(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Softmax of the negated elements."""
    return _normalized("softmin", input, dim, dtype, mask)


def _normalized(name: str, input: Any, dim: int, dtype: Any, mask: Any) -> Any:
    input, mask = _parts(input, mask)
    _strided(name, input)
    dtype = input.dtype if dtype is None else dtype
    low, high = _lowest(input.dtype), _highest(input.dtype)
    shown = _hidden(input, mask, high if name == "softmin" else low)
    at = _first(dim, input.dim())
    return getattr(ft.nn.functional, name)(shown, at, dtype=dtype)


def normalize(input: Any, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None) -> Any:
    """The elements that the mask lets through divided by their norm; the others get 0."""
    input, mask = _parts(input, mask)
    _strided("normalize", input)
    dtype = input.dtype if dtype is None else dtype
    size = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    denominator = ft.maximum(size, size.new_full((), eps)) if not size.is_complex() else size
    return _hidden(input, mask, 0) / denominator


def logaddexp(input: Any, other: Any, *, dtype: Any = None, input_mask: Any = None, other_mask: Any = None) -> Any:
    """log(exp(input) + exp(other)) with hidden elements as -inf."""
    input, input_mask = _parts(input, input_mask)
    other, other_mask = _parts(other, other_mask)
    dtype = input.dtype if dtype is None else dtype
    _strided("logaddexp", input)
    return ft.logaddexp(_hidden(input, input_mask, -math.inf), _hidden(other, other_mask, -math.inf)).to(dtype)

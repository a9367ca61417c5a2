"""Reductions to fewer elements: sums, means, products, extrema, logical tests, norms."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array import sums
from flowtorch.autograd.node_names import recorded_as
from flowtorch.ops import dispatch
from flowtorch.ops.arguments import need_ints, need_number
from flowtorch.ops.factory import ones_like as _ones_like
from flowtorch.ops.families import named_result, normalize_dim, normalize_dims, op, reduction
from flowtorch.ops.op import REGISTRY, composite, pytorch_names
from flowtorch.ops.order import in_rows
from flowtorch.ops.pointwise import conj, maximum, minimum
from flowtorch.tensor import Tensor

_add_reduce: Any = np.add.reduce
_SHORT = 256
_INT64 = np.dtype(np.int64)
# Sums of few elements are done as products with these: half the time of np.add.reduce, and as exact.
_ONES = {4: [np.ones(n, np.float32) for n in range(_SHORT + 1)], 8: [np.ones(n, np.float64) for n in range(_SHORT + 1)]}


def expand_reduced(g: Tensor, shape: tuple, dim: Any, keepdim: bool) -> Any:
    """A reduced gradient (or result) shaped to broadcast against the input again."""
    if keepdim or not shape:
        return g
    for d in sorted(normalize_dims(dim, len(shape))):
        g = g.unsqueeze(d)                                              # type: ignore[attr-defined]
    return g


def accumulation_type(array: np.ndarray, dtype: Any) -> np.dtype:
    """The dtype in which a sum or product of ``array`` is given: integers and bools widen to int64."""
    if dtype is not None:
        return dtype.numpy
    return _INT64 if array.dtype.kind in "biu" else array.dtype


@reduction(name="sum", linear=True, out="dtype",
           vjp=(lambda g, input_shape, dim, keepdim: expand_reduced(g, input_shape, dim, keepdim).expand(input_shape),))
def sum_(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over dimension(s) ``dim`` (all by default). Integers and booleans are added up as int64, unless
    ``dtype`` is given.

    >>> x = torch.tensor([[1, 2], [3, 4]])
    >>> x.sum()
    tensor(10)
    >>> x.sum(dim=0, keepdim=True)
    tensor([[4, 6]])
    """
    if dim is None and dtype is None and not keepdim:
        n = input.size
        if n and input.dtype.kind == "f" and input.itemsize > 2 and input.flags.c_contiguous:
            return np.vdot(input, _ONES[input.itemsize][n]) if n <= _SHORT else sums.total(input)
    elif input.ndim == 2 and dtype is None and type(dim) is int and (
            total := _sum_of_few(input, dim, keepdim)) is not None:
        return total
    target = accumulation_type(input, dtype)
    if dtype is not None and input.dtype.kind == "c" and target.kind != "c":
        input = input.real
    known = type(dim) is int and -input.ndim <= dim < input.ndim
    axes = dim if known else normalize_dims(dim, input.ndim)
    if input.size >= sums.FEW and target is input.dtype:
        total = sums.over(input, (axes % input.ndim,) if type(axes) is int else axes, keepdim)
        if total is not None:
            return total
    if target.itemsize == 2 and target.kind not in "iu":
        return _add_reduce(input.astype(np.float32), axis=axes, keepdims=keepdim).astype(target)
    if type(axes) is int and input.ndim > 1 and input.shape[axes] >= 512 and input.flags.c_contiguous and (
            target.kind in "fc" and axes % input.ndim != input.ndim - 1):
        return _sum_in_blocks(input, axes % input.ndim, target, keepdim)
    return _add_reduce(input, axis=axes, dtype=target, keepdims=keepdim)


def _sum_of_few(matrix: np.ndarray, dim: int, keepdim: bool) -> np.ndarray | None:
    """The sums of a small matrix along a dimension, by a product with ones; None where that is not the way."""
    char = matrix.dtype.char
    if not 0 < matrix.size < sums.FEW or char not in "fd" or not matrix.flags.c_contiguous:
        return None
    rows, columns = matrix.shape
    if (dim == 1 or dim == -1) and columns <= sums.CHUNK:
        total = matrix.dot(sums.ones(columns, char))
        return total.reshape(rows, 1) if keepdim else total
    if (dim == 0 or dim == -2) and rows <= sums.ROWS:
        total = sums.ones(rows, char).dot(matrix)
        return total.reshape(1, columns) if keepdim else total
    return None


def _sum_in_blocks(input: np.ndarray, axis: int, target: np.dtype, keepdim: bool) -> np.ndarray:
    """The sum along an outer axis, block by block: numpy adds row to row there, and the error would grow with n."""
    n = input.shape[axis]
    block = math.isqrt(n)
    whole = n // block * block
    shape = input.shape
    parts = input[(slice(None),) * axis + (slice(whole),)].reshape(
        *shape[:axis], whole // block, block, *shape[axis + 1:])
    total = _add_reduce(_add_reduce(parts, axis=axis + 1, dtype=target), axis=axis, keepdims=keepdim)
    if whole < n:
        rest = input[(slice(None),) * axis + (slice(whole, None),)]
        total += _add_reduce(rest, axis=axis, dtype=target, keepdims=keepdim)
    return total


@reduction(linear=True, vjp=(lambda g, input_shape, dim, keepdim: expand_reduced(g, input_shape, dim, keepdim).expand(
    input_shape) / _count(input_shape, dim),))
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean over dimension(s) ``dim`` (all by default).

    Only of floating-point and complex tensors: convert integers first, or give ``dtype`` (RuntimeError otherwise).

    >>> torch.tensor([[1.0, 2.0], [3.0, 5.0]]).mean(dim=1)
    tensor([1.5000, 4.0000])
    """
    target = input.dtype if dtype is None else dtype.numpy
    if target.kind in "biu":
        raise RuntimeError(f"mean(): could not infer output dtype. {'Input' if dtype is None else 'Optional'} dtype "
                           "must be either a floating point or complex dtype. "
                           f"Got: {dtypes.from_numpy_dtype(target).label}")
    if target is input.dtype and target.kind == "f":
        total = sum_.op.body(input, dim, keepdim)
    else:
        total = _add_reduce(input, axis=normalize_dims(dim, input.ndim), dtype=target, keepdims=keepdim)
    if type(total) is not np.ndarray and input.size:
        return total / input.size
    n = input.size // total.size if total.size else _count(input.shape, dim)
    return total / target.type(n) if n else total / np.asarray(n, target)


def _count(shape: tuple, dim: Any) -> int:
    n = 1
    for d in normalize_dims(dim, len(shape)):
        n *= shape[d] if shape else 1
    return n


@composite(namespace="Tensor", method=True)
def sum_to_size(self, *size):
    """Sum over the dimensions that broadcasting a tensor of ``size`` to this shape would have expanded."""
    shape = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    need_ints("sum_to_size", "size", 1, size[0] if len(size) == 1 else shape)
    lead = self.dim() - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, self.shape[lead:], strict=True)):
        raise RuntimeError(f"size {{{list(shape)}}} is not expandable to size {{{list(self.shape)}}}.")
    if lead and shape == self.shape[lead:]:
        return sum_(self, 0 if lead == 1 else tuple(range(lead)))
    dims = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and self.shape[lead + i] != 1)
    out = sum_(self, dims, True) if dims or not shape else self
    return out.reshape(shape) if lead else out




def along(dim: int, ndim: int) -> int:
    """One dimension, counted from the front."""
    return normalize_dim(dim, ndim)


_PLAIN = "fdilqILQ"         # dtypes whose numbers Python's own hold


def _need_elements(array: np.ndarray, dim: Any, name: str) -> None:
    """Extrema of nothing do not exist: PyTorch's errors for reductions over a dimension of size 0."""
    if array.size:
        return
    if dim is None:
        raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                           "reduction dim "
                           "with the 'dim' argument.")
    for d in normalize_dims(dim, array.ndim):
        if array.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


@reduction(name="_prod_all", method=False, node="ProdBackward0",
           vjp=(lambda g, input, dim, keepdim: _prod_backward(g, input, dim, keepdim),))
def prod_(input, dim=None, keepdim=False, *, dtype=None):
    """The product over ``dim`` (all by default)."""
    target = accumulation_type(input, dtype)
    axes = normalize_dims(dim, input.ndim)
    if target.itemsize == 2 and target.kind not in "iu":
        return np.multiply.reduce(input.astype(np.float32), axis=axes, keepdims=keepdim).astype(target)
    return np.multiply.reduce(input, axis=axes, dtype=target, keepdims=keepdim)


@composite(method=True)
def prod(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """The product of all elements, or over dimension ``dim``. Integers are multiplied as int64.

    >>> torch.tensor([[1, 2], [3, 4]]).prod(dim=1)
    tensor([ 2, 12])
    """
    if out is not None:
        if dim is None:
            raise TypeError("prod() received an invalid combination of arguments - got (Tensor, out=Tensor)")
        return dispatch.write_out(prod_.op, out, prod(input, dim, keepdim, dtype=dtype or out.dtype))
    if dim is not None and isinstance(dim, (tuple, list)):
        raise TypeError("prod(): argument 'dim' must be int, not tuple")
    if dtype is not None and dtype is not input.dtype:
        input = input.to(dtype)
    return prod_(input, dim, keepdim, dtype=dtype)


def _prod_backward(g, input, dim, keepdim):
    """The product of the other elements, as exclusive products from both sides: right also where elements are 0."""
    shape = input.shape
    if not shape:
        return g
    if dim is None:
        flat = input.reshape(-1)
        return (g * conj(_others(flat, 0))).reshape(shape)
    g = expand_reduced(g, tuple(shape), dim, keepdim)
    return g * conj(_others(input, dim))


def _others(x, dim):
    n = x.shape[dim]
    if n <= 1:
        return _ones_like(x)
    one = _ones_like(x.narrow(dim, 0, 1))
    cat = REGISTRY["cat"].public
    before = cat([one, x.narrow(dim, 0, n - 1)], dim).cumprod(dim)
    after = cat([one, x.narrow(dim, 1, n - 1).flip((dim,))], dim).cumprod(dim).flip((dim,))
    return before * after


# ---------------------------------------------------------------- extrema

def _even(g, input, out, dim, keepdim):
    """The gradient shared evenly among the elements that attain the extremum."""
    shape = tuple(input.shape)
    g, out = expand_reduced(g, shape, dim, keepdim), expand_reduced(out, shape, dim, keepdim)
    mask = (input == out) | (input.isnan() & out.isnan()) if input.dtype.is_floating_point else input == out
    return mask * (g / mask.sum(normalize_dims(dim, len(shape)) if shape else None, True))


@reduction(
    rejects=("complex",), vjp=(lambda g, input, out, dim, keepdim: _even(g, input, out, dim, keepdim),), low="keep"
)
def amax(input, dim=(), keepdim=False):
    """The largest element over ``dim``; ties share the gradient."""
    if dim == () and 0 < input.size <= sums.FEW and not keepdim and input.dtype.char in _PLAIN:
        return np.array(input.item(input.argmax()), input.dtype)        # a reduction takes twice as long to begin
    _need_elements(input, dim if dim != () else None, "amax")
    return np.maximum.reduce(input, axis=normalize_dims(dim, input.ndim) if dim != () else None, keepdims=keepdim)


@reduction(
    rejects=("complex",), vjp=(lambda g, input, out, dim, keepdim: _even(g, input, out, dim, keepdim),), low="keep"
)
def amin(input, dim=(), keepdim=False):
    """The smallest element over ``dim``; ties share the gradient."""
    if dim == () and 0 < input.size <= sums.FEW and not keepdim and input.dtype.char in _PLAIN:
        return np.array(input.item(input.argmin()), input.dtype)        # a reduction takes twice as long to begin
    _need_elements(input, dim if dim != () else None, "amin")
    return np.minimum.reduce(input, axis=normalize_dims(dim, input.ndim) if dim != () else None, keepdims=keepdim)


@composite(method=True, out=True)
def aminmax(input, *, dim=None, keepdim=False):
    """(smallest, largest) element over ``dim``."""
    if dim is None:
        if input.numel() == 0:
            raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
                               "identity.")
        dims = ()
    else:
        dims = (dim,)
    return named_result("aminmax", ("min", "max"))((amin(input, dims, keepdim), amax(input, dims, keepdim)))


def _arg(find: Any, name: str, doc: str) -> Any:
    def body(input, dim=None, keepdim=False):
        if dim is None and not input.size:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
        _need_elements(input, dim, name)
        if dim is None:
            index = np.asarray(find(input.reshape(-1)), np.int64)
            return index.reshape((1,) * input.ndim) if keepdim else index
        if input.ndim == 0:
            normalize_dims(dim, 0)
            return np.zeros((), np.int64)
        return find(input, axis=dim, keepdims=keepdim).astype(np.int64, copy=False)
    body.__name__, body.__doc__ = name, doc
    return reduction(body, rejects={kind: f"{name}(): does not support {kind} input" for kind in ("complex", "bool")})


argmax = _arg(np.argmax, "argmax", """The index (int64) of the largest element over ``dim``, or in the flattened
    tensor. The first nan counts as the largest.

    >>> torch.argmax(torch.tensor([[1, 9], [8, 2]]), dim=1)
    tensor([1, 0])
    """)
argmin = _arg(np.argmin, "argmin", "The index of the smallest element (the first nan counts as such) over ``dim``.")


def _at(g, input_shape, out_index, dim, keepdim):
    """A gradient put back at the index it was taken from."""
    grad = g.new_zeros(input_shape)
    if not input_shape:
        return g
    if not keepdim:
        g, out_index = g.unsqueeze(dim), out_index.unsqueeze(dim)
    return grad.scatter(dim, out_index, g)


def _extreme(find: Any, reduce: Any, name: str, doc: str) -> Any:
    def body(input, dim, keepdim=False):
        _need_elements(input, dim, name)
        if input.ndim == 0:
            normalize_dims(dim, 0)
            return input.copy(), np.zeros((), np.int64)
        index = find(input, axis=dim, keepdims=True)
        values = np.take_along_axis(input, index, dim)
        if not keepdim:
            index, values = index.squeeze(dim), values.squeeze(dim)
        return values, index.astype(np.int64, copy=False)
    body.__name__, body.__doc__ = name, doc
    return op(body, name=f"_{name}_dim", tensors=("input",), outputs=("values", "indices"), method=False, low="keep",
              rejects={"complex": f"{name}(): does not support complex input"}, node=f"{name.capitalize()}Backward0",
              vjp=(lambda g, out, input_shape, dim, keepdim: _at(g[0], input_shape, out[1], dim, keepdim),))


_max_dim = _extreme(np.argmax, np.maximum, "max", "(largest element, its index) over ``dim``.")
_min_dim = _extreme(np.argmin, np.minimum, "min", "(smallest element, its index) over ``dim``.")


def _overloads(name: str, along: Any, whole: Any, pairwise: Any, doc: str) -> Any:
    """``max`` and ``min``: of all elements, along a dimension, or of two tensors."""
    everything = f"{name.capitalize()}Backward1"

    def call(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None and not args and not kwargs and isinstance(input, Tensor) and (
                input._array.size if input._type.fast else input.numel()):
            result = whole(input)
            return result if type(result) is Tensor and result._node is None else recorded_as(result, everything)
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        if kwargs:
            kwargs = pytorch_names(kwargs, ("input", "dim", "keepdim", "other"))
        other = kwargs.pop("other", args[0] if args and isinstance(args[0], Tensor) else None)
        if other is not None:
            return pairwise(input, other, out=out)
        if args or kwargs:
            dim = kwargs.pop("dim", args[0] if args else None)
            keepdim = kwargs.pop("keepdim", args[1] if len(args) > 1 else False)
            if kwargs or len(args) > 2:
                raise TypeError(f"{name}() received an invalid combination of arguments")
            if dim is None:
                raise TypeError(f"{name}() received an invalid combination of arguments - dim must be int")
            result = named_result(name, ("values", "indices"))(along(input, dim, keepdim))
            if out is not None:
                return dispatch.write_out(dispatch.OutRule(name), out, result)
            return result
        if input.numel() == 0:
            raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                               "reduction dim "
                               "with the 'dim' argument.")
        if out is None:
            return recorded_as(whole(input), everything)
        return dispatch.write_out(dispatch.OutRule(f"{name} of all"), out, whole(input))
    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return composite(call, method=True)


max_ = _overloads("max", _max_dim, amax, maximum,
                  """The largest element of all; with ``dim``, (values, indices) along it; with a second tensor, the
    larger of the two.

    RuntimeError for a tensor without elements. ``amax`` takes several dimensions and spreads the gradient over equal
    elements.

    >>> x = torch.tensor([[1, 5], [7, 2]])
    >>> x.max()
    tensor(7)
    >>> torch.max(x, dim=1)
    torch.return_types.max(
    values=tensor([5, 7]),
    indices=tensor([1, 0]))
    """)
min_ = _overloads("min", _min_dim, amin, minimum,
                  """The smallest element of all; with ``dim``, (values, indices) along it; with a second tensor, the
    smaller of the two.

    RuntimeError for a tensor without elements. ``amin`` takes several dimensions and spreads the gradient over equal
    elements.

    >>> x = torch.tensor([[1, 5], [7, 2]])
    >>> x.min()
    tensor(1)
    >>> torch.min(x, dim=1)
    torch.return_types.min(
    values=tensor([1, 2]),
    indices=tensor([0, 1]))
    """)


# ---------------------------------------------------------------- logical

def _logical(ufunc: Any, name: str, doc: str) -> Any:
    def body(input, dim=None, keepdim=False):
        out = ufunc.reduce(
            input if input.dtype.kind == "b" else input.astype(bool),
            axis=normalize_dims(dim, input.ndim),
            keepdims=keepdim,
        )
        return np.asarray(out, np.uint8) if input.dtype == np.uint8 else out
    body.__name__, body.__doc__ = name, doc
    return reduction(body, out=_truth_out)


def _truth_out(name: str, out: Any, result: Any) -> None:
    if out not in (dtypes.bool_, dtypes.uint8):
        raise RuntimeError(f"{name} only supports bool tensor for result, got: {out.label}")


all_ = _logical(np.logical_and, "all", """Whether all elements, over ``dim`` or everywhere, are nonzero; true where
    there are none.

    >>> torch.all(torch.tensor([[True, False], [True, True]]), dim=1)
    tensor([False,  True])
    """)
any_ = _logical(np.logical_or, "any", """Whether any element, over ``dim`` or everywhere, is nonzero; false where
    there are none.

    >>> torch.any(torch.tensor([[True, False], [False, False]]), dim=1)
    tensor([ True, False])
    """)


@reduction(out=False)
def count_nonzero(input, dim=None):
    """How many elements are not zero."""
    return np.asarray(np.count_nonzero(input, axis=normalize_dims(dim, input.ndim)), np.int64)


# ---------------------------------------------------------------- spread

def _moments(input: np.ndarray, dim: Any, correction: Any, keepdim: bool) -> tuple:
    """(variance, mean) in two passes."""
    axes = normalize_dims(dim, input.ndim)
    n = _count(input.shape, dim)
    wide = np.dtype(np.float64) if input.dtype == np.float32 else input.dtype     # sums along rows lose digits
    mean = np.mean(input, axis=axes, keepdims=True, dtype=wide).astype(input.dtype)
    deviation = input - mean
    square = (deviation * deviation.conj()).real if input.dtype.kind == "c" else deviation * deviation
    total = _add_reduce(square, axis=axes, keepdims=keepdim, dtype=wide if wide.kind == "f" else None)
    total = total.astype(square.dtype)
    d = square.dtype.type
    divisor = n - correction
    variance = in_rows(total / d(divisor if divisor > 0 else 0))
    return variance, mean if keepdim else mean.squeeze(axes) if axes else mean.reshape(variance.shape)


def _correct(unbiased: Any, correction: Any) -> Any:
    if correction is None:
        return 1 if unbiased is None or unbiased else 0
    return correction


@op(name="_var", tensors=("input",), method=False, node="VarBackward0", rejects=("integer", "bool"),
    vjp=(lambda g, input, dim, correction, keepdim: _var_backward(g, input, dim, correction, keepdim),))
def _var(input, dim=None, correction=1, keepdim=False):
    """The variance over ``dim``."""
    return _moments(input, dim, correction, keepdim)[0]


def _var_backward(g, input, dim, correction, keepdim):
    shape = tuple(input.shape)
    n = _count(shape, dim)
    g = expand_reduced(g, shape, dim, keepdim)
    return g * ((input - input.mean(dim, True)) * (2.0 / (n - correction) if n > correction else float("nan")))


def _spread_arguments(name: str, args: tuple, unbiased: Any, dim: Any) -> tuple:
    """var(unbiased), var(dim, unbiased, keepdim): which positional arguments are what."""
    rest = list(args)
    keepdim = None
    if rest and isinstance(rest[0], bool):
        unbiased = rest.pop(0)
    elif rest:
        dim = rest.pop(0)
        if rest:
            unbiased = rest.pop(0)
        if rest:
            keepdim = rest.pop(0)
    if rest:
        raise TypeError(f"{name}() received an invalid combination of arguments")
    return unbiased, dim, keepdim


def _variance(name: str, finish: Any, doc: str) -> Any:
    def call(
        input: Any, *args: Any, dim: Any = None, unbiased: Any = None, correction: Any = None, keepdim: bool = False,
        out: Any = None
    ) -> Any:
        if out is not None:
            if "mean" in name or (args and isinstance(args[0], bool)):
                raise TypeError(f"{name}() received an invalid combination of arguments: out= takes a dimension")
            result = call(input, *args, dim=dim, unbiased=unbiased, correction=correction, keepdim=keepdim)
            return dispatch.write_out(dispatch.OutRule(name), out, result)
        unbiased, dim, given = _spread_arguments(name, args, unbiased, dim)
        c = _correct(unbiased, correction)
        keepdim = keepdim if given is None else given
        if input.dtype.rank < 2:
            what = name if "mean" in name else "std and var"
            raise RuntimeError(f"{what} only support floating point and complex dtypes, but {name}() got a tensor of "
                               f"{input.dtype!r}: convert it with .float(), for instance")
        n = _count(tuple(input.shape), dim)
        if n - c <= 0:
            import warnings

            warnings.warn(f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the "
                          "reduction factor "
                          "(input numel divided by output numel).", UserWarning, stacklevel=2)
        return finish(input, dim, c, keepdim)
    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return composite(call, method="mean" not in name)


def _std(input, dim, correction, keepdim):
    return _std_of(input, dim, correction, keepdim)


@op(name="_std", tensors=("input",), method=False, node="StdBackward0", rejects=("integer", "bool"),
    vjp=(lambda g, input, out, dim, correction, keepdim: _var_backward(
        (g / (out * 2)).masked_fill(out == 0, 0), input, dim, correction, keepdim),))
def _std_of(input, dim=None, correction=1, keepdim=False):
    """The standard deviation over ``dim``."""
    return np.sqrt(_moments(input, dim, correction, keepdim)[0])


def _var_mean(name, first):
    return lambda x, dim, c, k: (first(x, dim, c, k), x.mean(dim, k))


var = _variance("var", _var, "The variance over ``dim``, with ``correction`` (1) subtracted from the count.")
std = _variance("std", _std, """The standard deviation over ``dim``, with ``correction`` (1) subtracted from the
    count.

    >>> torch.tensor([1.0, 2.0, 3.0]).std()
    tensor(1.)
    """)
var_mean = _variance("var_mean", _var_mean("var_mean", _var), "(variance, mean) over ``dim``.")
std_mean = _variance("std_mean", _var_mean("std_mean", _std), "(standard deviation, mean) over ``dim``.")


# ---------------------------------------------------------------- log-sum-exp, sums without nan

@reduction(name="_logsumexp", method=False, node="LogsumexpBackward0",
           vjp=(lambda g, input, out, dim, keepdim: _logsumexp_backward(g, input, out, dim, keepdim),))
def _logsumexp(input, dim, keepdim=False):
    """log(sum(exp(input))) over ``dim``, without overflow."""
    axes = normalize_dims(dim, input.ndim)
    if input.size == 0:
        return np.log(_add_reduce(np.exp(input), axis=axes, keepdims=keepdim))
    top = np.maximum.reduce(input.real, axis=axes, keepdims=True)
    top = np.where(np.isinf(top), top.dtype.type(0), top)
    total = _add_reduce(np.exp(input - top), axis=axes, keepdims=keepdim)
    return np.log(total) + (top if keepdim else top.squeeze(axes))


def _logsumexp_backward(g, input, out, dim, keepdim):
    shape = tuple(input.shape)
    g, out = expand_reduced(g, shape, dim, keepdim), expand_reduced(out, shape, dim, keepdim)
    return g * conj((input - out).exp().masked_fill(input == float("-inf"), 0))


def _inexact_out(name: str, out: Any, result: Any) -> None:
    if out.rank < 2:
        raise RuntimeError(f"{name}(): Expected floating point type for result tensor, but got: {out.label}")


@composite(method=True, out=_inexact_out)
def logsumexp(input, dim, keepdim=False):
    """log(sum(exp(input))) over ``dim``, without overflow."""
    if input.dtype.rank < 2:
        input = input.to(dtypes.get_default_dtype())
    return _logsumexp(input, dim, keepdim)


def _floating_out(name: str, out: Any, result: Any) -> None:
    if result.is_floating_point and not out.is_floating_point:
        raise NotImplementedError(f"\"nansum_cpu\" not implemented for '{out.label}'")


@composite(method=True, out=_floating_out)
def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """The sum of the elements that are not nan."""
    if input.dtype.is_complex:
        raise RuntimeError("nansum does not support complex inputs")
    if input.dtype.is_floating_point:
        input = input.masked_fill(input.isnan(), 0)
    return sum_(input, dim, keepdim, dtype=dtype)


@composite(method=True, out=_floating_out)
def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean of the elements that are not nan."""
    if not input.dtype.is_floating_point and not input.dtype.is_complex:
        raise RuntimeError("nanmean(): expected input to have floating point or complex dtype but got "
                           f"{input.dtype.label}")
    factor = (~input.isnan().detach()).sum(dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / factor


@composite(method=True)
def dist(input, other, p=2):
    """The p-norm of ``input - other``."""
    need_number("dist", "p", 3, p)
    return (input - other).norm(p)

"""Products of matrices and vectors: matmul and the ops of fixed rank, and the affine map of a linear layer."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_enabled
from flowtorch.autograd.node import Node, edge, next_seq, saved_hooks, view_edge
from flowtorch.dtypes import complex64, complex128, float32, float64
from flowtorch.native import calls
from flowtorch.ops import dispatch, fast_pointwise
from flowtorch.ops.dispatch import interpret
from flowtorch.ops.families import General
from flowtorch.ops.fast_general import closure
from flowtorch.ops.linear_checks import CHECKS
from flowtorch.ops.op import Op
from flowtorch.ops.pointwise import conj
from flowtorch.tensor import Tensor, wrap

_new = object.__new__
_active = overrides.active
_fast_types = {tensor_type(d) for d in (float32, float64, complex64, complex128)}  # numpy multiplies them as they are


class Contraction(General):
    """Sums of products: operands of one dtype, shapes checked in PyTorch's words before the kernel runs."""

    name = "contraction"

    def compute(self, op: Op, values: list) -> Any:
        check = CHECKS.get(op.name)             # type: ignore[operator]
        if check is not None:
            for i in op.tensor_index:
                if not isinstance(values[i], Tensor) and not (values[i] is None and op.names[i] in op.defaults):
                    raise TypeError(f"{op.name}(): argument '{op.names[i]}' (position {i + 1}) must be Tensor, "
                                    f"not {type(values[i]).__name__}")
            check(*values)
        result = super().compute(op, values)
        t = values[op.tensor_index[0]]._type
        if t.simple and t.dtype.rank:                               # bools: whether they are taken depends on the sizes
            op.plans[t] = True                                      # the fast path may take over
        return result


_contraction = Contraction()


def contraction(tensors: tuple[str, ...], **options: Any) -> Callable:
    """Decorator: define a contraction op. Its body must refuse operands of unlike dtypes or ranks."""
    def define(body: Callable) -> Any:
        op = Op(options.pop("name", body.__name__.strip("_")), _contraction, body, tensors=tensors, **options)
        op.public = public = closure(op)
        public.derivative = op.derivative                               # type: ignore[attr-defined]
        return public
    return define


# ---------------------------------------------------------------- kernels

def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a @ b`` of arrays of rank 1 or more."""
    if a.dtype.kind in "iu" and a.size * b.shape[-1] > 4096:
        return _integer_product(a, b)
    if b.ndim <= 2:
        if a.ndim <= 2:
            return a.dot(b)
        if b.ndim == 2 and (a.flags.c_contiguous or a.shape[-2] < 32):
            rows = a.size // a.shape[-1] if a.shape[-1] else int(np.prod(a.shape[:-1]))
            return a.reshape(rows, a.shape[-1]).dot(b).reshape(*a.shape[:-1], b.shape[1])
    return product_of_batches(a, b)


def product_of_batches(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a @ b`` where one of them has three dimensions or more."""
    return np.matmul(a, b)


def _integer_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers by way of float64, whose products run in BLAS, where that is exact; numpy's own loop where it is not."""
    bound = max(abs(int(a.max())), abs(int(a.min()))) * max(abs(int(b.max())), abs(int(b.min()))) * a.shape[-1]
    if bound >= 2 ** 53:
        return np.matmul(a, b)
    return product(a.astype(np.float64), b.astype(np.float64)).astype(np.int64).astype(a.dtype)


def adjoint(x: Any) -> Any:
    """The last two dimensions swapped, complex numbers conjugated."""
    return conj(x.transpose(-2, -1))


# ---------------------------------------------------------------- matmul

def _plain_grad(g: Any, x: Any) -> bool:
    """Whether a first-order gradient may be computed on the arrays at once."""
    return type(g) is Tensor and not _active and not grad_enabled() and g._type is x._type and g._type in _fast_types


def _grad_left(g, other):
    """The gradient of ``input @ other`` in ``input``; the engine sums what was broadcast."""
    if other.dim() == 1:
        return g.unsqueeze(-1) * conj(other)
    if other.dim() == 2 and g.dim() >= 2 and _plain_grad(g, other):
        b = other._array
        return wrap(product(g._array, (b if b.dtype.kind != "c" else b.conj()).T), g._type)
    vector = g.dim() == other.dim() - 1
    grad = matmul(g.unsqueeze(-2) if vector else g, adjoint(other))
    return grad.squeeze(-2) if vector else grad


def _grad_right(g, input):
    """The gradient of ``input @ other`` in ``other``."""
    vector = g.dim() == input.dim() - 1
    if input.dim() == 1:
        return g * conj(input) if vector else conj(input).unsqueeze(-1) * g.unsqueeze(-2)
    return weight_gradient(g.unsqueeze(-1), input).squeeze(-1) if vector else weight_gradient(g, input)


def weight_gradient(g, input):
    """``adjoint(input) @ g``; where the other operand was one matrix, the batches are summed in the product."""
    if input.dim() == g.dim() and input.shape[:-2] == g.shape[:-2]:
        if _plain_grad(g, input) and g.dim() == 2:
            a = input._array
            return wrap((a if a.dtype.kind != "c" else a.conj()).T.dot(g._array), g._type)
    return matmul(adjoint(input), g)


@contraction(
    ("input", "other"),
    name="matmul",
    node="MmBackward0",
    vjp=(lambda g, other: _grad_left(g, other), lambda g, input, other_shape: _grad_other(g, input, other_shape)),
)
def _matmul_body(input, other):
    """The matrix product (..., n, k) @ (..., k, m). Leading dimensions are batches, which broadcast.

    A vector on the left counts as a row and on the right as a column, and the result loses that dimension; two
    vectors give their dot product. RuntimeError if the inner sizes or the dtypes differ.

    >>> torch.matmul(torch.ones(2, 3), torch.ones(3, 4)).shape
    torch.Size([2, 4])
    >>> torch.matmul(torch.ones(5, 2, 3), torch.ones(3)).shape
    torch.Size([5, 2])
    """
    return product(input, other)


def _grad_other(g, input, shape):
    if len(shape) <= 2 and input.dim() > 2:                        # one matrix for all batches: fold them
        input = input.flatten(0, -2)
        g = g.flatten(0, -2) if len(shape) == 2 else g.reshape(-1)
    return _grad_right(g, input)


_matmul = _matmul_body.op


def _node(name: str, op: Op) -> Any:
    return type(name, (Node,), {"__slots__": (), "op": op, "__module__": "flowtorch.autograd"})


_mm, _mv, _dot, _view = (_node(f"{n}Backward0", _matmul) for n in ("Mm", "Mv", "Dot", "UnsafeView"))


def _matmul_closure(operator: bool) -> Any:
    def call(input: Any, other: Any, *, out: Any = None) -> Any:
        if not _active and out is None:
            try:
                tx = input._type
                if tx is other._type and tx in _fast_types:
                    a, b = input._array, other._array
                    if a.ndim == 2 == b.ndim:
                        c = a.dot(b)
                    elif a.ndim and b.ndim:
                        c = product(a, b)
                        if type(c) is not np.ndarray:
                            c = np.asarray(c)
                    else:
                        return interpret(_matmul, (input, other), {})
                    t = _new(Tensor)
                    t._array = c
                    t._type = tx
                    t._requires_grad = False
                    t._node = None
                    t._grad = None
                    t._counter = 0
                    t._view = None
                    if (input._requires_grad or other._requires_grad or input._view is not None
                            or other._view is not None) and grad_enabled():
                        _record_matmul(input, other, t)
                    return t
            except Exception:
                pass  # the complete path does it again, and says what is wrong
        if operator and not isinstance(other, Tensor):
            return fast_pointwise.interpret_operator(_matmul, input, other, False) if isinstance(other, np.ndarray) or (
                hasattr(type(other), "__torch_function__")) else NotImplemented
        return _named(interpret(_matmul, (input, other), {"out": out}))

    dispatch.name_function(call, _matmul, "__matmul__" if operator else "matmul")
    return calls.product("matmul", _matmul, call, _mm)


def _record_matmul(input: Any, other: Any, t: Any) -> None:
    if saved_hooks.stack:
        dispatch.record(_matmul, [input, other], t)
        _named(t)
        return
    ex = view_edge(input) if input._view is not None else (input._node or input) if input._requires_grad else None
    ey = view_edge(other) if other._view is not None else (other._node or other) if other._requires_grad else None
    if ex is None and ey is None:
        return
    a, b = input._array, other._array
    n = _new(_mm if a.ndim == 2 == b.ndim else _kind(a.ndim, b.ndim))
    n.seq = next_seq()
    n.edges = (ex, ey)
    n.hooks = None
    n.shape = t._array.shape
    n.type = t._type
    v, w = input._counter, other._counter
    n.saved = (input if ey is not None else None, other if ex is not None else None)
    n.versions = (v if type(v) is int else v[0], w if type(w) is int else w[0])
    n.shapes = (None, (b.shape, None))
    t._node = n
    t._requires_grad = True


def _kind(a: int, b: int) -> Any:
    if a == 2 and b == 2:
        return _mm
    if b == 1:
        return _dot if a == 1 else _mv if a == 2 else _view
    return _view


def _named(t: Any) -> Any:
    """Name the node as PyTorch does for these ranks."""
    node: Any = getattr(t, "_node", None)
    if type(node) is _matmul.node_class:
        node.__class__ = _kind(len(node.shapes[0][0]), len(node.shapes[1][0]))
    return t


def _reflected(self: Any, other: Any) -> Any:
    """``other @ self``."""
    if isinstance(other, np.ndarray):
        from flowtorch.ops.factory import as_tensor

        other = as_tensor(other)
    return matmul(other, self) if isinstance(other, Tensor) else NotImplemented


_matmul.public = matmul = _matmul_closure(False)
Tensor.__rmatmul__ = _reflected                                         # type: ignore[attr-defined]
Tensor.__matmul__ = _matmul_closure(True)                               # type: ignore[attr-defined]


# ---------------------------------------------------------------- linear

@contraction(("input", "weight", "bias"), name="linear", namespace="nn.functional", method=False, node="AddmmBackward0",
             vjp=(lambda g, weight: _linear_grad_input(g, weight),
                  lambda g, input, weight_shape: _linear_grad_weight(g, input, weight_shape),
                  lambda g: g))
def _linear_body(input, weight, bias=None):
    """``input @ weight.T + bias``, for the features in the last dimension."""
    out = product(input, weight.T)
    if type(out) is not np.ndarray:
        out = np.asarray(out)
    if bias is not None:
        np.add(out, bias, out)
    return out


_linear = _linear_body.op


def _linear_grad_input(g, weight):
    if weight.dim() == 1:
        return g.unsqueeze(-1) * conj(weight)
    if g.dim() >= 2 and _plain_grad(g, weight):
        b = weight._array
        return wrap(product(g._array, b if b.dtype.kind != "c" else b.conj()), g._type)
    return matmul(g, conj(weight))


def _linear_grad_weight(g, input, shape):
    if len(shape) == 1:
        return (g.unsqueeze(-1) * conj(input)).sum_to_size(shape)
    if input.dim() == 1:
        return g.unsqueeze(-1) * conj(input)
    if input.dim() > 2:
        g, input = g.flatten(0, -2), input.flatten(0, -2)
    if _plain_grad(g, input):
        a = input._array
        return wrap(g._array.T.dot(a if a.dtype.kind != "c" else a.conj()), g._type)
    return matmul(g.transpose(0, 1), conj(input))


_linear_mm, _linear_view, _linear_unsafe = (_node(f"{n}Backward0", _linear) for n in ("Mm", "View", "UnsafeView"))
# PyTorch's linear is addmm, whose first input is the bias: hooks see its gradient first.
_linear.node_class.order, _linear_view.order = (2, 0, 1), (2, 1, 0)
_linear_mm.order = _linear_unsafe.order = 0, 1


def _linear_kind(ndim: int, bias: Any) -> Any:
    if ndim == 2:
        return _linear_mm if bias is None else _linear.node_class
    return _linear_unsafe if bias is None else _linear_view


def linear(input: Any, weight: Any, bias: Any = None, *, out: Any = None) -> Any:
    """``input @ weight.T + bias``: (..., in) with a (out, in) weight and an (out) bias gives (..., out).

    >>> torch.nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3), torch.zeros(4)).shape
    torch.Size([2, 4])
    """
    if not _active and out is None:
        try:
            tx = input._type
            if tx is weight._type and tx in _fast_types and (bias is None or bias._type is tx):
                a, b = input._array, weight._array
                if b.ndim != 2 or not a.ndim:
                    return interpret(_linear, (input, weight, bias), {})
                c = a.dot(b.T) if a.ndim <= 2 else product(a, b.T)
                if bias is not None:
                    np.add(c, bias._array, c)
                t = _new(Tensor)
                t._array = c
                t._type = tx
                t._requires_grad = False
                t._node = None
                t._grad = None
                t._counter = 0
                t._view = None
                if grad_enabled() and (
                        input._requires_grad or weight._requires_grad or (bias is not None and bias._requires_grad)
                        or input._view is not None or weight._view is not None
                        or (bias is not None and bias._view is not None)):
                    _record_linear(input, weight, bias, t)
                return t
        except Exception:
            pass  # the complete path does it again, and says what is wrong
    t = interpret(_linear, (input, weight, bias), {"out": out})
    node: Any = getattr(t, "_node", None)
    if type(node) is _linear.node_class:
        node.__class__ = _linear_kind(len(node.shapes[0][0]), bias)
    return t


def _record_linear(input: Any, weight: Any, bias: Any, t: Any) -> None:
    if saved_hooks.stack:
        dispatch.record(_linear, [input, weight, bias], t)
        return
    ex = edge(input)
    ew = edge(weight) if weight._view is not None else (weight._node or weight) if weight._requires_grad else None
    eb = None if bias is None else edge(bias)
    if ex is None and ew is None and eb is None:
        return
    n = _linear_kind(input._array.ndim, bias)()
    n.seq = next_seq()
    n.edges = (ex, ew, eb)
    n.hooks = None
    n.shape = t._array.shape
    n.type = t._type
    v, w = input._counter, weight._counter
    n.saved = (input if ew is not None else None, weight if ex is not None else None, None)
    n.versions = (v if type(v) is int else v[0], w if type(w) is int else w[0], None)
    n.shapes = (None, (weight._array.shape, None), None)
    t._node = n
    t._requires_grad = True


linear = calls.product("linear", _linear, linear, _linear.node_class, _linear_mm, _linear_view, _linear_unsafe)
_linear.public = linear
linear.op = _linear                                                     # type: ignore[attr-defined]

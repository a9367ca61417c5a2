"""The fast path of view ops.

One template serves all: a view op costs so little that collecting ``*args`` would be half of it, so the template is
compiled once per number of parameters, and each op gets a copy with its own parameter names and defaults.
"""
from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any

from flowtorch import overrides
from flowtorch.autograd.mode import grad_enabled
from flowtorch.autograd.node import next_seq, view_edge
from flowtorch.dtypes import as_dtype
from flowtorch.dtypes import dtype as DType
from flowtorch.native import calls
from flowtorch.ops import dispatch, fast_general
from flowtorch.ops.op import REGISTRY, Op
from flowtorch.tensor import Tensor

_TEMPLATE = '''
def make(op, body, node_class, simple, differentiable):
    def call(input, PARAMETERS):
        NORMALIZE
        if active:
            return interpret(op, (input, ARGUMENTS), {})
        try:
            tx = input._type
            if not tx.fast:
                return interpret(op, (input, ARGUMENTS), {})
            array = input._array
            a = VIEW
        except Exception:
            return interpret(op, (input, ARGUMENTS), {})
        t = new(Tensor)
        t._array = a
        t._type = tx
        t._requires_grad = False
        t._node = None
        t._grad = None
        counter = input._counter
        if type(counter) is int:
            counter = input._counter = [counter]
        t._counter = counter
        arguments = (ARGUMENTS)
        recording = grad_enabled()
        parent = input._view
        if parent is None:
            t._view = (input, None if recording else "no_grad", counter[0], None, call, arguments)
            if not input._requires_grad:
                return t
            e = input._node or input
        else:
            t._view = (parent[0], parent[1] if recording else "no_grad", counter[0], parent, call, arguments)
            e = view_edge(input) if recording else None
        if e is None or not recording or not differentiable:
            return t
        if simple:
            t._node = n = node_class()
            n.seq = next_seq()
            n.edges = (e,)
            n.hooks = None
            n.saved = ()
            n.shape = a.shape
            n.type = tx
            SHAPES
            n.params = arguments
            t._requires_grad = True
        else:
            record(op, op.bind((input, ARGUMENTS), {}), t)
        return t
    return call
'''
# The bodies of the commonest views for the arrays that they meet most, written into the template to save a call. What
# numpy refuses is an error of the complete path, too.
_RESHAPED = "array.reshape(p0) if array.flags.c_contiguous else body(array, p0)"
_WRITTEN_OUT = {
    "view": _RESHAPED,
    "reshape": _RESHAPED,
    "permute": "array.transpose(p0)",
    "transpose": "array.swapaxes(p0, p1)",
    "t": "array.T if array.ndim < 3 else body(array)",
}
_DTYPE = "if type(p0[0]) in KINDS: return reinterpret(input, *p0)\n            "
_makers: dict[Any, Callable] = {}


def _maker(count: int, variadic: str | None, dtypes: bool, dim: int | None, view: str,
           shapes: bool) -> Callable:
    """The compiled template for ``count`` parameters after the input, the ``dim``-th of which is also ``axis``.

    ``dtypes``: a dtype may stand for the size, as in ``x.view(dtype)``. ``view`` is the expression of the new array,
    ``shapes`` whether the derivative asks for the input's shape.
    """
    key = (count, variadic, dtypes, dim, view, shapes)
    if key not in _makers:
        names = [f"p{i}" for i in range(count)]
        normalize = "pass"
        parameters = ", ".join(names)
        if dim is not None:
            parameters += ", *, axis=None"
            normalize = f"if axis is not None: p{dim} = axis"
        if variadic:
            # Keyword-only parameters with defaults cost nothing; **kwargs would be a dictionary a call.
            parameters = f"*p0, {variadic}=None" + ", dtype=None" * dtypes
            normalize = f"if {variadic} is not None: p0 = ({variadic},)\n"
            normalize += "        if dtype is not None: p0 = (dtype,)\n" * dtypes
            normalize += f"        if p0 and type(p0[0]) is not int:\n            {_DTYPE * dtypes}"
            normalize += "p0 = p0[0] if isinstance(p0[0], (tuple, list)) else p0"
        source = (_TEMPLATE.replace("PARAMETERS", parameters).replace("NORMALIZE", normalize).replace("VIEW", view)
                  .replace("SHAPES", "n.shapes = ((array.shape, tx.dtype),)" if shapes else "pass")
                  .replace("ARGUMENTS", "".join(n + ", " for n in names)))
        filename = (f"<view op of {'variadic' if variadic else count} parameters{', or a dtype' * dtypes}"
                    f"{', shape kept' * shapes}: {view}>")
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        scope = {
            "active": overrides.active,
            "interpret": dispatch.interpret,
            "KINDS": (DType, type),  # Python's types stand for dtypes
            "reinterpret": reinterpret,
            "record": dispatch.record,
            "new": object.__new__,
            "Tensor": Tensor,
            "grad_enabled": grad_enabled,
            "view_edge": view_edge,
            "next_seq": next_seq,
        }
        exec(compile(source, filename, "exec"), scope)
        _makers[key] = scope["make"]  # type: ignore[assignment]
    return _makers[key]


def reinterpret(input: Tensor, dtype: DType, *more: Any) -> Tensor:
    """``input.view(dtype)``: shares memory and version, but has no history and is nobody's view, as in PyTorch."""
    if more:
        raise TypeError(f"view(): got a dtype and {len(more)} more arguments: give either a dtype or a size")
    dtype = as_dtype(dtype)
    if not isinstance(dtype, DType):
        raise TypeError(f"view(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    result = REGISTRY["_view_dtype"].public(input, dtype)
    if result._type.plain:
        result._view = None
    return result


def closure(op: Op) -> Callable:
    """The public function of a view op."""
    if op.changes_type:
        return dispatch.general(op)
    params = op.names[1:]
    variadic = op.variadic is not None
    simple = op.joint is None and not any(op.savers) and not op.wants_out
    dim = params.index("dim") if "dim" in params and not variadic else None
    view = _WRITTEN_OUT.get(op.name, "body(array, ARGUMENTS)")
    call: Any = _maker(1 if variadic else len(params), op.variadic, op.name == "view", dim, view, op.wants_shapes)(
        op, op.body, op.node_class, simple, op.differentiable)
    if not variadic:
        names = call.__code__.co_varnames
        renamed = ("input", *params, *names[1 + len(params):])
        call.__code__ = call.__code__.replace(co_varnames=renamed)
        call.__defaults__ = fast_general.defaults(op)
    dispatch.name_function(call, op)
    if variadic:
        dispatch.attach_signature(call, op)
    return calls.view(op, call, -1 if variadic else len(params))


def several(op: Op) -> Callable:
    """The public function of a view op with several results: ``unbind``, ``split_with_sizes``."""
    body, active, new = op.body, overrides.active, object.__new__
    nth: dict[int, Callable] = {}

    def step(k: int) -> Callable:
        """Makes the k-th view again."""
        if k not in nth:
            nth[k] = lambda t, *args: op.public(t, *args)[k]
        return nth[k]

    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        if active or kwargs:
            return dispatch.interpret(op, (input, *args), kwargs)
        try:
            tx = input._type
            if not tx.fast:
                return dispatch.interpret(op, (input, *args), {})
            arrays = body(input._array, *args)
        except Exception:  # the complete path does it again, and says what is wrong
            return dispatch.interpret(op, (input, *args), {})
        counter = input._counter
        if type(counter) is int:
            counter = input._counter = [counter]
        version = counter[0]
        recording = grad_enabled()
        parent = input._view
        base = input if parent is None else parent[0]
        origin = "multi_output" if recording else "no_grad"
        views = []
        for k, a in enumerate(arrays):
            t = new(Tensor)
            t._array = a
            t._type = tx
            t._requires_grad = False
            t._node = None
            t._grad = None
            t._counter = counter
            t._view = (base, origin, version, parent, step(k), args)
            views.append(t)
        result = tuple(views)
        if recording and (input._requires_grad or parent is not None):
            dispatch.record(op, op.bind((input, *args), {}), result)
        return result

    op.public = call
    dispatch.name_function(call, op)
    dispatch.attach_signature(call, op)
    return call

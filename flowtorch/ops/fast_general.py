"""The fast path of ops with their own kernel: softmax, convolution, losses, embedding and their like.

One template serves all. It is compiled for each op with the op's own parameters, so that Python binds the arguments
and nothing is collected or spread out on the way to the kernel. Compiling them all would be most of the time that
``import flowtorch`` takes, so the public function starts with the code of a stub, which on its first call puts the
compiled code in its own place: the function object that everybody holds stays the same.
"""

from __future__ import annotations

import linecache
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.autograd.mode import grad_enabled
from flowtorch.native import calls
from flowtorch.ops import dispatch
from flowtorch.ops.old_orders import TAKES_OLD_ORDER
from flowtorch.ops.op import MISSING, Op
from flowtorch.tensor import wrap

# Names that begin with an underscore cannot meet a parameter's. A failed check leaves the call to `interpret`, which
# knows what is wrong; `_fine` holds the types of the first tensor with which the complete path has succeeded.
_TEMPLATE = """
def make(_op, _body, _fine, _wrap):
    def call({signature}):
        {aliases}
        {old_order}
        if _active{asked_out}:
            return _interpret(_op, ({positional}), {{{keywords_out}}})
        try:
            _t = {first}._type
            if _t not in _fine{checks}:
                return _interpret(_op, ({positional}), {{{keywords}}})
            _c = _body({arrays})
        except Exception:
            return _interpret(_op, ({positional}), {{{keywords}}})
        _r = _wrap(_c, _t)
        if ({wanted}) and _op.differentiable and _grad_enabled():
            (_op.recorder or _recorder(_op))(_r, {values})
        return _r
    return call
"""


def aliases(op: Op) -> dict[str, str]:
    """numpy's names of parameters that the op takes too."""
    return {n: mine for n, mine in (("axis", "dim"), ("keepdims", "keepdim")) if mine in op.names and n not in op.names}


def defaults(op: Op) -> tuple | None:
    """The defaults of the positional parameters. A required ``dim`` may come as ``axis``: from it on, all have some."""
    positional = op.names[: op.positional]
    optional = [n in op.defaults for n in positional]
    first = optional.index(True) if True in optional else len(positional)
    if "axis" in aliases(op) and "dim" in positional:
        first = min(first, positional.index("dim"))
    return tuple(op.defaults.get(n, MISSING) for n in positional[first:]) or None


def closure(op: Op) -> Callable:
    """The public function of an op of the general family."""
    if not op.tensors or op.tensor_index[0] != 0 or op.tensors[0] in op.defaults:
        return dispatch.general(op)
    wrap = _wrap_one if op.outputs is None else _wrap_named(op)
    call = _scope["make"](op, op.body, op.plans, wrap)
    op.closure = call                     # the public function, unless the op puts one of its own around it
    dispatch.name_function(call, op)
    dispatch.attach_signature(call, op)
    return calls.general(op, call, wrap=wrap)


def _first_call(op: Op, *_free: Any) -> Callable:
    """Give the public function of ``op`` its compiled code, in place of the stub that is running now."""
    source = _TEMPLATE.format(**_pieces(op))
    filename = f"<op {op.name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    module = compile(source, filename, "exec")
    make = next(c for c in module.co_consts if isinstance(c, types.CodeType))
    code = next(c for c in make.co_consts if isinstance(c, types.CodeType) and c.co_name == "call")
    call = op.closure
    keywords = op.names[op.positional :]
    call.__defaults__ = defaults(op)
    call.__kwdefaults__ = ({n: op.defaults[n] for n in keywords if n in op.defaults} | ({"out": None} if op.out else {})
                           | dict.fromkeys(aliases(op)))
    call.__code__ = code.replace(co_name=op.name)
    return call


def compile_recorder(op: Op) -> Callable:
    """The function that records calls of ``op``, compiled when the first is recorded."""
    from flowtorch.ops.fast_record import recorder

    op.recorder = recorder(op)
    return op.recorder


# The stub has the free variables of the template's function, in the same order, so that the codes can be exchanged.
_STUB = """
def make(_op, _body, _fine, _wrap):
    def call(*args, **kwargs):
        return _first_call(_op, _body, _fine, _wrap)(*args, **kwargs)
    return call
"""
_scope: dict[str, Any] = {
    "_active": overrides.active,
    "_interpret": dispatch.interpret,
    "_recorder": compile_recorder,
    "_grad_enabled": grad_enabled,
    "_first_call": _first_call,
}
exec(compile(_STUB, "<op stub>", "exec"), _scope)


def _wrap_one(c: Any, t: Any) -> Any:
    """A kernel's result as a tensor, mostly of the first input's type ``t``; several as a tuple."""
    if type(c) is not np.ndarray:
        if isinstance(c, (tuple, list)):
            return tuple([_wrap_one(x, t) for x in c])
        c = np.asarray(c)
    return wrap(c, t if c.dtype is t.numpy else None)


def _wrap_named(op: Op) -> Callable:
    from flowtorch.ops.families import return_type

    def wrap_named(c: Any, t: Any) -> Any:
        return named([_wrap_one(x, t) for x in c])

    named = return_type(op)
    return wrap_named


def _pieces(op: Op) -> dict[str, str]:
    """What the template leaves open for this op."""
    positional, keywords = op.names[: op.positional], op.names[op.positional :]
    default = {n: f"{n}=None" if n in op.defaults else n for n in op.names}      # the real ones: see _first_call
    first = len(positional) - len(defaults(op) or ())
    signature = [f"{n}=None" if i >= first else n for i, n in enumerate(positional)]
    other = aliases(op)
    if keywords or op.out or other:
        signature += ["*_more" if op.name in TAKES_OLD_ORDER else "*", *(default[n] for n in keywords),
                      *(["out=None"] if op.out else []), *(f"{n}=None" for n in other)]
    inputs = {n: _input(n, optional=n in op.defaults, many=op.many and n == op.tensors[-1]) for n in op.tensors}
    keyword_items = [f"{n!r}: {n}" for n in keywords]
    keywords_out = ", ".join([*keyword_items, *(["'out': out"] if op.out else [])])
    old_order = f"if _more: return _interpret(_op, ({', '.join(positional)}, *_more), {{{keywords_out}}})"
    return {
        "signature": ", ".join(signature),
        "aliases": "\n        ".join(f"if {n} is not None: {mine} = {n}" for n, mine in other.items()) or "pass",
        "asked_out": " or out is not None" if op.out else "",
        "positional": ", ".join(positional) + ",",
        "keywords": ", ".join(keyword_items),
        "keywords_out": keywords_out,
        "old_order": old_order if op.name in TAKES_OLD_ORDER else "",
        "first": op.tensors[0],
        "checks": "".join(f" or not {inputs[n][1]}" for n in op.tensors[1:]),
        "arrays": ", ".join(
            [inputs[n][0] if n in inputs else n for n in positional]
            + [f"{n}={inputs[n][0] if n in inputs else n}" for n in keywords]
        ),
        "wanted": " or ".join(wanted for _, _, wanted in inputs.values()),
        "values": ", ".join(op.names),
    }


def _input(n: str, optional: bool, many: bool) -> tuple[str, str, str]:
    """The array of a tensor parameter, whether it is of the simple kind, and whether it may want a gradient."""
    x = "_x" if many else n
    array, simple, wanted = f"{x}._array", f"{x}._type.simple", f"({x}._requires_grad or {x}._view is not None)"
    if many:
        array, simple, wanted = (
            f"{f}([{e} for _x in {n}])" for f, e in (("", array), ("all", simple), ("any", wanted))
        )
    if optional:
        array, simple, wanted = (
            f"(None if {n} is None else {array})",
            f"({n} is None or {simple})",
            f"({n} is not None and {wanted})",
        )
    return array, simple, wanted

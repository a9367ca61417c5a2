"""Recording a call of a general op, compiled from its record: what ``dispatch.record`` decides by look-ups, written
out.

The compiled function takes the result and the op's parameters. Saved-tensor hooks, anomaly mode and lists of tensors go
the long way.
"""
from __future__ import annotations

import linecache
import textwrap
from collections.abc import Callable
from typing import Any

from flowtorch.autograd import anomaly
from flowtorch.autograd.node import Output, edge, next_seq, saved_hooks
from flowtorch.ops import dispatch
from flowtorch.ops.op import Op
from flowtorch.tensor import shared_counter

_TEMPLATE = """
def record(_r, {names}):
    if _saved_hooks.stack or _anomaly.enabled:
        return _long(_op, [{names}], _r)
{edges}
    if {none}:
        return None
    _n = _node_class()
    _n.seq = _next_seq()
    _n.edges = ({edge_names},)
    _n.hooks = None
{saved}
{extras}
{outputs}
"""

_ONE = """    if _r._type.dtype.rank < 2:
        return None
    _n.shape = _r._array.shape
    _n.type = _r._type
{save}    _r._node = _n
    _r._requires_grad = True"""

_SEVERAL = """    _n.shape = tuple([_t._array.shape for _t in _r])
    _n.type = tuple([_t._type for _t in _r])
{save}    for _k, _t in enumerate(_r):
        if _t._type.dtype.rank >= 2:
            _t._node = _Output(_n, _k)
            _t._requires_grad = True"""


def recorder(op: Op) -> Callable:
    """``record(result, *parameters)`` for calls of this op."""
    if op.many:
        return lambda r, *values: dispatch.record(op, list(values), r)
    scope: dict[str, Any] = {
        "_saved_hooks": saved_hooks,
        "_anomaly": anomaly.state,
        "_long": dispatch.record,
        "_op": op,
        "_new": object.__new__,
        "_node_class": op.node_class,
        "_next_seq": next_seq,
        "_edge": edge,
        "_Output": Output,
        "_shared_counter": shared_counter,
    }
    source = _TEMPLATE.format(
        names=", ".join(op.names),
        edges=_edges(op),
        none=" and ".join(f"_e{i} is None" for i in range(len(op.tensors))),
        edge_names=", ".join(f"_e{i}" for i in range(len(op.tensors))),
        saved=_saved(op),
        extras=_extras(op),
        outputs=_outputs(op),
    )
    filename = f"<record of {op.name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    exec(compile(source, filename, "exec"), scope)
    return scope["record"]


def _edges(op: Op) -> str:
    lines = []
    for i, n in enumerate(op.tensors):
        guard = f"None if {n} is None else " if n in op.defaults else ""
        lines.append(f"    _e{i} = {guard}_edge({n})")
    return "\n".join(lines)


def _wanted(users: tuple[int, ...], count: int) -> str:
    """The condition that one of the inputs ``users`` needs a gradient."""
    if len(set(users)) == count:
        return "True"
    return " or ".join(f"_e{j} is not None" for j in users)


def _saved(op: Op) -> str:
    """Keep the inputs that a wanted formula asks for, with their versions."""
    if not any(op.savers):
        return "    _n.saved = ()"
    kept, versions = [], []
    for n, users in zip(op.tensors, op.savers, strict=True):
        if not users:
            kept.append("None")
            versions.append("None")
            continue
        condition = _wanted(users, len(op.tensors))
        if n in op.defaults:
            condition = f"{n} is not None and ({condition})"
        kept.append(n if condition == "True" else f"{n} if {condition} else None")
        version = f"({n}._counter if type({n}._counter) is int else {n}._counter[0])"
        versions.append(version if condition == "True" else f"{version} if {condition} else None")
    return f"    _n.saved = ({', '.join(kept)},)\n    _n.versions = ({', '.join(versions)},)"


def _extras(op: Op) -> str:
    """Parameters and shapes, if a formula asks for them."""
    lines = ["    pass"]
    if op.wants_params:
        items = ", ".join(f"{n!r}: {n}" for n in op.names if n not in op.tensors)
        lines.append(f"    _n.params = {{{items}}}")
    if op.wants_shapes:
        shapes = [
            f"({n}._array.shape, {n}._type.dtype)"
            + (f" if {n} is not None else ((), None)" if n in op.defaults else "")
            for n in op.tensors
        ]
        lines.append(f"    _n.shapes = ({', '.join(shapes)},)")
    return "\n".join(lines)


def _outputs(op: Op) -> str:
    """Wire the node behind the result, one tensor or several, and keep the result if a formula asks for it."""
    one = several = ""
    if op.wants_out:
        one = (f"    if {_wanted(op.out_savers, len(op.tensors))}:\n        _c = _r._counter = [0]\n"
               "        _n.out = (_r._array, _c, 0)\n")
        several = "    _n.out = tuple([(_t._array, _c := _shared_counter(_t), _c[0]) for _t in _r])\n"
    blocks = [textwrap.indent(_ONE.format(save=one), "    "), textwrap.indent(_SEVERAL.format(save=several), "    ")]
    return f"    if not isinstance(_r, tuple):\n{blocks[0]}\n    else:\n{blocks[1]}\n    return _n"

"""The derivative of an op as one function, compiled from what its formulas ask for.

``Op.backward`` fetches each argument of each formula by a look-up; a node runs once, but there are many nodes. The
compiled form has the same look-ups written out, and takes its place when the first node of the op goes backward.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any

from flowtorch.autograd.node import Node, fetch, fetch_output
from flowtorch.ops.op import Op, fetch_outputs


def compiled(op: Op) -> Callable:
    """What ``apply`` of the op's nodes is from now on: ``(node, g)`` gives the gradients in the order of the edges."""
    if op.many or not op.differentiable:
        return Node.apply
    scope: dict[str, Any] = {"fetch": fetch, "fetch_output": fetch_output, "fetch_outputs": fetch_outputs, "op": op}
    if op.joint is not None:
        scope["joint"], wants = op.joint
        body = f"    return tuple(joint({', '.join(['g', *_arguments(wants, scope)])}))"
    else:
        parts = []
        for i, derivative in enumerate(op.vjps):
            if derivative is None:
                parts.append("None")
                continue
            scope[f"f{i}"], wants = derivative
            parts.append(
                f"None if edges[{i}] is None else f{i}({', '.join(['g', *_arguments(wants, scope)])})"
            )
        # A Python number as the last operand leaves no edge behind.
        body = (
            f"    edges = node.edges\n    if len(edges) != {len(parts)}:\n        return op.backward(node, g)\n"
            f"    return ({', '.join(parts)},)"
        )
    source = f"def apply(node, g):\n{body}\n"
    filename = f"<derivative of {op.name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    exec(compile(source, filename, "exec"), scope)
    return scope["apply"]


def _arguments(wants: tuple, scope: dict[str, Any]) -> list[str]:
    """Source of the values that a formula asks for."""
    found = []
    for what, which in wants:
        if what == "input":
            found.append(f"fetch(node, {which})")
        elif what == "out":
            found.append("(fetch_outputs(node) if type(node.type) is tuple else fetch_output(node))")
        elif what == "shape":
            found.append(f"node.shapes[{which}][0]")
        elif what == "dtype":
            found.append(f"node.shapes[{which}][1]")
        else:
            name = f"want{len(scope)}"
            scope[name] = (what, which)
            found.append(f"op.value(node, {name})")
    return found

"""Batching rules of products and joins."""

from __future__ import annotations

from typing import Any

from flowtorch.func.batched import Call, rule
from flowtorch.func.rules_pointwise import align, aligned, shifted
from flowtorch.ops.families import normalize_dim
from flowtorch.ops.op import REGISTRY


def matmul(a: Any, b: Any) -> Any:
    return REGISTRY["matmul"].public(a, b)


def product(call: Call, i: int, j: int) -> Any:
    """The matrix product of arguments ``i`` and ``j``."""
    a, b = call.values[i], call.values[j]
    rank_a, rank_b = call.rank(i), call.rank(j)
    if rank_a == 0 or rank_b == 0:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {rank_a}D and {rank_b}D"
        )
    has_a, has_b = call.flags[i], call.flags[j]
    if not has_b and rank_b <= 2:
        return matmul(a, b)
    if rank_a == 1:
        a = a.unsqueeze(-2)
    if rank_b == 1:
        b = b.unsqueeze(-1)
    rank = max(rank_a, rank_b, 2)
    a = align(a, rank) if has_a else a
    b = align(b, rank) if has_b else b
    c = matmul(a, b)
    if rank_b == 1:
        c = c.squeeze(-1)
    return c.squeeze(-1 if rank_b == 1 else -2) if rank_a == 1 else c


@rule("matmul", "mm", "bmm", "mv", "dot")
def simple(call: Call) -> Any:
    wanted = {"mm": (2, 2), "bmm": (3, 3), "mv": (2, 1), "dot": (1, 1)}.get(call.op.name)
    if wanted is not None and (call.rank(0), call.rank(1)) != wanted:
        raise RuntimeError(
            f"Shape mismatch: got incorrect dims for {call.op.name}: {call.rank(0)}D and {call.rank(1)}D"
        )
    return product(call, 0, 1)


@rule("vdot")
def vdot(call: Call) -> Any:
    call.values[0] = call.values[0].conj()
    return product(call, 0, 1)


@rule("addmm", "addmv", "addbmm", "baddbmm")
def added(call: Call) -> Any:
    """``beta * input + alpha * (first @ second)``."""
    values, names = call.values, call.op.names
    beta, alpha = values[names.index("beta")], values[names.index("alpha")]
    second = product(call, 1, 2)
    rank = call.rank(2) if call.op.name != "addmv" else 1
    if call.op.name == "addbmm":
        second, rank = second.sum(-3), 2
    if alpha != 1:
        second = second * alpha
    if beta == 0:
        return second if call.flags[1] or call.flags[2] else second.expand(call.size, *second.shape)
    first = align(values[0], rank) if call.flags[0] else values[0]
    return (first if beta == 1 else first * beta) + second


@rule("linear")
def linear(call: Call) -> Any:
    _input, weight, bias = call.values
    if not call.flags[1] and not call.flags[2] and call.rank(0):
        return call.run()
    if call.rank(1) == 1:
        c = product(call, 0, 1)
    else:
        call.values[1] = weight.transpose(-2, -1)
        c = product(call, 0, 1)
    if bias is None:
        return c
    rank = call.rank(0) if call.rank(1) == 2 else call.rank(0) - 1
    return c + (align(bias, rank) if call.flags[2] else bias)


@rule("linalg_cross")
def cross(call: Call) -> Any:
    values = aligned(call, (0, 1))
    rank = max(call.rank(0), call.rank(1))
    values[2] = shifted(values[2], rank)
    for i in (0, 1):
        values[i] = values[i] if call.flags[i] else values[i].expand(call.size, *values[i].shape)
    return call.run(values)


# ---------------------------------------------------------------- joins


def members(call: Call) -> list:
    """The members of a list of tensors, each with the batch dimension."""
    return [
        t if has else t.expand(call.size, *t.shape)
        for t, has in zip(call.values[0], call.flags[0], strict=True)
    ]


@rule("cat")
def cat(call: Call) -> Any:
    given = call.logical[0]
    for k, t in enumerate(given):
        if t.dim() == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {k}) cannot be concatenated")
    rank = max(t.dim() for t in given)
    kept = [m for m, t in zip(members(call), given, strict=True) if t.dim() == rank or tuple(t.shape) != (0,)]
    return call.run([kept, shifted(call.values[1], rank)])


@rule("stack")
def stack(call: Call) -> Any:
    rank = call.logical[0][0].dim() + 1
    return call.run([members(call), normalize_dim(call.values[1], rank) + 1])


@rule("tril", "triu")
def triangle(call: Call) -> Any:
    if call.rank(0) < 2:
        raise RuntimeError(f"{call.op.name}: input tensor must have at least 2 dimensions")
    return call.run()

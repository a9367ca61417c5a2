"""Reverse-mode transforms: ``grad``, ``grad_and_value`` and ``vjp``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flowtorch.autograd.engine import grad as backward_grad
from flowtorch.autograd.levels import Level, new_level
from flowtorch.autograd.mode import enable_grad, grad_mode
from flowtorch.func.tracked import Tracked, is_tracked, strip, track
from flowtorch.tensor import Tensor
from flowtorch.utils._pytree import tree_flatten, tree_map, tree_unflatten

Argnums = int | tuple[int, ...]


def watch(tree: Any, level: Level) -> Any:
    """The tensors of a pytree as leaves of the level that need a gradient."""

    def leaf(x: Any) -> Any:
        if not isinstance(x, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
        if x._type.dtype.rank < 2:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        t = track(x, level)
        t._requires_grad = True
        return t

    return tree_map(leaf, tree)


def lift(tree: Any, level: Level) -> Any:
    """The tensors of a pytree as tensors of the level that need no gradient."""
    return tree_map(lambda x: track(x, level) if isinstance(x, Tensor) else x, tree)


def unwrap(tree: Any, level: Level) -> Any:
    """A pytree with what tensors of the level wrap."""
    return tree_map(lambda x: strip(x, level.number), tree)


def gradients(outputs: list, inputs: list, weights: list | None, create_graph: bool) -> list:
    """d(outputs)/d(inputs) by tensors of one level, zeros where there is no dependence."""
    pairs = [
        (o, w)
        for o, w in zip(outputs, weights or [None] * len(outputs), strict=True)
        if isinstance(o, Tensor) and o.requires_grad
    ]
    found: tuple = (None,) * len(inputs)
    if pairs:
        given = None if weights is None else [w for _, w in pairs]
        found = backward_grad(
            [o for o, _ in pairs],
            inputs,
            given,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    return [t.new_zeros(t.shape) if g is None else g for t, g in zip(inputs, found, strict=True)]


def independent(t: Any) -> Any:
    """A tensor of the level apart from the object the user holds, which the end of the level may restore."""
    if type(t) is not Tracked:
        return t
    other = track(t.value, t.level, t.depth)
    other._requires_grad, other._node, other._view = t._requires_grad, t._node, t._view
    return other if t._node is not None or t._view is not None else t


def check_argnums(argnums: Any, count: int) -> Any:
    """``argnums`` counted from the front."""

    def one(n: Any) -> int:
        if not isinstance(n, int):
            raise RuntimeError(f"argnum must be int, got: {type(n)}")
        if not -count <= n < count:
            raise RuntimeError(f"Got argnum={n}, but only {count} positional inputs")
        return n % count

    if isinstance(argnums, int):
        return one(argnums)
    if not isinstance(argnums, tuple):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    if not argnums:
        raise RuntimeError("argnums must be non-empty")
    if len(set(argnums)) != len(argnums):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return tuple(one(n) for n in argnums)


def pick(args: tuple, argnums: Any) -> Any:
    return args[argnums] if isinstance(argnums, int) else tuple(args[n] for n in argnums)


def replace(args: tuple, argnums: Any, new: Any) -> tuple:
    """``args`` with the arguments named by ``argnums`` replaced."""
    result = list(args)
    for n, x in ((argnums, new),) if isinstance(argnums, int) else zip(argnums, new, strict=True):
        result[n] = x
    return tuple(result)


def split_aux(result: Any, head: str) -> tuple:
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(
            f"{head}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return result


def grad(func: Callable, argnums: Argnums = 0, has_aux: bool = False) -> Callable:
    """The function that computes the gradient of ``func``, which returns a scalar tensor, in the arguments ``argnums``.

    With ``has_aux`` ``func`` returns (scalar, anything) and the result is (gradient, anything).
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = _grad_and_value(func, argnums, has_aux, args, kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def grad_and_value(func: Callable, argnums: Argnums = 0, has_aux: bool = False) -> Callable:
    """The function that computes (gradient, value) of ``func``; see ``grad``."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return _grad_and_value(func, argnums, has_aux, args, kwargs)

    return wrapped


def _grad_and_value(func: Callable, argnums: Any, has_aux: bool, args: tuple, kwargs: dict) -> tuple:
    head = "grad_and_value(f)(*args)"
    with new_level() as level:
        argnums = check_argnums(argnums, len(args))
        watched = watch(pick(args, argnums), level)
        inside = replace(lift(args, level), argnums, watched)
        aux = None
        with enable_grad():
            value = func(*inside, **lift(kwargs, level))
            if has_aux:
                value, aux = split_aux(value, head)
            if not isinstance(value, Tensor):
                raise RuntimeError(f"{head}: Expected f(*args) to return a Tensor, got {type(value)}")
            if value.dim() != 0:
                raise RuntimeError(
                    f"{head}: Expected f(*args) to return a scalar Tensor, got tensor with {value.dim()} "
                    f"dims. "
                    "Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            leaves, spec = tree_flatten(watched)
            found = _close(level, [value], leaves, None)
        gradient = tree_unflatten(found, spec)
        value = strip(value, level.number)
        return gradient, (value, unwrap(aux, level)) if has_aux else value


def _close(level: Level, outputs: list, leaves: list, weights: list | None) -> list:
    """The gradients, as tensors of the level below: nobody asks the closed level for more derivatives."""
    outputs = [o if isinstance(o, Tensor) and is_tracked(o, level.number) else None for o in outputs]
    level.stop()
    before, grad_mode.enabled = grad_mode.enabled, level.grad_outside
    try:
        found = gradients(outputs, leaves, weights, level.grad_outside)
        return [strip(g, level.number) for g in found]
    finally:
        grad_mode.enabled = before


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """``(func(*primals), vjp_fn)``: ``vjp_fn(cotangents)`` gives a tuple of vector-Jacobian products, one per primal.

    With ``has_aux`` ``func`` returns (output, anything) and the result is (output, vjp_fn, anything).
    """
    head = "vjp(f, *primals)"
    with new_level() as level:
        watched = watch(primals, level)
        aux = None
        with enable_grad():
            outputs = func(*watched)
            if has_aux:
                outputs, aux = split_aux(outputs, head)
                aux = unwrap(aux, level)
        flat, out_spec = tree_flatten(outputs)
        if not flat:
            raise RuntimeError(
                f"{head}: Expected f to be a function that has non-empty output (got output = [])"
            )
        for o in flat:
            if not isinstance(o, Tensor):
                raise RuntimeError(
                    f"{head}: expected f(*primals) to return only tensors, got unsupported type {type(o)}"
                )
        flat = [independent(o) for o in flat]
        results = unwrap(outputs, level)
    leaves, in_spec = tree_flatten(watched)

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        weights, spec = tree_flatten(cotangents)
        if spec != out_spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to "
                "the "
                f"function. cotangents: {describe(spec)}, primal output: {describe(out_spec)}"
            )
        kept = grad_mode.enabled if create_graph is None else create_graph
        outs = [o if is_tracked(o, level.number) else None for o in flat]
        found = gradients(outs, leaves, weights, kept)
        found = [strip(g, level.number) for g in found]
        return tree_unflatten(found, in_spec)

    return (results, vjp_fn, aux) if has_aux else (results, vjp_fn)


def describe(spec: Any) -> str:
    """A tree's structure with a star for every leaf."""
    return str(tree_unflatten([_Star()] * spec.num_leaves, spec))


class _Star:
    def __repr__(self) -> str:
        return "*"

"""Whole Jacobians: ``jacrev``, ``jacfwd`` and ``hessian``, which map vjp and jvp over a basis."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch.func.forward import jvp
from flowtorch.func.gradients import Argnums, check_argnums, pick, replace, vjp
from flowtorch.func.vmapping import vmap
from flowtorch.tensor import Tensor, wrap
from flowtorch.utils._pytree import tree_flatten, tree_unflatten


def _basis(tensors: list) -> list:
    """For all elements of all tensors one after the other, the unit vectors: (total, *shape) for each tensor."""
    total = sum(t.numel() for t in tensors)
    start, parts = 0, []
    for t in tensors:
        rows = wrap(np.eye(total, t.numel(), -start, t._type.numpy))
        parts.append(rows.reshape(total, *t.shape).to(t.device))  # type: ignore[attr-defined]
        start += t.numel()
    return parts


def _check_real(name: str, kind: str, tensors: list) -> None:
    for i, t in enumerate(tensors):
        if isinstance(t, Tensor) and t.is_complex():
            raise RuntimeError(f"{name}: Expected all {kind}s to be real but received complex tensor at flattened "
                               f"{kind} idx: {i}")


def jacrev(
    func: Callable,
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable:
    """The function that computes the Jacobian of ``func`` in the arguments ``argnums`` by reverse mode.

    The result is the output's structure, with the input's structure in every place: tensors of shape
    (*output shape, *input shape). ``chunk_size``: how many rows to compute at once.
    """
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nums = check_argnums(argnums, len(args))
        chosen = pick(args, nums)
        _check_real("jacrev", "input", tree_flatten(chosen)[0])
        single = isinstance(nums, int)

        def of(*inputs: Any) -> Any:
            return func(*replace(args, nums, inputs[0] if single else inputs), **kwargs)

        outputs, vjp_fn, *aux = vjp(of, *((chosen,) if single else chosen), has_aux=has_aux)
        flat, out_spec = tree_flatten(outputs)
        _check_real("jacrev", "output", flat)
        for o in flat:
            if not (o.is_floating_point() or o.is_complex()):
                raise RuntimeError(
                    "vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got Tensor "
                    "with "
                    f"dtype {o.dtype}"
                )
        rows = vmap(lambda *weights: vjp_fn(tree_unflatten(list(weights), out_spec)), chunk_size=chunk_size)(
            *_basis(flat)
        )
        rows = rows[0] if single else rows
        leaves, in_spec = tree_flatten(rows)
        sizes = [o.numel() for o in flat]
        per_input = [leaf.split(sizes, 0) for leaf in leaves]
        blocks = [
            tree_unflatten(
                [column[k].reshape(*o.shape, *column[k].shape[1:]) for column in per_input], in_spec
            )
            for k, o in enumerate(flat)
        ]
        result = tree_unflatten(blocks, out_spec)
        return (result, aux[0]) if has_aux else result

    return wrapped


def jacfwd(
    func: Callable, argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """The function that computes the Jacobian of ``func`` in the arguments ``argnums`` by forward mode."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nums = check_argnums(argnums, len(args))
        chosen = pick(args, nums)
        single = isinstance(nums, int)
        primals = (chosen,) if single else chosen
        flat, spec = tree_flatten(primals)
        for x in flat:
            if not isinstance(x, Tensor):
                raise RuntimeError(
                    f"jvp(f, primals, tangents): Expected primals to only contain Tensors, got {type(x)}"
                )

        _check_real("jacfwd", "input", flat)

        def of(*inputs: Any) -> Any:
            return func(*replace(args, nums, inputs[0] if single else inputs), **kwargs)

        def push(*directions: Any) -> Any:
            return jvp(of, primals, tree_unflatten(list(directions), spec), has_aux=has_aux)[1:]

        columns = vmap(push, randomness=randomness)(*_basis(flat))
        slopes = columns[0]
        leaves, out_spec = tree_flatten(slopes)
        _check_real("jacfwd", "output", leaves)
        sizes = [x.numel() for x in flat]
        blocks = []
        for leaf in leaves:
            parts = [
                p.movedim(0, -1).reshape(*leaf.shape[1:], *x.shape)
                for p, x in zip(leaf.split(sizes, 0), flat, strict=True)
            ]
            tree = tree_unflatten(parts, spec)
            blocks.append(tree[0] if single else tree)
        result = tree_unflatten(blocks, out_spec)
        if not has_aux:
            return result
        aux_leaves, aux_spec = tree_flatten(columns[1])
        return result, tree_unflatten([x[0] if isinstance(x, Tensor) else x for x in aux_leaves], aux_spec)

    return wrapped


def hessian(func: Callable, argnums: Argnums = 0) -> Callable:
    """The function that computes the Hessian of ``func``: forward mode over reverse mode."""
    return jacfwd(jacrev(func, argnums), argnums)

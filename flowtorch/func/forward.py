"""Forward-mode transforms: ``jvp`` and ``linearize``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch.autograd.forward_ad import Dual, check_tangent, make
from flowtorch.autograd.levels import Level, new_level
from flowtorch.func.gradients import split_aux
from flowtorch.tensor import Tensor
from flowtorch.utils._pytree import tree_flatten, tree_map, tree_unflatten


def jvp(func: Callable, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> tuple:
    """``(func(*primals), tangents of the outputs)``: the Jacobian-vector product along ``tangents``.

    With ``has_aux`` ``func`` returns (output, anything) and the result has ``anything`` as its third part.
    """
    head = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple):
        raise RuntimeError(
            f"{head}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals)."
        )
    flat, spec = tree_flatten(primals)
    directions, other = tree_flatten(tangents)
    if spec != other:
        raise RuntimeError(
            f"{head}: Expected primals and tangents to have the same python structure. For example, if "
            f"primals is "
            f"a tuple of 3 tensors, tangents also must be. Got primals with structure {spec} and tangents "
            f"with "
            f"structure {other}"
        )
    for name, leaves in (("primals", flat), ("tangents", directions)):
        if not leaves:
            raise RuntimeError(f"{head}: Expected {name} to contain at least one Tensor.")
        for x in leaves:
            if not isinstance(x, Tensor):
                raise RuntimeError(f"{head}: Expected {name} to only contain Tensors, got {type(x)}")
    with new_level() as level:
        duals = tree_unflatten([_dual(p, t, level) for p, t in zip(flat, directions, strict=True)], spec)
        outputs = func(*duals)
        aux = None
        if has_aux:
            outputs, aux = split_aux(outputs, head)
            aux = tree_map(lambda x: x.primal if _is_dual(x, level) else x, aux)
        results, out_spec = tree_flatten(outputs)
        if not results:
            raise RuntimeError(
                f"{head}: Expected f to be a function that has non-empty output (got output = [])"
            )
        for r in results:
            if not isinstance(r, Tensor):
                raise RuntimeError(
                    f"{head}: expected f(*primals) to return only tensors, got unsupported type {type(r)}"
                )
        values = tree_unflatten([r.primal if _is_dual(r, level) else r for r in results], out_spec)
        slopes = tree_unflatten([_slope(r, level, strict) for r in results], out_spec)
    return (values, slopes, aux) if has_aux else (values, slopes)


def _dual(primal: Tensor, tangent: Tensor, level: Level) -> Tensor:
    check_tangent(primal, tangent)
    return make(primal, tangent, level.number, level.depth)


def _is_dual(t: Any, level: Level) -> bool:
    return type(t) is Dual and t.level == level.number


def _slope(t: Any, level: Level, strict: bool) -> Tensor:
    """The tangent of an output, zero if it does not depend on the inputs."""
    if _is_dual(t, level) and t.tangent is not None:
        return t.tangent
    if strict:
        raise RuntimeError(
            "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is "
            "not "
            "allowed with strict=True."
        )
    from flowtorch.ops.factory import zeros_like

    return zeros_like(t.primal if _is_dual(t, level) else t)


def linearize(func: Callable, *primals: Any) -> tuple:
    """``(func(*primals), jvp_fn)``: ``jvp_fn(*tangents)`` is the derivative at ``primals``, a linear function."""
    flat, spec = tree_flatten(primals)
    outputs = func(*primals)

    def jvp_fn(*tangents: Any) -> Any:
        directions, other = tree_flatten(tangents)
        if other != spec:
            raise RuntimeError(
                f"Expected the tangents {other} to have the same argspec as the primals {spec}"
            )
        for i, (p, t) in enumerate(zip(flat, directions, strict=True)):
            if tuple(p.shape) != tuple(t.shape):
                raise RuntimeError(
                    f"tangent:{i} with shape {t.shape} in flattened pytree doesn't match the shape {p.shape} "
                    f"of the "
                    "corresponding primal."
                )
            if p.device != t.device:
                raise RuntimeError(
                    f"tangent:{i} with device {t.device} in flattened pytree doesn't match the device "
                    f"{p.device} of "
                    "the corresponding primal."
                )
            if p.dtype is not t.dtype:
                raise RuntimeError(
                    f"tangent:{i} with dtype {t.dtype} in flattened pytree doesn't match the dtype {p.dtype} "
                    f"of the "
                    "corresponding primal."
                )
        return jvp(func, primals, tangents)[1]

    return outputs, jvp_fn

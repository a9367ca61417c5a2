"""``vmap``: run a function on every example of a batch at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flowtorch.autograd.levels import Level, new_level
from flowtorch.func import rules  # noqa: F401
from flowtorch.func.batched import batch, is_batched
from flowtorch.func.randomness import randomness_of
from flowtorch.tensor import Tensor
from flowtorch.utils._pytree import _broadcast_to_and_flatten, tree_flatten, tree_unflatten

Dims = Any


def vmap(
    func: Callable,
    in_dims: Dims = 0,
    out_dims: Dims = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """``func`` over a new dimension of its inputs.

    ``in_dims`` names the mapped dimension of every input (None: not mapped), ``out_dims`` where it appears in every
    output; both may be nested as the inputs and outputs are. ``randomness`` says what random ops do: "error",
    "different" numbers for each example, or the "same". ``chunk_size``: how many examples to compute at once.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}"
        )
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        flat_dims, flat_args, spec, size = read_inputs(in_dims, args, func)
        if chunk_size is not None and size > 0:
            return _chunked(func, flat_dims, flat_args, spec, out_dims, randomness, kwargs, size, chunk_size)
        return run(func, size, flat_dims, flat_args, spec, out_dims, randomness, kwargs)

    return wrapped


def name_of(func: Callable) -> str:
    return getattr(func, "__name__", repr(func))


def read_inputs(in_dims: Dims, args: tuple, func: Callable) -> tuple:
    """(mapped dimensions, flat arguments, structure, batch size), checked."""
    name = name_of(func)
    head = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(
            f"{head}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of "
            f"inputs, "
            f"got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to "
            f"vmap over "
            "a function with no inputs. The latter is unsupported."
        )
    flat_args, spec = tree_flatten(args)
    in_dims = tuple(in_dims) if isinstance(in_dims, list) else in_dims
    flat_dims = _broadcast_to_and_flatten(in_dims, spec)
    if flat_dims is None:
        raise ValueError(
            f"{head}: in_dims is not compatible with the structure of `inputs`. in_dims has structure "
            f"{tree_flatten(in_dims)[1]} but inputs has structure {spec}."
        )
    for i, (arg, dim) in enumerate(zip(flat_args, flat_dims, strict=True)):
        if not isinstance(dim, int) and dim is not None:
            raise ValueError(
                f"{head}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or "
                f"None."
            )
        if isinstance(dim, int) and not isinstance(arg, Tensor):
            raise ValueError(
                f"{head}: Got in_dim={dim} for an input but the input is of type {type(arg)}. We cannot vmap "
                f"over "
                "non-Tensor arguments, please use None as the respective in_dim"
            )
        if dim is not None and not -arg.dim() <= dim < arg.dim():
            raise ValueError(
                f"{head}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality "
                f"{arg.dim()} so expected in_dim to satisfy -{arg.dim()} <= in_dim < {arg.dim()}."
            )
        if dim is not None and dim < 0:
            flat_dims[i] = dim % arg.dim()
    sizes = [arg.size(dim) for arg, dim in zip(flat_args, flat_dims, strict=True) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any(n != sizes[0] for n in sizes):
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return flat_dims, flat_args, spec, sizes[0]


def wrap_inputs(flat_args: list, flat_dims: list, level: Level) -> list:
    """The mapped arguments as batches of the level."""
    return [
        arg if dim is None else batch(arg.movedim(dim, 0) if dim else arg, level)
        for arg, dim in zip(flat_args, flat_dims, strict=True)
    ]


def run(
    func: Callable,
    size: int,
    flat_dims: list,
    flat_args: list,
    spec: Any,
    out_dims: Dims,
    randomness: str,
    kwargs: dict,
) -> Any:
    """One call of the function on whole batches."""
    with new_level() as level, randomness_of(level, randomness, size):
        args = tree_unflatten(wrap_inputs(flat_args, flat_dims, level), spec)
        return unwrap_outputs(func(*args, **kwargs), level, out_dims, size, func)


def unwrap_outputs(outputs: Any, level: Level, out_dims: Dims, size: int, func: Callable) -> Any:
    """The outputs with the batch dimension where ``out_dims`` wants it."""
    name = name_of(func)
    flat, spec = tree_flatten(outputs)
    if not isinstance(out_dims, (int, tuple, list, dict)) and out_dims is not None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python collection "
            f"of "
            "ints representing where in the outputs the vmapped dimension should appear."
        )
    if isinstance(outputs, Tensor):
        # One tensor may be asked for by an int or by a tuple with one in it.
        dims: Any = (
            [out_dims]
            if isinstance(out_dims, int) or out_dims is None
            else ([out_dims[0]] if isinstance(out_dims, tuple) and len(out_dims) == 1 else None)
        )
    else:
        dims = _broadcast_to_and_flatten(out_dims, spec)
    if dims is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the "
            f"structure of "
            f"`outputs`. out_dims has structure {tree_flatten(out_dims)[1]} but outputs has structure {spec}."
        )
    return tree_unflatten([_unwrap(t, d, level, size, name) for t, d in zip(flat, dims, strict=True)], spec)


def _unwrap(t: Any, dim: Any, level: Level, size: int, name: str) -> Any:
    if not isinstance(t, Tensor):
        if dim is None:
            return t
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(t)}. Did you mean to set "
            "out_dims= to None for output?"
        )
    mapped = is_batched(t, level.number)
    if dim is None:
        if mapped:
            raise ValueError(
                f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None"
            )
        return t
    value = t.value if mapped else t.expand(size, *t.shape)  # type: ignore[attr-defined]
    return value.movedim(0, dim) if dim else value


def _chunked(
    func: Callable,
    flat_dims: list,
    flat_args: list,
    spec: Any,
    out_dims: Dims,
    randomness: str,
    kwargs: dict,
    size: int,
    chunk_size: int,
) -> Any:
    """``run`` on chunks of the batch, the results joined."""
    from flowtorch.ops.join import cat
    from flowtorch.random import get_rng_state, set_rng_state

    parts = []
    state = get_rng_state() if randomness == "same" else None
    structure: Any = None
    for start in range(0, size, chunk_size):
        if state is not None:                        # every chunk draws what the first one drew
            set_rng_state(state)
        n = min(chunk_size, size - start)
        piece = [
            arg if dim is None else arg.narrow(dim, start, n)
            for arg, dim in zip(flat_args, flat_dims, strict=True)
        ]
        flat, structure = tree_flatten(run(func, n, flat_dims, piece, spec, out_dims, randomness, kwargs))
        parts.append(flat)
    dims = _broadcast_to_and_flatten(out_dims, structure)
    if dims is None:
        dims = [out_dims[0] if isinstance(out_dims, tuple) else out_dims] * len(parts[0])
    joined = [
        column[0] if dim is None else cat(list(column), dim)
        for column, dim in zip(zip(*parts, strict=True), dims, strict=True)
    ]
    return tree_unflatten(joined, structure)

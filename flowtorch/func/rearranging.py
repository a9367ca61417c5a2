"""``rearrange``: reorder, merge and split dimensions by a pattern of names."""

from __future__ import annotations

import math
import re
from typing import Any

from flowtorch.tensor import Tensor

Axis = list[str]  # the names merged into one dimension; [] is a dimension of size 1


def rearrange(
    tensor: Tensor | list[Tensor] | tuple[Tensor, ...], pattern: str, **axes_lengths: int
) -> Tensor:
    """Reshape by a pattern such as ``"batch (h w) c -> batch c h w"``; sizes that do not follow are keywords.

    Parentheses merge dimensions, ``...`` stands for any number of them, 1 or ``()`` for one of size 1. A list of
    tensors is stacked first.
    """
    if not isinstance(tensor, Tensor):
        from flowtorch.ops.join import stack

        tensor = stack(list(tensor))
    if pattern.count("->") != 1:
        raise ValueError("Pattern must contain a single '->' separator")
    left, right = (_parse(side) for side in pattern.split("->"))
    _check_names(left, right, axes_lengths)
    rest = tensor.dim() - sum(axis != ["..."] for axis in left)
    if rest < 0 or (rest and not any({"...", "(...)"} & {*axis} for axis in left)):
        raise ValueError(
            f"Number of dimensions in pattern ({len(left)}) must be equal to the number of dimensions in the "
            f"tensor ({tensor.dim()})"
        )
    left, right = (_spread(side, rest) for side in (left, right))
    sizes = _sizes(left, tuple(tensor.shape), dict(axes_lengths))
    names = [name for axis in left for name in axis]
    parts: Any = tensor.reshape([sizes[name] for name in names])  # type: ignore[attr-defined]
    parts = parts.permute([names.index(name) for axis in right for name in axis])
    return parts.reshape([math.prod(sizes[name] for name in axis) for axis in right])


def _parse(side: str) -> list[Axis]:
    """The axes of one side of a pattern."""
    axes: list[Axis] = []
    group: Axis | None = None
    for token in re.findall(r"\.\.\.|[()]|[^\s()]+", side):
        if token == "(":
            if group is not None:
                raise ValueError(f"Imbalanced parentheses in expression: '{side.strip()}'")
            group = []
        elif token == ")":
            if group is None:
                raise ValueError(f"Imbalanced parentheses in expression: '{side.strip()}'")
            axes.append(group)
            group = None
        elif token == "1":
            if group is None:
                axes.append([])
        else:
            if token != "..." and (not token.isidentifier() or token.startswith("_") or token.endswith("_")):
                reason = "axis name should should not start or end with underscore" if token.isidentifier() else (
                    "not a valid python identifier")
                raise ValueError(f"Invalid axis identifier: {token}\n{reason}")
            if group is None:
                axes.append([token])
            else:
                group.append("(...)" if token == "..." else token)
    if group is not None:
        raise ValueError(f"Imbalanced parentheses in expression: '{side.strip()}'")
    return axes


def _check_names(left: list[Axis], right: list[Axis], lengths: dict) -> None:
    sides = [[name.strip("()") for axis in side for name in axis] for side in (left, right)]
    for names in sides:
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"Indexing expression contains duplicate dimension '{name}'")
    if difference := set(sides[0]) ^ set(sides[1]):
        raise ValueError(
            f"Identifiers only on one side of rearrange expression (should be on both): {difference}"
        )
    if unknown := set(lengths) - set(sides[0]):
        raise ValueError(f"Identifiers not found in rearrange expression: {unknown}")


def _spread(side: list[Axis], count: int) -> list[Axis]:
    """The axes with ``count`` names in the place of the ellipsis."""
    names = [f"...{k}" for k in range(count)]
    result: list[Axis] = []
    for axis in side:
        if axis == ["..."]:
            result += [[name] for name in names]
        else:
            result.append([n for name in axis for n in (names if name == "(...)" else [name])])
    return result


def _sizes(left: list[Axis], shape: tuple, sizes: dict[str, int]) -> dict[str, int]:
    """The size of every name, from the tensor's shape and the sizes given."""
    for axis, n in zip(left, shape, strict=True):
        unknown = [name for name in axis if name not in sizes]
        known = math.prod(sizes[name] for name in axis if name in sizes)
        if len(unknown) > 1:
            raise ValueError(f"cannot infer the sizes of two dimensions at once {unknown[0]} and {unknown[1]}")
        if n % known if unknown else n != known:
            raise ValueError(
                f"inferred dimension does not evenly fit into larger dimension: {n} vs "
                f"{tuple(sizes.get(name, '?') for name in axis)}"
            )
        if unknown:
            sizes[unknown[0]] = n // known
    return sizes

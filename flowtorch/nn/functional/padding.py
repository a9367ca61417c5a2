"""Padding with a constant, by reflection, replication or periodic continuation."""

from __future__ import annotations

import flowtorch as torch

from ... import overrides
from ...autograd.node_names import recorded_as
from ...ops.copy import like_channels
from ...ops.op import composite
from ...ops.pad import constant_pad_nd
from ...ops.second_order import piecewise

__all__ = ["pad"]


@composite(namespace="nn.functional")
def pad(input, pad, mode: str = "constant", value: float | None = None):
    """Extend ``input`` at its borders. ``pad`` has a (left, right) pair for each dimension, the last dimension first.

    ``mode`` is "constant" (filled with ``value``), "reflect", "replicate" or "circular". Negative numbers cut off.

    >>> torch.nn.functional.pad(torch.ones(2, 2), (1, 0, 0, 1))
    tensor([[0., 1., 1.],
            [0., 1., 1.],
            [0., 0., 0.]])
    """
    pad = [_int(p, place) for place, p in enumerate(pad)]
    if len(pad) % 2 != 0:
        raise RuntimeError(f"Padding length must be divisible by 2: a pair for each dimension, not {len(pad)} numbers")
    if len(pad) > 2 * input.dim():
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {input.dim()}"
        )
    if mode == "constant":
        return constant_pad_nd(input, pad, 0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    extend = {"reflect": _reflect, "replicate": _replicate, "circular": _wrap}.get(mode)
    if extend is None:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    _check_dims(input, pad)
    name = {"reflect": "Reflection", "replicate": "Replication"}.get(mode)
    if name and (cast := overrides.state.autocast) is not None:
        (input,) = cast(f"{name.lower()}_pad{len(pad) // 2}d", (input,)) or (input,)
    given = input
    if name:
        input = piecewise(input)
    for place in range(0, len(pad), 2):
        left, right = pad[place], pad[place + 1]
        if left or right:
            input = extend(input, input.dim() - 1 - place // 2, left, right)
    result = input.clone() if max(pad, default=0) <= 0 else input      # only cut: still a view until here
    result = like_channels(result, given) if name else result.contiguous()
    return recorded_as(result, f"{name}Pad{len(pad) // 2}DBackward0") if name else result


def _int(value, place: int) -> int:
    if isinstance(value, float) or not hasattr(value, "__index__"):
        raise TypeError(
            "pad(): argument 'pad' (position 2) must be tuple of ints, but found element of type "
            f"{type(value).__name__} at pos {place}"
        )
    return value.__index__()


def _check_dims(input, pad) -> None:
    spatial = len(pad) // 2
    if not 1 <= spatial <= 3 or input.dim() not in (spatial + 1, spatial + 2):
        raise NotImplementedError(
            f"Padding size {len(pad)} is not supported for {input.dim()}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
            "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
            "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
        )
    if any(n == 0 for n in input.shape[-spatial - 1 :]):
        raise RuntimeError(
            f"Expected {spatial + 1}D or {spatial + 2}D (batch mode) tensor with possibly 0 batch size and other "
            f"non-zero dimensions for input, but got: {list(input.shape)}"
        )


def _cut(x, dim: int, left: int, right: int):
    """``x`` without the elements that negative paddings remove."""
    start, stop = max(-left, 0), x.size(dim) - max(-right, 0)
    if left + right + x.size(dim) < 0:
        raise RuntimeError("Negative padding value is resulting in an empty dimension")
    return x if (start, stop) == (0, x.size(dim)) else x.narrow(dim, start, max(stop - start, 0))


def _join(parts, dim: int):
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _reflect(x, dim: int, left: int, right: int):
    n = x.size(dim)
    if left >= n or right >= n:
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
            f"({left}, {right}) at dimension {dim} of input {list(x.shape)}"
        )
    parts = [_cut(x, dim, left, right)]
    if left > 0:
        parts.insert(0, x.narrow(dim, 1, left).flip(dim))
    if right > 0:
        parts.append(x.narrow(dim, n - 1 - right, right).flip(dim))
    return _join(parts, dim)


def _replicate(x, dim: int, left: int, right: int):
    def repeated(position: int, times: int):
        shape = [-1] * x.dim()
        shape[dim] = times
        return x.narrow(dim, position, 1).expand(shape)

    parts = [_cut(x, dim, left, right)]
    if left > 0:
        parts.insert(0, repeated(0, left))
    if right > 0:
        parts.append(repeated(x.size(dim) - 1, right))
    return _join(parts, dim)


def _wrap(x, dim: int, left: int, right: int):
    if left > x.size(dim) or right > x.size(dim):
        raise RuntimeError("Padding value causes wrapping around more than once.")
    middle = _cut(x, dim, left, right)
    n = middle.size(dim)
    parts = [middle]
    if left > 0:
        parts.insert(0, middle.narrow(dim, n - left, left))
    if right > 0:
        parts.append(middle.narrow(dim, 0, right))
    return _join(parts, dim)

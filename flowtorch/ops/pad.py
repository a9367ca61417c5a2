"""Padding with a constant, and its adjoint: the same op with the signs of the paddings changed."""

from __future__ import annotations

import numpy as np

from flowtorch.ops.arguments import need_ints
from flowtorch.ops.families import op


@op(out=False,
    name="constant_pad_nd",
    tensors=("input",),
    linear=False,
    method=False,
    vjp=(lambda g, pad: constant_pad_nd(g, [-p for p in pad]),),  # type: ignore[has-type]
    low="keep",
    follows=("input",),
)
def constant_pad_nd(input, pad, value=0):
    """Surround ``input`` by ``value``; ``pad`` has (left, right) pairs, last dimension first; negative ones cut."""
    need_ints("constant_pad_nd", "pad", 2, pad)
    pairs = list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    keep = input.ndim - len(pairs)
    pairs = [(0, 0)] * keep + pairs
    shape = [n + left + right for n, (left, right) in zip(input.shape, pairs, strict=True)]
    source, target = [], []
    for n, (left, right), size in zip(input.shape, pairs, shape, strict=True):
        if size < 0:
            raise RuntimeError(
                f"The input size {n}, plus negative padding {left} and {right}, resulted in a negative output "
                "size, which is invalid. Check dimension of your input."
            )
        source.append(slice(max(-left, 0), n - max(-right, 0)))
        target.append(slice(max(left, 0), size - max(right, 0)))
    out = np.full(shape, value, input.dtype) if value else np.zeros(shape, input.dtype)
    if out.size and input.size:
        out[tuple(target)] = input[tuple(source)]
    return out

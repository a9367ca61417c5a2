"""Index arithmetic of generated kernels: taking a flat index apart and adding up offsets."""

from __future__ import annotations

from collections.abc import Sequence


def coordinates(index: str, sizes: Sequence[str], prefix: str) -> list[str]:
    """Statements that split `index` into `prefix`0, `prefix`1, ... by `sizes` (the first is not used)."""
    lines, rest = [], index
    for dim in range(len(sizes) - 1, 0, -1):
        lines.append(f"{prefix}{dim} = {rest} % {sizes[dim]}")
        lines.append(f"{prefix}_rest{dim} = {rest} // {sizes[dim]}")
        rest = f"{prefix}_rest{dim}"
    return [*lines, f"{prefix}0 = {rest}"]


def offset(prefix: str, strides: Sequence[str]) -> str:
    """The sum of coordinates times strides; a stride "1" costs no multiplication, "0" no term."""
    terms = []
    for dim, stride in enumerate(strides):
        if stride != "0":
            terms.append(f"{prefix}{dim}" if stride == "1" else f"{prefix}{dim} * {stride}")
    return " + ".join(terms) or "0"

"""Tables of plain text: columns as wide as what is in them, numbers to the right, a line under the headers."""

from __future__ import annotations

from typing import Any


def tabulated(headers: list[str], rows: list[list[Any]]) -> str:
    """``rows`` under ``headers``."""
    columns = [[_text(row[i]) for row in rows] for i in range(len(headers))]
    # At least two wider than the header: what the widely used tables look like.
    widths = [
        max([len(h) + 2, *(len(line) for cell in c for line in cell)]) for h, c in zip(headers, columns, strict=True)
    ]
    lines = ["  ".join(h.ljust(w) for h, w in zip(headers, widths, strict=True)).rstrip()]
    lines.append("  ".join("-" * w for w in widths))
    for row in zip(*columns, strict=True):
        for k in range(max(len(cell) for cell in row)):
            parts = [cell[k] if k < len(cell) else "" for cell in row]
            lines.append("  ".join(p.ljust(w) for p, w in zip(parts, widths, strict=True)).rstrip())
    return "\n".join(lines)


def _text(value: Any) -> list[str]:
    return ("" if value is None else str(value)).splitlines() or [""]

"""Update formulas for rows that do not fit the cache, rewritten so that they pass over memory less often.

Sums with multiples, ``x + c * y``, become terms of their own, which BLAS computes in one pass (`passes`), and a number
moves out of a product or quotient that is added to something: ``x + (c * y) / z`` becomes ``x + c * (y / z)``. The
result differs from that of the formula as it stands by its rounding.
"""
from __future__ import annotations

from collections import Counter
from typing import Any


def combine(outputs: dict[int, Any]) -> dict[int, Any]:
    """The same outputs (terms by array index) from such terms."""
    rewriting = _Rewriting(outputs)
    return {i: rewriting.term(term) for i, term in outputs.items()}


class _Rewriting:
    def __init__(self, outputs: dict[int, Any]) -> None:
        self.uses: Counter[int] = Counter()     # by id, as terms overload ==
        self.done: dict[int, Any] = {}
        for term in outputs.values():
            self._count(term)

    def _count(self, term: Any) -> None:
        self.uses[id(term)] += 1
        if self.uses[id(term)] == 1:
            for arg in filter(_is_term, term.args):
                self._count(arg)

    def term(self, term: Any) -> Any:
        """The term rewritten; numbers and arrays as they are."""
        if not _is_term(term) or term.op == "input":
            return term
        if id(term) not in self.done:
            self.done[id(term)] = self._rewritten(term)
        return self.done[id(term)]

    def _rewritten(self, term: Any) -> Any:
        new = type(term)
        if term.op != "add" or not all(map(_is_term, term.args)):
            return new(term.op, *map(self.term, term.args))
        (x, a), (y, b) = map(self._multiple, term.args)
        if a is None:
            return new("add", x, y) if b is None else new("add_scaled", x, y, b)
        return new("scale_add", x, a, y) if b is None else new("scale_add_scaled", x, a, y, b)

    def _multiple(self, term: Any) -> tuple[Any, Any]:
        """(rest, number) if the term is a number times a rest that nothing else reads, else (the term, None)."""
        if term.op not in ("mul", "div") or self.uses[id(term)] > 1:
            return self.term(term), None
        left, right = term.args
        if not _is_term(right) and term.op == "mul":
            return self.term(left), right
        if _is_term(left) and _is_term(right):
            rest, number = self._multiple(left)
            if number is not None:
                return type(term)(term.op, rest, self.term(right)), number
        return self.term(term), None


def _is_term(arg: Any) -> bool:
    return hasattr(arg, "op")

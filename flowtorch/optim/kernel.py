"""From the traced terms of an update formula to one function of in-place numpy calls.

The generated function for Adam without options reads::

    def run(A0, A1, A2, A3, W0, W1, c0, c1, c2, c3, c4, c5):
        for a0, a1, a2, a3, w0, w1 in zip(A0, A1, A2, A3, W0, W1):
            lerp(a2, a1, c0, w0, a2)
            mul(a3, c1, a3)
            ...

``a`` are the formula's arrays, ``w`` work arrays of the same shape, ``c`` 0-d arrays with the numbers of this
call.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .combined import combine
from .native import Native
from .passes import LONG, lerp

_UFUNCS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "neg": np.negative,
           "sqrt": np.sqrt, "abs": np.absolute, "maximum": np.maximum, "minimum": np.minimum,
           "gt": np.greater, "lt": np.less, "eq": np.equal}
_COMPARISONS = {"gt", "lt", "eq"}


_FUNCTIONS = {**_UFUNCS, "lerp": lerp, "copyto": np.copyto}


class Kernel:
    """A compiled update formula.

    ``run(*arrays, *work, *numbers)`` takes one list of equally shaped arrays per array of the formula that is
    present and per work array, and the numbers as 0-d arrays. ``numbers(**values)`` gives those numbers from
    the formula's arguments. ``writes`` are the positions, among the arrays present, of those that change.
    ``run_blocks`` is ``run`` for the blocks of long rows, with fewer passes over memory and another rounding.
    """

    __slots__ = ("booleans", "cost", "floats", "name", "native", "numbers", "run", "run_blocks", "source", "writes")

    name: str
    source: str             # of ``run``
    run: Callable[..., None]
    run_blocks: Callable[..., None]
    numbers: Callable[..., tuple]
    writes: tuple[int, ...]
    floats: int             # work arrays of the compute dtype; they come first
    booleans: int           # work arrays of booleans
    cost: int               # calls to numpy for one row
    native: Native          # the same as machine code


def compile_kernel(name: str, present: Sequence[bool], outputs: dict[int, Any],
                   arguments: tuple[str, ...]) -> Kernel:
    """The kernel that computes ``outputs`` (terms by array index)."""
    constants: dict[str, int] = {}               # text of a number: its index
    program = _Program(outputs, constants)
    blocks = _Program(combine(outputs), constants)
    position = {i: k for k, i in enumerate(i for i, there in enumerate(present) if there)}
    kernel = Kernel()
    kernel.name = name
    kernel.floats, kernel.booleans = max(program.floats, blocks.floats), max(program.booleans, blocks.booleans)
    lists = [f"A{i}" for i in position] + [f"W{k}" for k in range(kernel.floats)] \
        + [f"B{k}" for k in range(kernel.booleans)]
    kernel.source, kernel.run = _function(lists, constants, program.lines, _FUNCTIONS)
    _, kernel.run_blocks = _function(lists, constants, blocks.lines, _FUNCTIONS | LONG)
    tuple_text = "".join(f"{text}, " for text in constants)
    kernel.numbers = eval(f"lambda {', '.join(arguments)}: ({tuple_text})")
    kernel.writes = tuple(position[i] for i in outputs)
    kernel.cost = len(program.lines)
    kernel.native = Native(outputs, present, list(constants))
    return kernel


def _function(lists: list[str], constants: dict[str, int], lines: list[str],
              names: dict[str, Any]) -> tuple[str, Callable[..., None]]:
    """A function that runs ``lines`` for each row of the lists of arrays, and its source."""
    numbers = [f"c{k}" for k in range(len(constants))]
    items = ", ".join(text.lower() for text in lists)
    source = "\n".join([f"def run({', '.join(lists + numbers)}):", f"    for {items}, in zip({', '.join(lists)}):",
                        *(f"        {line}" for line in lines or ["pass"])])
    scope = dict(names)
    exec(source, scope)                          # our own text, made above from our own terms
    return source, scope["run"]


class _Program:
    """Straight-line code for some outputs, with a place in memory for every intermediate result."""

    def __init__(self, outputs: dict[int, Any], constants: dict[str, int]) -> None:
        self.lines: list[str] = []
        self.constants = constants
        self.floats = self.booleans = 0
        self._free: dict[str, list[str]] = {"w": [], "b": []}
        self._place: dict[Any, str] = {}         # where a term lies while it is alive
        order = _in_order(outputs.values())
        last = {arg: k for k, term in enumerate(order) for arg in term.args if _is_term(arg)}
        self._last = last
        self._final = {term: i for i, term in outputs.items() if term.op != "input"}
        self._bound = _bound_for(order, self._final)
        for term in [*order, *outputs.values()]:
            for leaf in (term, *term.args):
                if _is_term(leaf) and leaf.op == "input":
                    self._place[leaf] = f"a{leaf.index}"
        self._inputs = {f"a{t.index}": last.get(t, -1) for t in self._place}
        for k, term in enumerate(order):
            self._emit(k, term)
        for i, term in outputs.items():
            if self._place[term] != f"a{i}":
                self.lines.append(f"copyto(a{i}, {self._place[term]})")
        self._keep(outputs)

    def _keep(self, outputs: dict[int, Any]) -> None:
        overwritten = {f"a{i}" for i in outputs}
        for i, term in outputs.items():
            if term.op == "input" and f"a{term.index}" in overwritten and i != term.index:
                raise NotImplementedError("a formula cannot exchange two of its arrays")

    def _emit(self, k: int, term: Any) -> None:
        operands = [self._operand(arg) for arg in term.args]
        dying = [arg for arg in dict.fromkeys(term.args)
                 if _is_term(arg) and arg.op != "input" and self._last[arg] == k and arg not in self._final]
        if term.op == "where":       # its operands are still read after the first write to the result
            place = self._new_place(k, term, dead_now=k - 1)
            self.lines += [f"copyto({place}, {operands[2]})",
                           f"copyto({place}, {operands[1]}, where={operands[0]})"]
        elif term.op in LONG:
            work = self._take("w")
            place = self._new_place(k, term, dead_now=k, candidates=[self._place[arg] for arg in dying])
            self.lines.append(f"{term.op}({', '.join(operands)}, {work}, {place})")
            self._free["w"].append(work)
        else:
            place = self._new_place(k, term, dead_now=k, candidates=[self._place[arg] for arg in dying])
            result = f"out={place}" if term.op in ("maximum", "minimum") else place
            self.lines.append(f"{term.op}({', '.join(operands)}, {result})")
        for arg in dying:
            released = self._place.pop(arg)
            if released != place and released[0] in self._free:
                self._free[released[0]].append(released)
        self._place[term] = place

    def _new_place(self, k: int, term: Any, dead_now: int, candidates: Sequence[str] = ()) -> str:
        """Where the result of instruction ``k`` goes: home to its array if that is no longer read, else a
        work array."""
        home = self._final.get(term, self._bound.get(term))
        if home is not None and self._inputs.get(f"a{home}", -1) <= dead_now:
            return f"a{home}"
        kind = "b" if term.op in _COMPARISONS else "w"
        for place in candidates:
            if place[0] == kind:
                return place
        return self._take(kind)

    def _take(self, kind: str) -> str:
        if self._free[kind]:
            return self._free[kind].pop()
        if kind == "b":
            self.booleans += 1
            return f"b{self.booleans - 1}"
        self.floats += 1
        return f"w{self.floats - 1}"

    def _operand(self, arg: Any) -> str:
        if _is_term(arg):
            return self._place[arg]
        text = getattr(arg, "text", None) or repr(arg)
        return f"c{self.constants.setdefault(text, len(self.constants))}"


def _is_term(arg: Any) -> bool:
    return hasattr(arg, "op")


def _bound_for(order: list[Any], final: dict[Any, int]) -> dict[Any, int]:
    """Terms read only by the one operation that makes an array's new value: they may already lie in that
    array."""
    users: dict[Any, list[Any]] = {}
    for term in order:
        for arg in term.args:
            if _is_term(arg):
                users.setdefault(arg, []).append(term)
    bound: dict[Any, int] = {}
    for term in reversed(order):
        if term in final and term.op != "where" and term.op not in LONG:
            for arg in term.args:
                if _is_term(arg) and arg.op not in _COMPARISONS and arg not in final \
                        and users[arg] == [term] and final[term] not in bound.values():
                    bound[arg] = final[term]
    return bound


def _in_order(roots: Any) -> list[Any]:
    """The operations that the roots need, operands before users, and of two operands the larger tree
    first."""
    order: list[Any] = []
    seen: set[int] = set()
    weights: dict[int, int] = {}

    def weight(term: Any) -> int:
        if not _is_term(term) or term.op == "input":
            return 0
        if id(term) not in weights:
            weights[id(term)] = 1 + sum(weight(arg) for arg in term.args)
        return weights[id(term)]

    def visit(term: Any) -> None:
        if not _is_term(term) or term.op == "input" or id(term) in seen:
            return
        for arg in sorted(term.args, key=weight, reverse=True):
            visit(arg)
        seen.add(id(term))
        order.append(term)

    for root in roots:
        visit(root)
    return order

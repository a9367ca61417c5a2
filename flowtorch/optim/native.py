"""Update kernels as machine code, where there is a C compiler.

The terms that become numpy calls go through the code generator instead, and the C that comes out computes the
whole formula in one pass over memory, for all rows in one call, with the same result to the last bit. It is
built in the background, once a kernel has had enough work to make that worth while; until then, and without a
compiler, numpy does the work.
"""
from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

ENOUGH = 1 << 20        # elements updated by a kernel after which machine code is built
PER_CALL = 1 << 12      # what a call counts for beside its elements
PARALLEL = 1 << 20      # elements in one call from which threads share it

_ROWS = """
void rows(int64_t count, const int64_t *sizes, char *const *columns, const int64_t *numbers) {{
    static const int64_t sources[] = {{{sources}}};
    enum {{ width = sizeof sources / sizeof *sources }};
    int64_t steps[width];
    char *places[width];
    for (int k = 0; k < width; k++) steps[k] = 1;
    for (int64_t i = 0; i < count; i++) {{
        for (int k = 0; k < width; k++) places[k] = columns[sources[k] * count + i];
        kernel(1, sizes + i, steps, places, numbers);
    }}
}}
"""

_pool: list[ThreadPoolExecutor] = []


class Native:
    """The machine code of one kernel, one function per dtype."""

    def __init__(self, outputs: dict[int, Any], present: Sequence[bool], constants: Sequence[str]) -> None:
        self.arrays = [i for i, there in enumerate(present) if there]
        self.outputs, self.constants = outputs, list(constants)
        self.functions: dict[str, Callable | None] = {}
        self.work: dict[str, int] = {}

    def function(self, dtype: np.dtype, elements: int) -> Callable | None:
        """The function for arrays of this dtype if it is ready; starts to build it when it is time."""
        name = dtype.char
        if name in self.functions:
            return self.functions[name]
        done = self.work[name] = self.work.get(name, 0) + elements + PER_CALL
        if done >= ENOUGH:
            self.functions[name] = None
            if os.environ.get("FLOWTORCH_NATIVE", "1") != "0":
                threading.Thread(target=self.build, args=(dtype,), daemon=True).start()
        return None

    def build(self, dtype: np.dtype) -> None:
        """Compile and load the function for a dtype; without a compiler nothing changes."""
        from flowtorch.codegen import native

        try:
            function = native.load(self.source(dtype.name)).rows
        except (native.BuildError, NotImplementedError, OSError):
            return
        function.restype = None
        function.argtypes = [ctypes.c_int64] + [ctypes.c_void_p] * 3
        self.functions[dtype.char] = function

    def source(self, dtype: str) -> str:
        """The C source of the function for a dtype."""
        from flowtorch.codegen import c_renderer, lowering

        program = lowering.lower(self._trees(), {f"a{i}": dtype for i in self.arrays},
                                 {f"c{k}": dtype for k in range(len(self.constants))},
                                 [dtype] * len(self.outputs))
        # The kernel's operands are its arrays, then once more those that it writes.
        sources = [*range(len(self.arrays)), *map(self.arrays.index, self.outputs)]
        rows = _ROWS.format(sources=", ".join(map(str, sources)))
        return c_renderer._prelude() + c_renderer.render(program) + rows

    def _trees(self) -> list[Any]:
        """The outputs as trees of the code generator."""
        from flowtorch.codegen import expression

        number = {text: expression.parameter(f"c{k}") for k, text in enumerate(self.constants)}
        done: dict[Any, Any] = {}

        def tree(term: Any) -> Any:
            if not hasattr(term, "op"):
                return number[getattr(term, "text", None) or repr(term)]
            if term not in done:
                args = [tree(arg) for arg in term.args]
                if term.op == "input":
                    done[term] = expression.input(f"a{term.index}")
                elif term.op == "lerp":
                    done[term] = _lerp(expression, *args)
                else:
                    done[term] = expression.call(term.op, *args)
            return done[term]

        return [tree(term) for term in self.outputs.values()]


def _lerp(expression: Any, start: Any, end: Any, weight: Any) -> Any:
    call, constant = expression.call, expression.constant
    way = call("sub", end, start)
    near = call("add", start, call("mul", way, weight))
    far = call("sub", end, call("mul", way, call("sub", constant(1), weight)))
    return call("where", call("lt", call("abs", weight), constant(0.5)), near, far)


def run(function: Callable, columns: Sequence[Sequence[np.ndarray]], numbers: Sequence[float]) -> None:
    """Update rows of arrays, each row contiguous in one common order, in place."""
    sizes = np.array([a.size for a in columns[0]], np.int64)
    places = np.array(addresses(columns), np.int64)
    slots = np.array(numbers, np.float64)
    parts = _threads() if sizes.sum() >= PARALLEL else 1
    if parts == 1:
        _call(function, sizes, places, slots)
        return
    if not _pool:
        _pool.append(ThreadPoolExecutor(parts, thread_name_prefix="flowtorch-optim"))
    jobs = []
    for part in range(parts):           # each thread takes its share of every row
        starts, ends = sizes * part // parts, sizes * (part + 1) // parts
        moved = places + np.tile(starts, len(columns)) * columns[0][0].itemsize
        jobs.append(_pool[0].submit(_call, function, ends - starts, moved, slots))
    for job in jobs:
        job.result()


def _call(function: Callable, *arrays: np.ndarray) -> None:
    function(arrays[0].size, *addresses([arrays]))


def _threads() -> int:
    import flowtorch

    chosen = getattr(flowtorch, "get_num_threads", None)
    return chosen() if chosen else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


# ---- where arrays' elements are

def _interface_addresses(columns: Sequence[Sequence[np.ndarray]]) -> list[int]:
    return [a.__array_interface__["data"][0] for column in columns for a in column]


def _peeked_addresses(columns: Sequence[Sequence[np.ndarray]]) -> list[int]:
    return [_word_at(id(a) + _HEAD).value for column in columns for a in column]


# An array object begins with the pointer to its data, after the head that all objects have. Reading it there takes a
# sixth of the time of the interface, which would be most of the time of a step on small parameters.
_HEAD = object.__basicsize__
_word_at = ctypes.c_int64.from_address
_sample = [[np.zeros(3)[1:]]]
addresses = _interface_addresses
if sys.implementation.name == "cpython" and _peeked_addresses(_sample) == _interface_addresses(_sample):
    addresses = _peeked_addresses

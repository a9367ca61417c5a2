"""Update kernels as machine code, where there is a C compiler.

The terms that become numpy calls go through the code generator instead, and the C that comes out computes the
whole formula in one pass over memory, for all rows in one call: what the formula says, to the last bit, where
numpy rounds elsewhere in rows that it walks in blocks. It is built in the background, once a kernel has had
enough work to make that worth while; until then, and without a compiler, numpy does the work.
"""
from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import numpy as np

from flowtorch.tensor import Tensor

ENOUGH = 1 << 20        # elements updated by a kernel after which machine code is built
PER_CALL = 1 << 14      # what a call counts for beside its elements
PARALLEL = 1 << 20      # elements in one call from which threads share it

_DONE, _SHARE = 0, 1    # what the function answers; anything else: these arrays do not lie as it expects

# It is given numpy's array objects and finds the elements itself: to ask each array from Python where they
# are would take most of the time of a step on small parameters. The objects begin as numpy's C interface
# lays them down.
_ROWS = """
typedef struct {{
    char *data;
    int dimensions;
    const intptr_t *shape, *strides;
    void *base, *type;
    int flags;
}} Array;

static const Array *look(const char *object) {{ return (const Array *)(object + {head}); }}

static int64_t length(const Array *array) {{
    int64_t n = 1;
    for (int d = 0; d < array->dimensions; d++) n *= array->shape[d];
    return n;
}}

int64_t inspect(const char *object, int64_t *facts) {{
    const Array *array = look(object);
    facts[0] = (int64_t)array->data, facts[1] = length(array), facts[2] = array->flags & 1;
    return 0;
}}

int64_t rows(int64_t count, const char *const *objects, int64_t part, int64_t parts, int64_t limit,
             const int64_t *numbers) {{
    static const int64_t sources[] = {{{sources}}};
    enum {{ width = sizeof sources / sizeof *sources, arrays = {arrays} }};
    int64_t steps[width], total = 0;
    char *places[width];
    for (int k = 0; k < width; k++) steps[k] = 1;
    if (!parts) {{
        for (int64_t i = 0; i < count; i++) {{
            int64_t n = length(look(objects[i]));
            for (int k = 0; k < arrays; k++) {{
                const Array *array = look(objects[k * count + i]);
                if (!(array->flags & 1) || length(array) != n) return -1;
            }}
            total += n;
        }}
        if (total >= limit) return {share};
        parts = 1;
    }}
    for (int64_t i = 0; i < count; i++) {{
        int64_t n = length(look(objects[i])), start = n * part / parts, size = n * (part + 1) / parts - start;
        for (int k = 0; k < width; k++)
            places[k] = look(objects[sources[k] * count + i])->data + start * {itemsize};
        kernel(1, &size, steps, places, numbers);
    }}
    return {done};
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

    def worked(self, dtype: np.dtype, elements: int) -> None:
        """Count work that numpy did for want of the function; when it is time, start to build that."""
        name = dtype.char
        if name in self.functions:
            return
        done = self.work[name] = self.work.get(name, 0) + elements + PER_CALL
        if done >= ENOUGH:
            self.functions[name] = None
            if os.environ.get("FLOWTORCH_NATIVE", "1") != "0":
                threading.Thread(target=self.build, args=(dtype,), name="flowtorch-optim-build", daemon=True).start()

    def build(self, dtype: np.dtype) -> None:
        """Compile and load the function for a dtype; without a compiler nothing changes."""
        from flowtorch.codegen import native

        try:
            library = native.load(self.source(dtype))
        except (native.BuildError, NotImplementedError, OSError):  # the step's formula runs as it is
            return
        if _sees_arrays(library.inspect):
            function = library.rows
            function.restype, pointer, number = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64
            function.argtypes = [number, pointer, number, number, number, pointer]
            self.functions[dtype.char] = function

    def source(self, dtype: np.dtype) -> str:
        """The C source of the function for a dtype."""
        from flowtorch.codegen import c_renderer, lowering

        name = dtype.name
        known = {text: k for k, text in enumerate(self.constants)}
        program = lowering.lower(trees(self.outputs.values(), known), {f"a{i}": name for i in self.arrays},
                                 {f"c{k}": name for k in range(len(self.constants))},
                                 [name] * len(self.outputs))
        # The kernel's operands are its arrays, then once more those that it writes.
        sources = [*range(len(self.arrays)), *map(self.arrays.index, self.outputs)]
        rows = _ROWS.format(sources=", ".join(map(str, sources)), arrays=len(self.arrays),
                            itemsize=dtype.itemsize, head=object.__basicsize__, done=_DONE, share=_SHARE)
        many = len(self.arrays) > 3      # up to three streams the processor foresees better by itself
        return c_renderer._prelude() + c_renderer.render(program, ahead=many) + rows


def trees(terms: Iterable[Any], constants: dict[str, int]) -> list[Any]:
    """Terms as trees of the code generator: arrays are inputs a0, a1, ..., numbers parameters c0, c1, ...

    ``constants`` has the number of each constant by its text; those that are not in it are added.
    """
    from flowtorch.codegen import expression

    done: dict[Any, Any] = {}

    def tree(term: Any) -> Any:
        if not hasattr(term, "op"):
            text = getattr(term, "text", None) or repr(term)
            return expression.parameter(f"c{constants.setdefault(text, len(constants))}")
        if term not in done:
            args = [tree(arg) for arg in term.args]
            if term.op == "input":
                done[term] = expression.input(f"a{term.index}")
            elif term.op == "lerp":
                done[term] = _lerp(expression, *args)
            else:
                done[term] = expression.call(term.op, *args)
        return done[term]

    return [tree(term) for term in terms]


def _lerp(expression: Any, start: Any, end: Any, weight: Any) -> Any:
    call, constant = expression.call, expression.constant
    way = call("sub", end, start)
    near = call("add", start, call("mul", way, weight))
    far = call("sub", end, call("mul", way, call("sub", constant(1), weight)))
    return call("where", call("lt", call("abs", weight), constant(0.5)), near, far)


def run(function: Callable, columns: Sequence[Sequence[np.ndarray]], numbers: Sequence[Any]) -> bool:
    """Update rows of arrays in place; False, with nothing done, if they are not all C-contiguous."""
    count = len(columns[0])
    objects = struct.pack(f"{count * len(columns)}P", *map(id, chain.from_iterable(columns)))
    slots = struct.pack(f"{len(numbers)}d", *[v.item() if isinstance(v, Tensor) else v for v in numbers])
    outcome = function(count, objects, 0, 0, PARALLEL, slots)
    if outcome == _SHARE:           # each thread takes its share of every row
        parts = _threads()
        if not _pool and parts > 1:
            _pool.append(ThreadPoolExecutor(parts, thread_name_prefix="flowtorch-optim"))
        jobs = [_pool[0].submit(function, count, objects, part, parts, 0, slots) for part in range(1, parts)]
        outcome = function(count, objects, 0, parts, 0, slots)
        for job in jobs:
            job.result()
    return outcome == _DONE


def _threads() -> int:
    import flowtorch

    chosen = getattr(flowtorch, "get_num_threads", None)
    return chosen() if chosen else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _sees_arrays(inspect: Callable) -> bool:
    """Whether array objects are what the C code takes them for."""
    if sys.implementation.name != "cpython":
        return False
    facts = (ctypes.c_int64 * 3)()
    inspect.restype = ctypes.c_int64                    # type: ignore[attr-defined]
    inspect.argtypes = [ctypes.c_void_p] * 2            # type: ignore[attr-defined]
    whole = np.zeros((3, 5))
    for array in (whole[1:], whole[:, 1:], whole[1, 2:3].reshape(()), whole[:0]):
        inspect(id(array), facts)
        if list(facts) != [array.__array_interface__["data"][0], array.size, array.flags.c_contiguous]:
            return False
    return True

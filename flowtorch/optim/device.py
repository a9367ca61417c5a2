"""Runs update formulas over parameters on device "cuda": all parameters of a dtype in one launch.

Numbers that are tensors there (the step counts of captured steps, a learning rate) are read by the kernel, so that
nothing waits for the device. Half precision is computed in float32 and rounded once.
"""

from __future__ import annotations

import functools
from typing import Any

from flowtorch.tensor import Tensor

from . import native
from .formula import Formula, Number, Term

Row = list[Any]
"""One parameter, its gradient and its state; None for an array that is not there."""


def update(formula: Formula, rows: list[Row], values: list[tuple], names: tuple[str, ...], numbers: dict) -> list[int]:
    """Update rows in place, each with its `values` for the numbers called `names`; returns those left out."""
    groups: dict[tuple, list[int]] = {}
    left = []
    for i, (row, own) in enumerate(zip(rows, values, strict=True)):
        kind = _kind(row)
        if kind is None:
            left.append(i)
        else:
            # numbers in memory may differ from row to row within a launch, others may not
            apart = tuple([_on_device(value) or value for value in own])
            groups.setdefault((kind, apart), []).append(i)
    for chosen in groups.values():
        varying = {name: [values[i][k] for i in chosen] for k, name in enumerate(names)}
        _launch(formula, [rows[i] for i in chosen], varying, numbers)
    return left


def _kind(row: Row) -> tuple | None:
    """What rows of one launch have in common, or None for a row that no kernel takes."""
    from flowtorch.codegen.multi_tensor import alike

    present = [t for t in row if t is not None]
    first = present[0]._type
    if not all(t._type.plain and t._type.device == first.device for t in present) or first.device.type != "cuda":
        return None
    if (
        first.numpy is None
        or first.numpy.name not in _FLOATS
        or any((t._type.numpy.kind == "c") != (first.numpy.kind == "c") for t in present)
    ):
        return None
    if any(t._type.numpy.name not in _FLOATS for t in present) or not alike([t._array for t in present]):
        return None
    return tuple([None if t is None else t._type for t in row])


_FLOATS = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")


def _on_device(value: Any) -> bool:
    return isinstance(value, Tensor) and value._type.device.type == "cuda"


def _launch(formula: Formula, rows: list[Row], varying: dict[str, list], numbers: dict[str, Any]) -> None:
    """One launch for rows of one kind."""
    given = {**numbers, **{name: values[0] for name, values in varying.items()}}
    here = tuple([name for name, value in given.items() if _on_device(value)])
    options = tuple([(name, v) if v is None or v is True or v is False else (name, 0) for name, v in given.items()])
    dtypes = tuple([None if t is None else _real(t._type.numpy.name) for t in rows[0]])
    types = tuple([given[name]._type.numpy.name for name in here])
    kernel = _kernel(formula, dtypes, options, here, types)
    columns = [[_flat(row[i]) for row in rows] for i in kernel.inputs]
    for name in here:
        own = varying.get(name) or [given[name]] * len(rows)
        columns.append([t._array for t in own])
    columns += [[_flat(row[i]) for row in rows] for i in kernel.outputs]
    values = {
        name: value.item() if isinstance(value, Tensor) else value for name, value in given.items() if name not in here
    }
    kernel.run(columns, [float(number) for number in kernel.numbers(**values)])
    for i in kernel.outputs:
        for row in rows:
            row[i]._bump_version()


def _real(dtype: str) -> str:
    return {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)


def _flat(tensor: Tensor) -> Any:
    """A tensor's memory; complex numbers as twice as many real ones, which is how optimisers see them."""
    from flowtorch.array.cuda import element_strides, strided

    array = tensor._array
    if array.dtype.kind != "c":
        return array
    real = strided(array, (1,), (1,)).view(_real(array.dtype.name))
    return strided(real, (*array.shape, 2), (*[2 * step for step in element_strides(array)], 1))


class _Kernel:
    """A traced formula as a multi-tensor kernel."""

    def __init__(self, formula: Formula, dtypes: tuple, options: tuple, here: tuple[str, ...], types: tuple[str, ...]):
        from flowtorch.codegen.lowering import lower
        from flowtorch.codegen.multi_tensor import MultiTensorKernel

        arrays = [None if dtype is None else Term("input", index=i) for i, dtype in enumerate(dtypes)]
        symbols: dict[str, Any] = {
            name: Number(name) if value == 0 and value is not False else value for name, value in options
        }
        symbols |= {name: Term("input", index=len(dtypes) + k) for k, name in enumerate(here)}
        results = formula.function(*arrays, **symbols)
        written = [i for i in range(len(dtypes)) if i != 1]  # all but the gradient
        terms = {
            i: term for i, term in zip(written, results, strict=True) if dtypes[i] is not None and term is not arrays[i]
        }
        constants: dict[str, int] = {}
        trees = native.trees(terms.values(), constants)
        self.inputs = [i for i, dtype in enumerate(dtypes) if dtype is not None]
        self.outputs = list(terms)
        known = {f"a{i}": dtypes[i] for i in self.inputs}
        known |= {f"a{len(dtypes) + k}": dtype for k, dtype in enumerate(types)}
        number = "float64" if "float64" in dtypes else "float32"
        program = lower(trees, known, {f"c{k}": number for k in range(len(constants))},
                        [dtypes[i] for i in self.outputs])  # fmt: skip
        names = [name for name, _ in options if name not in here]
        self.numbers = eval(f"lambda {', '.join(names)}: ({''.join(f'{text}, ' for text in constants)})")
        self.run = MultiTensorKernel(program, formula.__name__, [False] * len(self.inputs) + [True] * len(here))


_kernel = functools.cache(_Kernel)

"""Programs and array operations as Triton kernels, called with device arrays: planning, outputs, launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowtorch.array.cuda import address, array_module, element_strides, empty, kernel_module, parts, strided, to_device

from . import planner
from .complex_parts import has_complex, split
from .dtypes import CATEGORY
from .lowering import Program
from .numpy_renderer import numpy_dtype
from .triton_renderer import render


class TritonKernel:
    """A program as a Triton kernel, called with arrays and numbers like the numpy kernel."""

    def __init__(self, program: Program, name: str = "pointwise"):
        lines, results = render(program)
        self.pointwise = kernel_module("pointwise")
        self.launch = kernel_module("launch").launch
        self.expression = self.pointwise.Expression(
            name,
            tuple(value.type for value in program.inputs),
            tuple(value.type for value in program.parameters),
            tuple(value.type for value in program.outputs),
            lines,
            results,
        )
        self.count = len(program.inputs)
        self.dtypes = tuple(map(numpy_dtype, self.expression.outputs))
        self.plans: dict[tuple, tuple] = {}

    def __call__(self, *values: Any, out: Any = None, elements: int | None = None) -> Any:
        """Compute new arrays, or into `out`, an array of the broadcast shape."""
        arrays = values[: self.count]
        given = () if out is None else out if isinstance(out, tuple) else (out,)
        if array_module() is not np:  # numbers, and 0-d tensors of the host
            arrays = tuple([to_device(a) if type(a) is np.ndarray else a for a in arrays])
        fixed = (*arrays, *given)
        addresses = [address(array) for array in fixed]
        aligned = not any(at & 15 for at in addresses)
        key = (aligned, elements, *[part for array in fixed for part in (array.shape, array.strides)])
        plan = self.plans.get(key)
        if plan is None:
            if len(self.plans) > 4096:  # ever new shapes must not grow it for ever
                self.plans.clear()
            plan = self.plans[key] = self.plan(arrays, given[0] if given else None, aligned, elements)
        shape, strides, call = plan
        outputs = [empty(shape, dtype, strides) for dtype in self.dtypes] if out is None else list(given)
        if call is not None:
            places = [address(output) for output in outputs]
            addresses = addresses[: self.count] + places
            self.launch(call.kernel, call.grid, (*addresses, *values[self.count :], *call.integers))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def plan(self, arrays: Sequence[Any], out: Any, aligned: bool, elements: int | None) -> tuple:
        """The outputs' shape and strides, and the prepared call (None where there is nothing to do)."""
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        if out is not None:
            shape = np.broadcast_shapes(shape, out.shape)
            if shape != out.shape:
                raise ValueError(f"operands of shape {shape} do not fit into an output of shape {out.shape}")
        inputs = tuple(planner.broadcast_strides(a.shape, element_strides(a), shape) for a in arrays)
        place = planner.output_strides(shape, inputs) if out is None else element_strides(out)
        if 0 in shape:
            return shape, place, None
        layout = planner.plan(shape, inputs + (place,) * len(self.dtypes), len(self.dtypes))
        wide = layout.index_bits == 64
        call = self.pointwise.prepare(
            self.expression, layout.kind, layout.shape, layout.strides, wide, aligned, elements
        )
        return shape, place, call


class ComplexKernel:
    """A program on complex arrays as a Triton kernel on their parts."""

    def __init__(self, program: Program, name: str = "pointwise"):
        self.inner = TritonKernel(split(program), name)
        self.complex_inputs = tuple(CATEGORY[value.type] == "c" for value in program.inputs)
        self.complex_scalars = tuple(CATEGORY[value.type] == "c" for value in program.parameters)
        (output,) = program.outputs
        self.result = numpy_dtype(output.type)

    def __call__(self, *values: Any, out: Any = None) -> Any:
        count = len(self.complex_inputs)
        arrays: list[Any] = []
        for array, split_up in zip(values[:count], self.complex_inputs, strict=True):
            arrays += parts(array) if split_up else (array,)
        numbers: list[Any] = []
        for value, split_up in zip(values[count:], self.complex_scalars, strict=True):
            numbers += (complex(value).real, complex(value).imag) if split_up else (value,)
        if self.result.kind != "c":
            return self.inner(*arrays, *numbers, out=out)
        if out is None:
            shape = np.broadcast_shapes(*(array.shape for array in values[:count]))
            strides = tuple(planner.broadcast_strides(a.shape, element_strides(a), shape) for a in values[:count])
            out = empty(shape, self.result, planner.output_strides(shape, strides))
        if out.size:
            self.inner(*arrays, *numbers, out=parts(out))
        return out


def kernel_of(program: Program, name: str = "pointwise") -> TritonKernel | ComplexKernel:
    """The program as a callable kernel."""
    return ComplexKernel(program, name) if has_complex(program) else TritonKernel(program, name)


def reduce(rule: str, input: Any, dims: tuple[int, ...], dtype: str, elements: int | None = None) -> Any:
    """Reduce `dims` by "sum", "mean", "prod", "amax", "amin", "any" or "all" to an array of `dtype`."""
    return fold(rule, (input,), dims, dtype, elements=elements)


def fold(
    rule: str,
    inputs: Sequence[Any],
    dims: tuple[int, ...],
    dtype: str,
    before: Any = None,
    after: Any = None,
    scalars: tuple[Sequence[Any], Sequence[Any]] = ((), ()),
    elements: int | None = None,
) -> Any:
    """Reduce an expression of `inputs`, broadcast to each other, and map the result: one pass over the inputs.

    before: the expression of what is combined; None combines the only input itself.
    after:  the expression of the result that is stored.
    scalars: the numbers that `before` and `after` take.
    """
    full = np.broadcast_shapes(*(array.shape for array in inputs))
    output = empty(tuple(size for dim, size in enumerate(full) if dim not in dims), numpy_dtype(dtype))
    if not output.size:
        return output
    strides = tuple(planner.broadcast_strides(a.shape, element_strides(a), full) for a in inputs)
    layout = planner.plan_reduction(full, strides, dims, element_strides(output))
    aligned = not any(address(array) & 15 for array in (*inputs, output))
    calls, workspace = kernel_module("reduction").prepare(
        rule,
        tuple(array.dtype.name for array in inputs),
        dtype,
        layout.kept,
        layout.reduced,
        layout.index_bits == 64,
        aligned,
        elements,
        before,
        after,
    )
    launch = kernel_module("launch").launch
    if workspace is None:
        (call,) = calls
        numbers = (*scalars[0], *scalars[1])
        launch(call.kernel, call.grid, (*map(address, (*inputs, output)), *numbers, *call.integers))
        return output
    first, second = calls
    partial = empty(workspace[:1], np.dtype(workspace[1]))
    launch(first.kernel, first.grid, (*map(address, (*inputs, partial)), *scalars[0], *first.integers))
    launch(second.kernel, second.grid, (address(partial), address(output), *scalars[1], *second.integers))
    return output


def softmax(input: Any, dim: int, dtype: str, log: bool = False, elements: int | None = None) -> Any:
    """softmax or its logarithm along `dim`, to an array of `dtype`."""
    output = empty(input.shape, numpy_dtype(dtype), planner.output_strides(input.shape, (element_strides(input),)))
    _softmax(log, (input, output), dim, elements)
    return output


def softmax_backward(
    grad: Any, output: Any, dim: int, dtype: str, log: bool = False, elements: int | None = None
) -> Any:
    """The gradient of softmax (or its logarithm) from the incoming gradient and the output."""
    result = empty(output.shape, numpy_dtype(dtype), planner.output_strides(output.shape, (element_strides(output),)))
    _softmax(log, (grad, output, result), dim, elements)
    return result


def _softmax(log: bool, arrays: tuple, dim: int, elements: int | None) -> None:
    shape, strides = arrays[0].shape, tuple(map(element_strides, arrays))
    if 0 in shape:
        return
    along = (shape[dim], *(own[dim] for own in strides)) if shape else (1,) * (1 + len(arrays))
    others = [d for d in range(len(shape)) if d != dim]
    layout = planner.plan(tuple(shape[d] for d in others), tuple(tuple(own[d] for d in others) for own in strides))
    rows = tuple(zip(layout.shape, *layout.strides, strict=True))
    aligned = not any(address(array) & 15 for array in arrays)
    names = tuple(array.dtype.name for array in arrays)
    call = kernel_module("softmax").prepare(log, names, rows, along, _wide(arrays), aligned, elements)
    _launch(call, *arrays)


def matmul(
    left: Any,
    right: Any,
    dtype: str | None = None,
    tile: tuple[int, int, int] | None = None,
    addend: Any = None,
    alpha: Any = 1,
    beta: Any = 1,
    activation: str = "",
    tf32: bool = False,
) -> Any:
    """alpha * (left @ right) + beta * addend over the last two dimensions; everything else is broadcast."""
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    rows, inner, cols = left.shape[-2], left.shape[-1], right.shape[-1]
    name = dtype or left.dtype.name
    output = empty((*batch, rows, cols), numpy_dtype(name))
    if not output.size:
        return output
    arrays: tuple = (left, right, output)
    if addend is not None:
        steps = planner.broadcast_strides(addend.shape, element_strides(addend), output.shape)
        arrays = (*arrays, strided(addend, output.shape, steps))
    strides = tuple(map(element_strides, arrays))
    outer = tuple(
        planner.broadcast_strides(array.shape[:-2], own[:-2], batch) for array, own in zip(arrays, strides, strict=True)
    )
    layout = planner.plan(batch, (*outer[:2], *outer[3:], outer[2]))  # the output last
    planned = (*layout.strides[:2], layout.strides[-1], *layout.strides[2:-1])
    dims = tuple(zip(layout.shape, *planned, strict=True)) if batch else ()
    aligned = not any(address(array) & 15 for array in arrays)
    names = tuple(array.dtype.name for array in arrays)
    sides = tuple(own[-2:] for own in strides)
    scaled = alpha != 1 or (addend is not None and beta != 1)
    call = kernel_module("matmul").prepare(
        names, (rows, cols, inner), sides, dims, _wide(arrays), aligned, tile, scaled, activation, tf32
    )
    numbers = (alpha, beta) if scaled else ()
    kernel_module("launch").launch(call.kernel, call.grid, (*map(address, arrays), *numbers, *call.integers))
    return output


def _wide(arrays: Sequence[Any]) -> bool:
    """Whether an offset into one of the arrays does not fit into 32 bits."""
    return any(
        sum(abs(step) * (size - 1) for size, step in zip(array.shape, element_strides(array), strict=True)) >= 2**31
        for array in arrays
    )


def _launch(call: Any, *arrays: Any) -> None:
    kernel_module("launch").launch(call.kernel, call.grid, (*map(address, arrays), *call.integers))

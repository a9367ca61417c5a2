"""New tensors with regular values: ranges, identity matrices, given strides; and whether two tensors are equal."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import devices, dtypes
from flowtorch.array.place import host_strided
from flowtorch.ops import dispatch
from flowtorch.ops.arguments import need_number
from flowtorch.ops.factory import _check_options, finish, new_array
from flowtorch.ops.families import convert_array
from flowtorch.ops.op import composite
from flowtorch.ops.view import contiguous_strides, sizes
from flowtorch.tensor import Tensor, default_type, wrap


def _numbers(*values: Any) -> list:
    for v in values:
        need_number("linspace", "start", 1, v)
        if isinstance(v, Tensor) and v.dim():
            raise RuntimeError(f"only supports 0-dimensional start and end tensors, but got tensor with {v.dim()} "
                               "dimension(s).")
    return [v.item() if isinstance(v, Tensor) else v for v in values]


def _range_dtype(start: Any, end: Any, dtype: Any, out: Any) -> Any:
    if dtype is not None:
        return dtype
    if out is not None:
        return out.dtype
    complex_ = isinstance(start, complex) or isinstance(end, complex)
    return dtypes.default_complex() if complex_ else dtypes.get_default_dtype()


def _wrapped(x: int, d: Any, steps: int) -> int:
    """An end of a range of unsigned integers: negative ones wrap, larger ones than there are do not."""
    if d.rank == 0 and steps > 1:
        raise NotImplementedError("\"linspace_cpu\" not implemented for 'Bool'")
    if d.is_signed or d.rank == 0:
        return x
    bits = 8 * d.itemsize
    if x >= 1 << bits:
        raise RuntimeError(f"value cannot be converted to type {d.name} without overflow")
    return x % (1 << bits)


def _linear(start: Any, end: Any, steps: int, d: Any) -> np.ndarray:
    """``steps`` values from both ends towards the middle, as PyTorch computes them: exact at both ends."""
    if d.is_complex:
        work: Any = np.complex128 if d is dtypes.complex128 else np.complex64
    elif d.rank < 2:
        work = np.float32 if d.itemsize < 8 else np.float64
        start, end = (_wrapped(int(x), d, steps) for x in (start, end))
    else:
        work = np.float64 if d is dtypes.float64 else np.float32
    if steps == 1:
        return np.array([start], work)
    start, end = work(start), work(end)
    step = (end - start) / work(steps - 1)
    if d in dtypes.LOW_PRECISION:                     # the step itself has the low precision
        step = step.astype(d.numpy).astype(work)
    index = np.arange(steps)
    half = steps // 2
    return np.where(index < half, start + step * index.astype(work), end - step * (steps - 1 - index).astype(work))


def _spaced(name: str, values: Any, out: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    t = default_type(dtype, device)
    array = convert_array(values, dtype)
    if out is not None:
        if dtype is dtypes.bool_ or (name == "range" and dtype.is_complex):
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{dtype.label}'")
        return dispatch.write_out(dispatch.OutRule(name), out, wrap(array, t))
    return finish(array, t, requires_grad)


def _steps(name: str, start: Any, end: Any, steps: Any) -> int:
    if steps is None:
        raise TypeError(f"{name}() missing 1 required positional arguments: \"steps\"")
    if isinstance(steps, bool) or not hasattr(steps, "__index__"):
        given = ", ".join(type(x).__name__ for x in (start, end, steps))
        raise TypeError(f"{name}() received an invalid combination of arguments - got ({given}): argument 'steps' "
                        f"(position 3) must be int, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    return steps.__index__()


@composite
def linspace(
    start, end, steps=None, *, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """``steps`` evenly spaced values from ``start`` to ``end``, both included.

    >>> torch.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    dtype = _check_options("linspace", dtype, layout)
    start, end = _numbers(start, end)
    d = _range_dtype(start, end, dtype, out)
    steps = _steps("linspace", start, end, steps)
    values = _linear(start, end, steps, d) if steps else np.empty(0)
    return _spaced("linspace", values, out, d, device, requires_grad)


@composite
def logspace(start, end, steps=None, base=10.0, *, out=None, dtype=None, layout=None, device=None, pin_memory=False,
             requires_grad=False):
    """``base`` raised to ``steps`` evenly spaced exponents from ``start`` to ``end``."""
    dtype = _check_options("logspace", dtype, layout)
    start, end = _numbers(start, end)
    d = _range_dtype(start, end, dtype, out)
    steps = _steps("logspace", start, end, steps)
    if not steps:
        return _spaced("logspace", np.empty(0), out, d, device, requires_grad)
    exponents = _linear(start, end, steps, d)
    with np.errstate(all="ignore"):
        values = np.power(exponents.dtype.type(base), exponents)
    return _spaced("logspace", values, out, d, device, requires_grad)


@composite(name="range")
def range_(start=0, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """The values from ``start`` to ``end`` inclusive (deprecated: ``arange`` leaves the end out)."""
    if end is None:
        start, end = 0, start
    start, end, step = _numbers(start, end, step)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    d = dtype or (out.dtype if out is not None else dtypes.get_default_dtype())
    count = int((end - start) / step) + 1
    return _spaced("range", start + np.arange(count) * step, out, d, device, requires_grad)


@composite
def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """The identity matrix of ``n`` rows and ``m`` (default ``n``) columns.

    >>> torch.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    dtype = _check_options("eye", dtype, layout)
    m = n if m is None else m
    for value, what in ((n, "n"), (m, "m")):
        if value < 0:
            raise RuntimeError(f"{what} must be greater or equal to 0, got {value}")
    t = default_type(dtype, device) if out is None or dtype is not None else out._type
    array = np.eye(n, m, dtype=t.numpy if t.numpy.kind in "biufc" else np.float32).astype(t.numpy)
    if t.device.type == "meta":
        array = new_array((n, m), t.numpy, t.device)
    if out is not None:
        return dispatch.write_out(dispatch.OutRule("eye"), out, wrap(array, t))
    return finish(array, t, requires_grad)


@composite
def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """An uninitialised tensor with the given sizes and strides (in elements)."""
    t = default_type(dtype, device)
    shape, steps = sizes((size,), "empty_strided"), sizes((stride,), "empty_strided")
    if len(shape) != len(steps):
        raise RuntimeError(f"mismatch in length of strides and shape. Got {len(shape)} and {len(steps)}")
    if any(n < 0 for n in shape):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
    if any(s < 0 for s in steps):
        raise RuntimeError("empty_strided: strides must not be negative")
    count = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
    if t.device.type == "meta":
        memory = np.zeros(1, t.numpy)
        array = host_strided(memory, shape, tuple(s * memory.itemsize for s in steps), writeable=False)
    else:
        memory = np.empty(count, t.numpy)
        array = (
            np.ndarray(shape, t.numpy, memory, 0, tuple(s * memory.itemsize for s in steps))
            if count
            else np.empty(shape, t.numpy)
        )
    return finish(array, t, requires_grad)


@composite
def empty_permuted(
    size, physical_layout, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """An uninitialised tensor whose dimensions lie in memory in the order ``physical_layout`` (outermost first)."""
    shape = sizes((size,), "empty_permuted")
    if len(physical_layout) == len(shape):
        for i, d in enumerate(physical_layout):
            if not 0 <= d < len(shape):
                raise RuntimeError("empty_permuted(): Dimension out of range (expected to be between 0 and "
                                   f"{len(shape) - 1}, but got {d} at index {i}; negative ones are not taken)")
    if sorted(physical_layout) != list(range(len(shape))):
        raise RuntimeError("Number of dimensions in size does not match the length of the physical_layout; i.e. "
                           f"len(size) = {len(shape)} is not equal to len(physical_layout) = {len(physical_layout)}"
                           if len(shape) != len(physical_layout) else "Duplicate dim not allowed")
    strides = [0] * len(shape)
    for d, s in zip(physical_layout, contiguous_strides(tuple(shape[d] for d in physical_layout), 1), strict=True):
        strides[d] = s
    return empty_strided(shape, strides, dtype=dtype, device=device, requires_grad=requires_grad)


@composite(method=True)
def equal(input, other):
    """Whether both tensors have the same shape and the same elements, as a Python bool. nan equals nothing.

    >>> torch.equal(torch.tensor([1, 2]), torch.tensor([1, 2]))
    True
    """
    if not isinstance(other, Tensor):
        raise TypeError(f"equal(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
    if input.device != other.device:
        raise RuntimeError(f"Cannot compare two tensors on different devices. Got: {input.device} and {other.device}")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"Expected object of scalar type {input.dtype.label} but got scalar type "
                           f"{other.dtype.label} for argument 'other'")
    if input.is_meta:
        raise NotImplementedError("aten::equal: attempted to run this operator with Meta tensors, but its result "
                                  "depends on their elements, which they do not have")
    return input.shape == other.shape and bool((input == other).all().item())


@composite
def scalar_tensor(s, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """A 0-d tensor holding the number ``s``, of the default dtype unless named."""
    need_number("scalar_tensor", "s", 1, s)
    t = default_type(dtype, device)
    return finish(t.scalar(s).astype(t.numpy), t, requires_grad)


@composite
def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """``obj`` (tensor, numpy array, buffer, numbers) as a tensor; ``copy``: True, False, or None for only if needed."""
    from flowtorch.ops.factory import from_numpy, tensor

    if isinstance(obj, Tensor):
        target = obj.to(device=obj.device if device is None else device, dtype=obj.dtype if dtype is None else dtype)   # type: ignore[attr-defined]
        if copy and target is obj:
            target = obj.clone()                                            # type: ignore[attr-defined]
        if copy is False and target is not obj:
            raise ValueError("can't alias tensor with dtype or device other than its own when copy=False")
    elif isinstance(obj, np.ndarray):
        target = from_numpy(obj)
        if copy is False and (
            (dtype is not None and dtype is not target.dtype) or devices.resolve(device) != target.device
        ):
            raise ValueError("can't alias array with dtype or device other than its own when copy=False")
        target = target.to(device=devices.resolve(device), dtype=target.dtype if dtype is None else dtype)
        if copy:
            target = target.clone()
    elif isinstance(obj, (bytes, bytearray, memoryview)):
        from flowtorch.ops.factory import frombuffer

        target = frombuffer(obj, dtype=dtypes.get_default_dtype() if dtype is None else dtype)
        if copy:
            target = target.clone()
    else:
        if copy is False:
            raise ValueError("can't alias arbitrary sequence")
        target = tensor(obj, dtype=dtype, device=device)
    if requires_grad and not target.requires_grad:
        target = target.detach().requires_grad_()
    return target


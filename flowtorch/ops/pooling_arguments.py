"""The arguments of the pooling functions: sizes per dimension, and PyTorch's refusals."""
from __future__ import annotations

from typing import Any

from flowtorch.ops.arguments import int_tuple
from flowtorch.tensor import Tensor

_NUMBERS = {2: "two", 3: "three"}


def pooled_size(n: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Number of windows along one dimension; the last must start inside the input or its left padding."""
    span = n + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)
    out = span // stride + 1
    if ceil_mode and (out - 1) * stride >= n + padding:
        out -= 1
    return out


def per_dimension(value: Any, n: int, name: str, what: str) -> tuple:
    """``value`` as ``n`` ints."""
    if isinstance(value, (tuple, list)):
        if len(value) not in (1, n):
            if n > 1:
                raise RuntimeError(f"{name}: {what} must either be a single int, or a tuple of {_NUMBERS[n]} ints")
            optional = "None, an int, list of ints," if what == "stride" else "an int, list of ints"
            raise RuntimeError(f"{name}() {what} must be {optional} or tuple of ints of size 1 but got size "
                               f"{len(value)}")
        values = tuple(int(v) for v in value)
        return values * n if len(values) == 1 else values
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}(): argument '{what}' must be tuple of ints, but found element of type "
                        f"{type(value).__name__}")
    return (value.__index__(),) * n


def batched(name: str, input: Any, n: int) -> tuple:
    """(``input`` with a batch dimension, whether one had to be added)."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(
            f"{name}: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:"
            f"{list(input.shape)}" if n == 1 else
            f"{name}: non-empty {n + 1}D or {n + 2}D (batch mode) tensor expected for input")
    return (input.unsqueeze(0), True) if input.dim() == n + 1 else (input, False)


def geometry(name: str, input: Any, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
             ceil_mode: bool) -> tuple:
    """(kernel, stride, padding, dilation) per dimension of a pooling of (N, C, *S), checked."""
    kernel = per_dimension(kernel_size, n, name, "kernel_size")
    empty = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    stride = kernel if empty else per_dimension(stride, n, name, "stride")
    padding, dilation = per_dimension(padding, n, name, "padding"), per_dimension(dilation, n, name, "dilation")
    if name == "max_pool1d":
        _check_line(name, input, kernel[0], stride[0], padding[0], dilation[0], ceil_mode)
    else:
        _check_windows(name, input, n, kernel, stride, padding, dilation, ceil_mode)
    return kernel, stride, padding, dilation


def _check_line(name: str, input: Any, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> None:
    if 0 in input.shape[1:]:
        raise RuntimeError(f"{name}: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, "
                           f"but got:{list(input.shape)}")
    for what, value in (("kernel_size", kernel), ("stride", stride)):
        if value <= 0:
            raise RuntimeError(f"{name}() {what} must be greater than zero, but got {value}")
    if padding < 0:
        raise RuntimeError(f"{name}() padding must be non-negative, but got {padding}")
    if padding > kernel // 2:
        raise RuntimeError(f"{name}() padding should be at most half of kernel size, but got padding={padding} and "
                           f"kernel_size={kernel}")
    if dilation <= 0:
        raise RuntimeError(f"{name}() dilation must be greater than zero, but got {dilation}")
    out = pooled_size(input.shape[-1], kernel, stride, padding, dilation, ceil_mode)
    if out <= 0:
        raise RuntimeError(f"{name}() Invalid computed output size: {out}")


def _check_windows(name: str, input: Any, n: int, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple,
                   ceil_mode: bool) -> None:
    if any(s <= 0 for s in stride):
        raise RuntimeError("stride should not be zero" if 0 in stride else
                           f"stride should be greater than zero, but got {_named(stride, 'd')}")
    if any(k <= 0 for k in kernel):
        raise RuntimeError(f"kernel size should be greater than zero, but got {_named(kernel, 'k')}")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"dilation should be greater than zero, but got {_named(dilation, 'dilation')}")
    if any(p < 0 for p in padding):
        raise RuntimeError(f"pad must be non-negative, but got pad: {min(padding)}")
    for p, k, d in zip(padding, kernel, dilation, strict=True):
        if p > ((k - 1) * d + 1) // 2:
            raise RuntimeError("pad should be at most half of effective kernel size, but got "
                               f"pad={p}, kernel_size={k} and dilation={d}")
    if 0 in input.shape[1:]:
        raise RuntimeError(
            f"Expected {n + 1}D or {n + 2}D (batch mode) tensor with optional 0 dim batch size for input, but got:"
            f"{list(input.shape)}" if n < 3 else
            f"{name}(): Expected input's non-batch dimensions to have positive length, but input has a shape of "
            f"{list(input.shape)} and non-batch dimension {list(input.shape).index(0, 1)} has length zero!")
    out = tuple(
        pooled_size(*a, ceil_mode) for a in zip(input.shape[2:], kernel, stride, padding, dilation, strict=True))
    if any(o < 1 for o in out):
        raise RuntimeError(f"Given input size: ({'x'.join(map(str, input.shape[1:]))}). Calculated output size: "
                           f"({'x'.join(map(str, (input.shape[1], *out)))}). Output size is too small")


def _named(values: tuple, letter: str) -> str:
    return " ".join(f"{letter}{axis}: {v}" for axis, v in zip("THW"[3 - len(values):], values, strict=True))


# ---------------------------------------------------------------- adaptive pooling

def adapted(name: str, input: Any, output_size: Any, n: int) -> tuple:
    """The output size of an adaptive pooling, None replaced by the input's."""
    if n == 1 and not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    shape = list(input.size())
    if n == 1:
        size = int_tuple(name, "output_size", 2, output_size)
        if len(size) != 1:
            raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(size)})")
        if len(shape) not in (2, 3):
            raise RuntimeError(f"Expected 2 to 3 dimensions, but got {len(shape)}-dimensional tensor for argument #1 "
                               f"'self' (while checking arguments for {name})")
    else:
        size = _with_defaults(name, shape, output_size, n)
    average = "avg" in name
    if any(s < 0 for s in size):
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received "
            f"{{{', '.join(map(str, size))}}}" if average else
            f"Trying to create tensor with negative dimension {min(size)}: {[*shape[:-n], *size]}")
    first = len(shape) - n - (0 if average else 1)
    for d in range(max(first, 0), len(shape)):
        if shape[d] == 0 and (not average or size[d - first] == 0):
            raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input "
                               f"has sizes {shape} with dimension {d} being empty")
    return size


def _with_defaults(name: str, shape: list, output_size: Any, n: int) -> tuple:
    if not isinstance(output_size, int):
        if len(shape) <= len(output_size):
            raise ValueError(f"Input dimension should be at least {len(output_size) + 1}")
        defaults = shape[len(shape) - len(output_size):]
        output_size = [d if o is None else o for o, d in zip(output_size, defaults, strict=True)]
    size = int_tuple(name, "output_size", 2, output_size)
    if isinstance(output_size, int):
        size *= n
    if len(size) != n:
        raise RuntimeError(f"{name}: output_size must be {n}" if "avg" in name else
                           f"{name}(): internal error: output_size.size() must be {n}")
    if len(shape) not in (n + 1, n + 2):
        raise RuntimeError(f"{name}(): Expected {n + 1}D or {n + 2}D tensor, but got: {shape}")
    return size

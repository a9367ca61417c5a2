"""The quantised tensor: an integer tensor with the scale and the zero point that its numbers are read by."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from flowtorch import dtypes
from flowtorch.array.tensortype import TensorType
from flowtorch.autograd.mode import grad_mode
from flowtorch.sparse.tensor import LayoutTensor, hollow
from flowtorch.tensor import Tensor, shared_counter

_new: Any = object.__new__

# The integers that each quantised type is made of.
STORED = {dtypes.qint8: dtypes.int8, dtypes.quint8: dtypes.uint8, dtypes.qint32: dtypes.int32}


class Quantizer(NamedTuple):
    """How integers are read: numbers for the whole tensor, or one-dimensional tensors along ``axis``."""

    scale: Any
    zero_point: Any
    axis: int | None = None

    @property
    def scheme(self) -> dtypes.qscheme:
        """The name of the kind of scheme."""
        return dtypes.QSCHEMES["per_tensor_affine" if self.axis is None else "per_channel_affine"]

    def read(self, numbers: Tensor) -> Any:
        """The float32 values that integers stand for."""
        scale, zero_point = self.scale, self.zero_point
        if self.axis is not None:
            shape = [1] * numbers.dim()
            shape[self.axis] = -1
            scale = scale.to(dtypes.float32).reshape(shape)
            zero_point = zero_point.reshape(shape)
        wide = numbers.to(dtypes.int64) - zero_point  # type: ignore[attr-defined]
        return wide.to(dtypes.float32) * scale


class QuantizedTensor(LayoutTensor):
    """Integers read through a Quantizer."""

    __slots__ = ("_numbers", "_quantizer")

    backend, backend_name = "Quantized", "quantized"
    is_quantized = True
    layout = property(lambda self: dtypes.strided)  # type: ignore[assignment]

    _numbers: Any
    _quantizer: Quantizer

    def __flowtorch_interpret__(self, op: Any, values: list, out: Any, inplace: bool = False) -> Any:
        from flowtorch.quantized.handlers import run

        return run(op, values, out, inplace)

    def __flowtorch_detach__(self) -> Any:
        t = make(self._numbers, self._quantizer, self.dtype)
        t._counter = shared_counter(self)
        return t

    def __flowtorch_like__(self, maker: Any, args: tuple, options: dict) -> Any:
        if maker.__name__ != "empty_like" or options.get("dtype"):
            raise _unsupported(maker.__name__)
        return make(maker(self._numbers), self._quantizer, self.dtype)

    def __getitem__(self, index: Any) -> Any:
        from flowtorch.quantized.handlers import selected

        return selected(self, index)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """This tensor where a conversion changes nothing; a quantised tensor becomes another type by dequantize()."""
        found = self._numbers.to(*[a for a in args if a is not self.dtype], **kwargs)
        if found.dtype is not self._numbers.dtype:
            raise RuntimeError(
                "Creation of quantized tensor requires quantized dtype like torch.quint8: use dequantize()"
            )
        return self if found is self._numbers else make(found, self._quantizer, self.dtype)

    def fill_(self, value: Any) -> Any:
        from flowtorch.quantized.functions import quantized_numbers

        filled = self.dequantize().fill_(value)  # type: ignore[attr-defined]
        self._numbers.copy_(quantized_numbers(filled, self._quantizer, self.dtype))
        return self

    def copy_(self, src: Any, non_blocking: bool = False) -> Any:
        """Quantise the values of ``src`` by this tensor's scheme, into it."""
        from flowtorch.quantized.functions import quantized_numbers

        if src.shape != self.shape:
            raise RuntimeError(f"Quantized copy only works where the sizes are the same, got {list(src.shape)} for "
                               f"{list(self.shape)}")  # fmt: skip
        values = src.dequantize()
        self._numbers.copy_(quantized_numbers(values, self._quantizer, self.dtype))
        self._bump_version()
        return self

    def stride(self, dim: int | None = None) -> Any:
        return self._numbers.stride() if dim is None else self._numbers.stride(dim)

    def storage_offset(self) -> int:
        return self._numbers.storage_offset()

    def is_contiguous(self, memory_format: Any = dtypes.contiguous_format) -> bool:
        return self._numbers.is_contiguous(memory_format)

    def data_ptr(self) -> int:
        return self._numbers.data_ptr()

    def item(self) -> Any:
        return self.dequantize().item()  # type: ignore[attr-defined]

    def tolist(self) -> Any:
        raise RuntimeError("load_scalar: invalid type: use Tensor.dequantize() or Tensor.int_repr()")

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError(f"Got unsupported ScalarType {self.dtype.label}: use Tensor.dequantize() or Tensor.int_repr()")

    def __deepcopy__(self, memo: dict) -> Any:
        return memo.setdefault(id(self), make(self._numbers.clone(), self._quantizer, self.dtype))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return make, (self._numbers, self._quantizer, self.dtype)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        from flowtorch.printing import format_array, with_suffixes

        values, q = self.dequantize(), self._quantizer  # type: ignore[attr-defined]
        shown = format_array(values._array, len("tensor(")) if values.numel() else "[]"
        fields = [f"size={tuple(self.shape)}", f"dtype={self.dtype}", f"quantization_scheme={q.scheme}"]
        fields += [f"scale={q.scale}", f"zero_point={q.zero_point}"]
        if q.axis is not None:
            fields.append(f"axis={q.axis}")
        return with_suffixes("tensor(" + shown, fields, len("tensor("), own_line=False)


def _unsupported(name: str) -> NotImplementedError:
    return NotImplementedError(
        f"Could not run 'aten::{name}' with arguments from the 'QuantizedCPU' backend: '{name}' is not defined for "
        "quantised tensors. Call dequantize() first, or work on int_repr()"
    )


@functools.cache
def _type(dtype: dtypes.dtype, device: Any, inference: bool) -> TensorType:
    """The type of quantised tensors: numpy knows only the integers that they are made of."""
    found = TensorType(STORED[dtype], device, False, inference)
    found.dtype = dtype
    return found


def make(numbers: Tensor, quantizer: Quantizer, dtype: dtypes.dtype) -> QuantizedTensor:
    """A quantised tensor over the memory of an integer tensor."""
    t = _new(QuantizedTensor)
    t._array = hollow(numbers._array.shape, numbers.dtype)
    t._type = _type(dtype, numbers.device, grad_mode.inference)
    t._requires_grad, t._node, t._grad, t._view, t._counter = False, None, None, None, 0
    t._numbers, t._quantizer = numbers, quantizer
    return t

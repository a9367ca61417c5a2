"""TensorType: the interned (dtype, device) pair that one identity check of the fast path compares."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch import devices
from flowtorch.devices import device
from flowtorch.dtypes import LOW_PRECISION, compute_dtype, dtype

_interned: dict[tuple, TensorType] = {}


class TensorType:
    """A dtype on a device, one object per combination.

    ``plain`` is False for tensors that the fast path must leave to ``interpret``: subclasses with
    ``__torch_function__``, batched and dual tensors, and (``inference``) tensors made in inference mode. Plan tables
    hold plain types only, so one failed look-up sends every other kind of tensor down the complete path.
    """

    __slots__ = ("compute", "device", "dtype", "fast", "inference", "numpy", "plain", "scalars", "simple", "zero")

    def __init__(self, dtype: dtype, device: device, plain: bool, inference: bool) -> None:
        self.dtype, self.device, self.plain, self.inference = dtype, device, plain, inference
        self.fast = plain and not inference and device.type not in ("cuda", "meta")
        self.simple = self.fast and device.type == "cpu" and dtype not in LOW_PRECISION
        self.numpy = dtype.numpy
        # Low-precision arithmetic computes in float32 and rounds once, so its scalars are not rounded first.
        self.compute = compute_dtype(dtype).numpy
        self.scalars: dict[Any, np.ndarray] = {}      # Python numbers met beside this type, as 0-d arrays
        self.zero = np.zeros((), self.compute)

    def scalar(self, value: Any) -> np.ndarray:
        """``value`` as a read-only 0-d array of this type's compute dtype; integers wrap as in PyTorch."""
        if not value:
            if value.__class__ is int or (value.__class__ is float and math.copysign(1.0, value) > 0):
                return self.zero
            return np.array(value).astype(self.compute)
        if value.__class__ is complex and 0 < self.dtype.rank < 3:
            raise RuntimeError(f"value cannot be converted to type {self.dtype.name} without overflow")
        try:
            array = np.array(value).astype(self.compute)
        except OverflowError:
            raise RuntimeError(f"value cannot be converted to type {self.dtype.name} without overflow") from None
        if array.dtype.kind == "O":
            raise RuntimeError(f"value cannot be converted to type {self.dtype.name} without overflow: {value}")
        if len(self.scalars) > 2048:                  # a schedule of learning rates must not grow it for ever
            self.scalars.clear()
        self.scalars[value] = array
        return array

    def with_dtype(self, dtype: dtype) -> TensorType:
        return tensor_type(dtype, self.device, self.plain, self.inference)

    def __repr__(self) -> str:
        return f"TensorType({self.dtype!r}, {self.device!r}, plain={self.plain})"


def tensor_type(dtype: dtype, device: device = devices.cpu, plain: bool = True, inference: bool = False) -> TensorType:
    """The one TensorType of these properties."""
    key = (dtype, device, plain, inference)
    try:
        return _interned[key]
    except KeyError:
        return _interned.setdefault(key, TensorType(*key))

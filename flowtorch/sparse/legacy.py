"""The old names ``torch.sparse.FloatTensor``, ...: constructors of COO tensors, and classes for ``isinstance``."""
from __future__ import annotations

from typing import Any

from flowtorch import dtypes
from flowtorch.sparse.construct import sparse_coo_tensor
from flowtorch.sparse.tensor import SparseTensor, empty
from flowtorch.tensor import Size, Tensor


class _SparseType(type):
    dtype: Any

    is_cuda = False
    layout = property(lambda cls: dtypes.LAYOUTS["sparse_coo"])

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, SparseTensor) and instance.dtype is cls.dtype

    def __call__(cls, *args: Any) -> Tensor:
        """A COO tensor from (indices, values, size), of the values' dtype, or without entries from sizes."""
        if args and isinstance(args[0], Tensor):
            return sparse_coo_tensor(*args)
        if len(args) == 1 and isinstance(args[0], (Size, tuple, list)):
            args = tuple(args[0])
        return empty(args or (0,), len(args) or 1, cls.dtype)

    def __repr__(cls) -> str:
        return f"<class 'torch.sparse.{cls.__name__}'>"


TYPES: dict[str, Any] = {
    f"{d.label}Tensor": _SparseType(f"{d.label}Tensor", (), {"dtype": d, "__module__": "torch.sparse"})
    for d in (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16, dtypes.uint8, dtypes.int8, dtypes.int16,
              dtypes.int32, dtypes.int64)
}

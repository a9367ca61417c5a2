"""The old type names ``torch.FloatTensor``, ``torch.LongTensor``, ...: constructors, and classes for ``isinstance``."""
from __future__ import annotations

from typing import Any

from flowtorch import dtypes
from flowtorch.ops import factory
from flowtorch.tensor import Size, Tensor


class _LegacyType(type):
    dtype: Any
    is_cuda: bool

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype and (
            instance.device.type == ("cuda" if cls.is_cuda else "cpu"))

    def __call__(cls, *args: Any) -> Tensor:
        """A tensor of this dtype: from data, or uninitialised from sizes."""
        if cls.is_cuda and not _cuda_available():
            raise TypeError(f"type torch.cuda.{cls.__name__} not available. Torch not compiled with CUDA enabled.")
        if cls.is_cuda:
            return TYPES[cls.__name__](*args).cuda()                        # type: ignore[attr-defined]
        if len(args) == 1 and isinstance(args[0], Tensor):
            if args[0].dtype is not cls.dtype:
                raise TypeError(f"expected {cls.__name__} (got {args[0].dtype.label}Tensor)")
            return args[0]
        if len(args) == 1 and not isinstance(args[0], (int, Size)):
            return factory.tensor(args[0], dtype=cls.dtype)
        return factory.empty(*args, dtype=cls.dtype) if args else factory.empty(0, dtype=cls.dtype)

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__name__}'>"


TYPES: dict[str, Any] = {
    f"{d.label}Tensor": _LegacyType(f"{d.label}Tensor", (), {"dtype": d, "is_cuda": False, "__module__": "torch"})
    for d in (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16, dtypes.uint8, dtypes.int8, dtypes.int16,
              dtypes.int32, dtypes.int64, dtypes.bool_)
}
CUDA_TYPES: dict[str, Any] = {
    name: _LegacyType(name, (), {"dtype": t.dtype, "is_cuda": True, "__module__": "torch.cuda"})
    for name, t in TYPES.items()
}


def _cuda_available() -> bool:
    from flowtorch import cuda

    return cuda.is_available()

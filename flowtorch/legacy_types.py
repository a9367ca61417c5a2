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


def _legacy(name: str, d: Any, is_cuda: bool) -> _LegacyType:
    """The class of the old name ``name`` for tensors of dtype ``d``."""
    place = " on a GPU" if is_cuda else ""
    doc = f"""The old constructor of {d!r} tensors{place}: from data, or uninitialised from sizes.

    ``isinstance(x, {name})`` asks for the dtype. New programs say ``torch.tensor(data, dtype={d!r})``.
    """
    module = "torch.cuda" if is_cuda else "torch"
    return _LegacyType(name, (), {"dtype": d, "is_cuda": is_cuda, "__module__": module, "__doc__": doc})


_DTYPES = (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16, dtypes.uint8, dtypes.int8, dtypes.int16,
           dtypes.int32, dtypes.int64, dtypes.bool_)
TYPES: dict[str, Any] = {f"{d.label}Tensor": _legacy(f"{d.label}Tensor", d, False) for d in _DTYPES}
CUDA_TYPES: dict[str, Any] = {name: _legacy(name, t.dtype, True) for name, t in TYPES.items()}
for _name, _type in TYPES.items():
    _type.__doc__ += f"""
    >>> torch.{_name}([1, 0]).dtype
    {_type.dtype!r}
    """


def _cuda_available() -> bool:
    from flowtorch import cuda

    return cuda.is_available()

"""Questions about tensors and dtypes that need no computation: kinds, sizes, result types, names."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.ops import families
from flowtorch.ops.op import composite
from flowtorch.tensor import Tensor


@composite
def is_tensor(obj):
    """Whether ``obj`` is a Tensor.

    >>> torch.is_tensor(torch.ones(1)), torch.is_tensor([1.0])
    (True, False)
    """
    return isinstance(obj, Tensor)


@composite
def numel(input):
    """The number of elements."""
    if not isinstance(input, Tensor):
        raise TypeError(f"numel(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input.numel()


@composite
def is_nonzero(input):
    """Whether the only element is not zero; RuntimeError unless there is one element."""
    if input.numel() != 1:
        raise RuntimeError("Boolean value of Tensor with "
                           f"{'no values' if not input.numel() else 'more than one value'} is "
                           "ambiguous")
    return bool(input.item() != 0)


@composite(namespace="Tensor", method="is_nonzero", name="is_nonzero")
def _is_nonzero_method(self):
    return is_nonzero(self)


@composite(namespace="Tensor", method=True)
def is_same_size(self, other):
    """Whether both have the same shape."""
    return self.shape == other.shape


@composite(name="is_same_size")
def _is_same_size_function(input, other):
    """Whether both have the same shape."""
    return input.shape == other.shape


@composite
def result_type(tensor1, tensor2):
    """The dtype that an operation on both would give."""
    for x in (tensor1, tensor2):
        if not isinstance(x, (Tensor, int, float, complex, np.generic)):
            raise TypeError(f"result_type(): argument must be Tensor or Number, not {type(x).__name__}")
    return families.result_dtype((tensor1, tensor2))


@composite
def typename(obj):
    """The name of an object's type: ``torch.FloatTensor`` for tensors."""
    if isinstance(obj, Tensor):
        return type_name(obj)
    module = getattr(obj, "__module__", "") or ""
    name = getattr(obj, "__qualname__", None) or type(obj).__qualname__
    if not module or module in ("builtins", "__builtin__"):
        module = type(obj).__module__ if not isinstance(obj, type) else ""
    return name if module in ("", "builtins") else f"{module}.{name}"


def type_name(t: Any) -> str:
    """The legacy type name of a tensor."""
    if t.layout is not dtypes.strided:
        return t.type()                                                  # type: ignore[attr-defined]
    place = "cuda." if t.is_cuda else ""
    return f"torch.{place}{t.dtype.label}Tensor"


@composite
def is_inference(input):
    """Whether the tensor was made in inference mode."""
    return input.is_inference()


@composite
def is_conj(input):
    """Whether conjugation is pending on ``input``; it never is."""
    return input.is_conj()


@composite
def is_neg(input):
    """Whether negation is pending on ``input``; it never is."""
    return input.is_neg()


@composite
def is_signed(input):
    """Whether the dtype has negative numbers."""
    return input.is_signed()


@composite(namespace="Tensor", method=True, name="type")
def type_(self, dtype=None, non_blocking=False, **kwargs):
    """The legacy name of the type, or, given ``dtype`` (a dtype or such a name), this tensor converted to it.

    >>> torch.ones(2).type()
    'torch.FloatTensor'
    >>> torch.ones(2).type(torch.int64)
    tensor([1, 1])
    """
    if kwargs.keys() - {"async"}:
        raise TypeError(f"type() got an unexpected keyword argument '{next(iter(kwargs))}'")
    if dtype is None:
        return type_name(self)
    if dtype is Tensor or dtype == "torch.Tensor":       # the class stands for the default type
        dtype = dtypes.get_default_dtype()
    if isinstance(dtype, Tensor):
        raise TypeError("dtype must be a type, str, or dtype object")
    if isinstance(dtype, str):
        label = dtype.rpartition(".")[2].removesuffix("Tensor")
        found = [d for d in dtypes.NUMBERED if d.label == label]
        if not found:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = found[0]
    elif dtypes.as_dtype(dtype) is not dtype or (isinstance(dtype, type) and issubclass(dtype, Tensor)):
        raise ValueError(f"invalid type: '{dtype.__name__}'")
    elif not isinstance(dtype, dtypes.dtype):
        dtype = getattr(dtype, "dtype", dtype)
    return self.to(dtype)


@composite(namespace="Tensor", method=True)
def cpu(self, memory_format=dtypes.preserve_format):
    """A copy in host memory, or this tensor itself if it is there already.

    >>> torch.ones(2).cpu()
    tensor([1., 1.])
    """
    return self.to("cpu", memory_format=memory_format)


@composite(namespace="Tensor", method=True)
def cuda(self, device=None, non_blocking=False, memory_format=dtypes.preserve_format):
    """A copy on a CUDA device."""
    return self.to("cuda" if device is None else device, non_blocking=non_blocking, memory_format=memory_format)


@composite(namespace="Tensor", method=True)
def xpu(self, device=None, non_blocking=False, memory_format=dtypes.preserve_format):
    """A copy on an XPU device, of which flowtorch knows none."""
    raise AssertionError("Torch not compiled with XPU enabled: flowtorch runs on 'cpu' and 'cuda'")


@composite(namespace="Tensor", method=True)
def mtia(self, device=None, non_blocking=False, memory_format=dtypes.preserve_format):
    """A copy on an MTIA device, of which flowtorch knows none."""
    raise AssertionError("Torch not compiled with MTIA enabled: flowtorch runs on 'cpu' and 'cuda'")


@composite(namespace="Tensor", method=True)
def ipu(self, device=None, non_blocking=False, memory_format=dtypes.preserve_format):
    """A copy on an IPU device, of which flowtorch knows none."""
    raise RuntimeError("PyTorch is not linked with support for ipu devices: flowtorch runs on 'cpu' and 'cuda'")


@composite(namespace="Tensor", method=True)
def to_mkldnn(self, dtype=None):
    """A copy in oneDNN's layout, which flowtorch does not have."""
    raise RuntimeError("to_mkldnn: MKL-DNN build is disabled: flowtorch has no oneDNN layout, and its operations take "
                       "the tensor as it is")


@composite
def are_deterministic_algorithms_enabled():
    """Whether only deterministic algorithms may run (all are)."""
    return _deterministic[0]


@composite
def is_deterministic_algorithms_warn_only_enabled():
    """Whether other algorithms would only be warned of."""
    return _deterministic[1]


_deterministic = [False, False]


@composite
def use_deterministic_algorithms(mode, *, warn_only=False):
    """Ask for deterministic algorithms; every algorithm here is one."""
    _deterministic[:] = bool(mode), bool(mode and warn_only)

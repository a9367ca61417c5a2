"""How a tensor is taken apart for pickling and copying, and put together again."""

from __future__ import annotations

import copy
import copyreg
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from operator import index
from typing import Any

import numpy as np

from flowtorch import devices, dtypes
from flowtorch.array.place import host_strided
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import no_grad
from flowtorch.serialization.options import running
from flowtorch.storage import STORAGE_NAMES, TypedStorage, UntypedStorage, array_over, storage_of
from flowtorch.tensor import Tensor, wrap

# Dtypes younger than the typed storages: they are saved as bytes beside a dtype.
BYTES_BESIDE_DTYPE = frozenset(dtypes.NUMBERED) - frozenset(STORAGE_NAMES)
# State of the autograd engine that lies in an instance's __dict__ and never travels.
ENGINE_STATE = ("_backward_hooks", "_post_accumulate_grad_hooks")


def _attributes(tensor: Tensor) -> Any:
    """What a user or a subclass has stored on a tensor: a dict, or (dict, slots) for classes with slots."""
    if type(tensor).__getstate__ is not object.__getstate__:
        return tensor.__getstate__()
    attributes = {k: v for k, v in tensor.__dict__.items() if k not in ENGINE_STATE}
    slots = {name: getattr(tensor, name) for name in _own_slots(type(tensor)) if hasattr(tensor, name)}
    return (attributes, slots) if slots else attributes


def _own_slots(cls: type) -> list[str]:
    inherited = set(copyreg._slotnames(Tensor))  # type: ignore[attr-defined]
    return [name for name in copyreg._slotnames(cls) if name not in inherited]  # type: ignore[attr-defined]


def reduce_tensor(tensor: Tensor, protocol: Any = 2) -> tuple:
    """``Tensor.__reduce_ex__``: the function and arguments that rebuild a tensor."""
    function, args = _reduce_plain(tensor)
    state = _attributes(tensor)
    if type(tensor) is Tensor and not state:
        return function, args
    return _rebuild_from_type_v2, (function, type(tensor), args, state)


def _reduce_plain(tensor: Tensor) -> tuple:
    if tensor.layout is not dtypes.strided:
        return _rebuild_sparse_tensor, (tensor.layout, _sparse_parts(tensor))
    size, stride, grad = tuple(tensor.shape), tensor.stride(), tensor.requires_grad
    if tensor.device.type == "meta":
        return _rebuild_meta_tensor_no_storage, (tensor.dtype, size, stride, grad)
    storage: Any = storage_of(tensor)
    place: tuple = (tensor.storage_offset(), size, stride, grad, OrderedDict())
    if tensor.dtype in BYTES_BESIDE_DTYPE:
        return _rebuild_tensor_v3, (storage, *place, tensor.dtype)
    storage = TypedStorage(wrap_storage=storage, dtype=tensor.dtype, _internal=True)
    return _rebuild_tensor_v2, (storage, *place)


def _sparse_parts(tensor: Any) -> tuple:
    layout = tensor.layout.name
    if layout == "sparse_coo":
        return tensor._indices(), tensor._values(), tuple(tensor.shape), tensor.is_coalesced()
    by_row = layout in ("sparse_csr", "sparse_bsr")
    outer, inner = ("crow_indices", "col_indices") if by_row else ("ccol_indices", "row_indices")
    return getattr(tensor, outer)(), getattr(tensor, inner)(), tensor.values(), tuple(tensor.shape)


# --- rebuilding: these names stand in checkpoints ---------------------------------------------


def _rebuild_tensor(
    storage: Any, storage_offset: int, size: Sequence[int], stride: Sequence[int], dtype: Any = None
) -> Tensor:
    """A tensor over a storage; RuntimeError where it would reach outside."""
    untyped = storage.untyped() if isinstance(storage, TypedStorage) else storage
    if not isinstance(untyped, UntypedStorage):
        raise TypeError(f"expected a storage, got {type(storage).__name__}")
    dtype = storage.dtype if dtype is None else dtype
    if not isinstance(dtype, dtypes.dtype):
        raise TypeError(f"expected a torch.dtype, got {type(dtype).__name__}")
    size, stride = tuple(map(index, size)), tuple(map(index, stride))
    if untyped.device.type == "meta":
        return _rebuild_meta_tensor_no_storage(dtype, size, stride, False)
    array = array_over(untyped._bytes, dtype, index(storage_offset), size, stride)
    return wrap(array, tensor_type(dtype, untyped.device))


def _finished(tensor: Tensor, requires_grad: bool, metadata: Any) -> Tensor:
    for flag, undo in (("conj", "conj_physical"), ("neg", "neg")):
        if metadata and metadata.get(flag):
            stored, tensor = tensor, getattr(tensor, undo)()
            if running.later is not None:
                running.later.append(partial(_compute_again, tensor, stored, undo))
    if requires_grad:
        tensor.requires_grad = True
    return tensor


def _compute_again(result: Tensor, stored: Tensor, undo: str) -> None:
    with no_grad():
        result.copy_(getattr(stored, undo)())


def _rebuild_tensor_v2(
    storage: Any,
    storage_offset: int,
    size: Sequence[int],
    stride: Sequence[int],
    requires_grad: bool,
    backward_hooks: Any,
    metadata: Any = None,
) -> Tensor:
    """A tensor over a typed storage, as checkpoints describe it; hooks are never restored."""
    return _finished(_rebuild_tensor(storage, storage_offset, size, stride), requires_grad, metadata)


def _rebuild_tensor_v3(
    storage: Any,
    storage_offset: int,
    size: Sequence[int],
    stride: Sequence[int],
    requires_grad: bool,
    backward_hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor:
    """A tensor over an untyped storage, its dtype named beside it."""
    return _finished(_rebuild_tensor(storage, storage_offset, size, stride, dtype), requires_grad, metadata)


def _rebuild_meta_tensor_no_storage(dtype: Any, size: Any, stride: Any, requires_grad: bool) -> Tensor:
    """A tensor on the meta device: a shape with strides, over one element."""
    one = np.zeros(1, dtype.numpy)
    array = host_strided(one, size, [s * one.itemsize for s in stride], writeable=False)
    return _finished(wrap(array, tensor_type(dtype, devices.meta)), requires_grad, None)


def _rebuild_sparse_tensor(layout: Any, data: tuple) -> Tensor:
    """A sparse tensor from the dense tensors it is made of."""
    from flowtorch.sparse import compressed, construct

    unchecked: Any
    if layout.name == "sparse_coo":
        indices, values, size = data[:3]
        coalesced = data[3] if len(data) > 3 else None
        make = partial(construct.sparse_coo_tensor, indices, values, size, is_coalesced=coalesced)
        unchecked = partial(construct.build, indices, values, tuple(size), bool(coalesced))
    else:
        outer, inner, values, size = data
        make = partial(compressed.construct, layout, outer, inner, values, size)
        unchecked = partial(compressed.assemble, layout, outer, inner, values, tuple(size))
    if running.later is None:
        return make()
    running.later.append(make)  # looks at the indices, once they are there
    return unchecked()


def _rebuild_device_tensor_from_cpu_tensor(data: Tensor, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """A tensor of a backend whose memory was saved through the CPU."""
    return _finished(data.to(dtype=dtype, device=_mapped_device(device)), requires_grad, None)


def _rebuild_device_tensor_from_numpy(data: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """A tensor of a backend whose memory was saved as a numpy array."""
    return _rebuild_device_tensor_from_cpu_tensor(wrap(data), dtype, device, requires_grad)


def _mapped_device(device: Any) -> Any:
    """The device that the ``map_location`` of the running load gives to a device named in the file."""
    where = running.map_location
    if isinstance(where, dict):
        return where.get(device, device)
    if callable(where) and not isinstance(where, devices.device):
        raise RuntimeError("Callable map_location not supported with tensors that were saved without a storage")
    return device if where is None else where


def _rebuild_from_type_v2(function: Any, new_type: type, args: tuple, state: Any) -> Any:
    """A tensor of a subclass, or with attributes of its own."""
    result = function(*args)
    if type(result) is not new_type:
        result = result.as_subclass(new_type)
    setstate = getattr(new_type, "__setstate__", Tensor.__setstate__)
    if setstate is not Tensor.__setstate__:
        result.__setstate__(state)
        return result
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    for name, value in {**(attributes or {}), **(slots or {})}.items():
        setattr(result, name, value)
    return result


def _rebuild_from_type(function: Any, type: type, args: tuple, dict: dict) -> Any:
    """The older form of :func:`_rebuild_from_type_v2`."""
    return _rebuild_from_type_v2(function, type, args, dict)


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Any:
    """A Parameter."""
    from flowtorch.nn.parameter import Parameter

    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data: Tensor, requires_grad: bool, backward_hooks: Any, state: Any) -> Any:
    """A Parameter with attributes of its own."""
    param = _rebuild_parameter(data, requires_grad, backward_hooks)
    return _rebuild_from_type_v2(lambda: param, type(param), (), state)


def _unsupported(what: str) -> Any:
    def rebuild(*args: Any) -> Any:
        raise NotImplementedError(f"this checkpoint holds {what}, which flowtorch does not support")

    return rebuild


_rebuild_qtensor = _unsupported("a quantized tensor")
_rebuild_nested_tensor = _unsupported("a nested tensor")
_rebuild_wrapper_subclass = _unsupported("a wrapper subclass without memory of its own")

# Pickles name the modules where PyTorch has these: they are short, and stay when files here move.
for _rebuilder in (
    _rebuild_tensor, _rebuild_tensor_v2, _rebuild_tensor_v3, _rebuild_meta_tensor_no_storage, _rebuild_sparse_tensor,
    _rebuild_parameter, _rebuild_parameter_with_state,
):  # fmt: skip
    _rebuilder.__module__ = "flowtorch._utils"
_rebuild_from_type.__module__ = _rebuild_from_type_v2.__module__ = "flowtorch._tensor"


# --- deepcopy ---------------------------------------------------------------------------------


def deepcopy_tensor(tensor: Tensor, memo: dict) -> Any:
    """``Tensor.__deepcopy__``: a leaf in new memory; tensors that shared memory share it again afterwards."""
    if not tensor.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
            "moment.  "
            "If you were attempting to deepcopy a module, this may be because of a "
            "torch.nn.utils.weight_norm usage: "
            "it keeps a computed tensor as an attribute."
        )
    if id(tensor) in memo:
        return memo[id(tensor)]
    result = _copied(tensor, memo)
    if type(result) is not type(tensor):
        result = result.as_subclass(type(tensor))
    if tensor.requires_grad:
        result.requires_grad_()
    if tensor.grad is not None:
        result.grad = copy.deepcopy(tensor.grad, memo)
    for name in _own_slots(type(tensor)):
        if hasattr(tensor, name):
            setattr(result, name, copy.deepcopy(getattr(tensor, name), memo))
    memo[id(tensor)] = result
    for name, value in tensor.__dict__.items():
        if name not in ENGINE_STATE:
            result.__dict__[name] = copy.deepcopy(value, memo)
    return result


def _copied(tensor: Tensor, memo: dict) -> Any:
    if tensor.layout is not dtypes.strided or tensor.device.type == "meta":
        return tensor.detach().clone()
    storage = copy.deepcopy(storage_of(tensor), memo)
    return _rebuild_tensor(storage, tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype)

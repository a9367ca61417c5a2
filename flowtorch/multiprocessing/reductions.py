"""How a tensor goes to another process: its memory is shared, and a descriptor of it is sent."""

from __future__ import annotations

import os
from collections import OrderedDict
from multiprocessing import reduction
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.serialization.tensors import _rebuild_parameter, _rebuild_tensor_v3, reduce_tensor
from flowtorch.storage import UntypedStorage, storage_of
from flowtorch.storage_memory import SharedMap, shared_map_of
from flowtorch.tensor import Tensor


def _reduce(tensor: Any) -> tuple:
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support "
            "crossing process boundaries.  If you just want to transfer the data, call detach() on the tensor "
            "before serializing (e.g., putting it on the queue)."
        )
    if tensor.device.type != "cpu" or tensor.layout is not dtypes.strided or tensor.numel() == 0:
        return reduce_tensor(tensor)
    tensor.share_memory_()
    storage = storage_of(tensor)
    memory = shared_map_of(storage._bytes)
    if memory is None or memory.descriptor is None or len(memory) != storage.nbytes():
        return reduce_tensor(tensor)  # memory that has no descriptor of its own is copied
    place = (tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.requires_grad)
    return _rebuild, (reduction.DupFd(memory.descriptor), len(memory), tensor.dtype, *place)


def _rebuild(
    handle: Any, nbytes: int, dtype: Any, offset: int, size: tuple, stride: tuple, requires_grad: bool
) -> Tensor:
    memory = SharedMap.of(handle.detach(), nbytes)
    storage = UntypedStorage._around(np.frombuffer(memory, np.uint8))
    return _rebuild_tensor_v3(storage, offset, size, stride, requires_grad, None, dtype)


def _reduce_parameter(parameter: Any) -> tuple:
    # The parameter itself moves to shared memory, not only the tensor that stands for it in the message.
    parameter.share_memory_()
    return _rebuild_parameter, (parameter.data, parameter.requires_grad, OrderedDict())


def init_reductions() -> None:
    """Teach ``multiprocessing`` to share tensors, where a descriptor can be handed over."""
    from flowtorch.nn.parameter import Parameter

    if os.name == "posix":
        ForkingPickler.register(Tensor, _reduce)
        ForkingPickler.register(Parameter, _reduce_parameter)

"""A module whose batches are split over the GPUs of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

import flowtorch as torch

from ..module import Module
from . import comm
from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import gather, scatter_kwargs

__all__ = ["DataParallel", "data_parallel"]

T = TypeVar("T", bound=Module)


class DataParallel(Module, Generic[T]):
    """Splits its arguments along ``dim`` over ``device_ids`` (all GPUs), runs copies of ``module``, joins the
    results.

    The module must be on the first device; the results come to ``output_device``, the first one by default.
    Without a GPU it only calls the module.
    """

    def __init__(
        self, module: T, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list[int] = []
        if not torch.cuda.is_available():
            return
        given = range(torch.cuda.device_count()) if device_ids is None else device_ids
        self.device_ids = [comm.device_of(device).index or 0 for device in given]
        output = self.device_ids[0] if output_device is None else output_device
        self.output_device = comm.device_of(output).index or 0
        self.dim = dim
        self.src_device_obj = torch.device("cuda", self.device_ids[0])
        if len(self.device_ids) == 1:
            self.module.to(self.src_device_obj)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        _check_place(self.module, self.src_device_obj)
        args, kwargs_tup = self.scatter(inputs, kwargs, self.device_ids)
        if not args:
            args, kwargs_tup = ((),), ({},)
        if len(self.device_ids) == 1:
            return self.module(*args[0], **kwargs_tup[0])
        replicas = self.replicate(self.module, self.device_ids[: len(args)])
        return self.gather(self.parallel_apply(replicas, args, kwargs_tup), self.output_device)

    def replicate(self, module: T, device_ids: Sequence[Any]) -> list[T]:
        """Return copies of ``module``, one for each device."""
        return replicate(module, device_ids, not torch.is_grad_enabled())

    def scatter(self, inputs: Any, kwargs: Any, device_ids: Sequence[Any]) -> Any:
        """Return the arguments for each device."""
        return scatter_kwargs(inputs, kwargs, device_ids, dim=self.dim)

    def parallel_apply(self, replicas: Sequence[T], inputs: Sequence[Any], kwargs: Any) -> list[Any]:
        """Return the results of all copies."""
        return parallel_apply(replicas, inputs, kwargs, self.device_ids[: len(replicas)])

    def gather(self, outputs: Any, output_device: Any) -> Any:
        """Return the results of all copies as one."""
        return gather(outputs, output_device, dim=self.dim)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: Any = None,
) -> Any:
    """Call ``module`` once with its batch split over GPUs, as DataParallel does."""
    if not torch.cuda.is_available():
        raise RuntimeError("device type could not be determined")
    if not isinstance(inputs, tuple):
        inputs = () if inputs is None else (inputs,)
    devices = list(range(torch.cuda.device_count()) if device_ids is None else device_ids)
    output = devices[0] if output_device is None else output_device
    _check_place(module, comm.device_of(devices[0]))
    args, kwargs_tup = scatter_kwargs(inputs, module_kwargs, devices, dim)
    if not args:
        args, kwargs_tup = ((),), ({},)
    if len(devices) == 1:
        return module(*args[0], **kwargs_tup[0])
    used = devices[: len(args)]
    return gather(parallel_apply(replicate(module, used), args, kwargs_tup, used), output, dim)


def _check_place(module: Module, device: Any) -> None:
    for tensor in chain(module.parameters(), module.buffers()):
        if tensor.device != device:
            raise RuntimeError(
                f"module must have its parameters and buffers on device {device} (device_ids[0]) but found "
                f"one of them on device: {tensor.device}"
            )

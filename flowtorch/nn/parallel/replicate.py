"""Copies of a module on several devices whose gradients flow back to the one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from . import comm

__all__ = ["replicate"]


def replicate(network: Any, devices: Sequence[Any], detach: bool = False) -> list[Any]:
    """Return a copy of ``network`` for each of ``devices``; ``detach`` cuts the copies off from its
    gradients."""
    return [_replica(network, device, detach) for device in devices]


def _replica(network: Any, device: Any, detach: bool) -> Any:
    where = comm.device_of(device)
    copies: dict[int, Any] = {id(module): module._replicate_for_data_parallel() for module in network.modules()}
    moved: dict[int, Any] = {}

    def move(tensor: Any, cut: bool) -> Any:
        if id(tensor) not in moved:
            moved[id(tensor)] = (tensor.detach() if cut else tensor).to(where)
        return moved[id(tensor)]

    for module in network.modules():
        copy = copies[id(module)]
        copy._former_parameters = OrderedDict()
        for name, child in module._modules.items():
            copy._modules[name] = None if child is None else copies[id(child)]
        for name, param in module._parameters.items():
            if param is None:
                copy._parameters[name] = None
                continue
            # A replica has no parameters: these are results of operations, as plain attributes.
            tensor = move(param, detach)
            copy.__dict__[name] = copy._former_parameters[name] = tensor
        for name, buffer in module._buffers.items():
            copy._buffers[name] = None if buffer is None else move(buffer, detach or not buffer.requires_grad)
    return copies[id(network)]

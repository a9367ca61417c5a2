"""Meshes of devices of several processes, as far as annotations name them."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """Devices in a grid, one for each process: a type to name in annotations, of which there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("torch.distributed.device_mesh.DeviceMesh: flowtorch runs in one process")


def init_device_mesh(device_type: str, mesh_shape: tuple, **options: Any) -> NoReturn:
    """Arrange the processes' devices in a grid: not supported."""
    raise NotImplementedError("torch.distributed.device_mesh.init_device_mesh: flowtorch runs in one process")


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)

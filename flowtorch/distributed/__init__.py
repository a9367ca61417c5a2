"""``torch.distributed`` of a build without it: programs that ask learn that there is one process."""

from __future__ import annotations

import importlib
import os
from typing import Any, NoReturn

__all__ = [
    "DistBackendError", "DistError", "DistNetworkError", "DistStoreError", "HashStore", "PrefixStore", "ProcessGroup",
    "QueueEmptyError", "Store", "TCPStore", "destroy_process_group", "get_rank", "get_world_size", "init_process_group",
    "is_available", "is_gloo_available", "is_initialized",
    "is_mpi_available", "is_nccl_available", "is_torchelastic_launched", "is_ucc_available", "is_xccl_available",
]  # fmt: skip


class DistError(RuntimeError):
    """An error between processes."""


class DistBackendError(DistError):
    """An error of what carries messages between processes."""


class DistNetworkError(DistError):
    """An error of the network."""


class DistStoreError(DistError):
    """An error of the store by which processes meet."""


class QueueEmptyError(DistStoreError):
    """A queue of a store has no value to take."""


class ProcessGroup:
    """Processes that work together: a type to name in annotations, of which there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("torch.distributed.ProcessGroup: flowtorch runs in one process")


def is_available() -> bool:
    """Whether processes can work together: not in this version."""
    return False


def is_initialized() -> bool:
    """Whether ``init_process_group`` has been called: never."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether torchrun started this process."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def _absent() -> bool:
    """Whether this backend is there: no."""
    return False


is_gloo_available = is_mpi_available = is_nccl_available = is_ucc_available = is_xccl_available = _absent


def _no_group(*args: Any, **kwargs: Any) -> NoReturn:
    """Always a ValueError: flowtorch runs in one process, and there is no process group.

    >>> torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    0
    """
    raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")


get_rank = get_world_size = destroy_process_group = _no_group


def init_process_group(*args: Any, **kwargs: Any) -> NoReturn:
    """Join other processes: not supported."""
    raise NotImplementedError(
        "torch.distributed.init_process_group: flowtorch runs in one process; torch.distributed.is_available() is False"
    )


# Stores of keys and values need no process group.
_STORES = {"Store": "stores", "HashStore": "stores", "PrefixStore": "stores", "TCPStore": "tcp_store"}


def __getattr__(name: str) -> Any:
    if name in ("device_mesh", "fsdp", "tensor"):
        return importlib.import_module(f"flowtorch.distributed.{name}")
    if name in _STORES:
        return getattr(importlib.import_module(f"flowtorch.distributed.{_STORES[name]}"), name)
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)

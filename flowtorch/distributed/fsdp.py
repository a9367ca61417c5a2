"""Types of ``torch.distributed.fsdp`` that programs ask modules for: with one process, no module is of them."""

from __future__ import annotations

from typing import Any, NoReturn

from flowtorch.nn.module import Module

__all__ = ["FSDPModule", "FullyShardedDataParallel", "fully_shard"]


def _refuse(name: str) -> NoReturn:
    raise NotImplementedError(
        f"torch.distributed.fsdp.{name}: flowtorch runs in one process, where a module needs no sharding: use it as it "
        "is"
    )


class FSDPModule:
    """A module whose parameters are spread over processes: there are none."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        _refuse("FSDPModule")


class FullyShardedDataParallel(Module):
    """A module around one whose parameters are spread over processes: there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse("FullyShardedDataParallel")


def fully_shard(*args: Any, **kwargs: Any) -> NoReturn:
    """Spread a module's parameters over processes: not supported."""
    _refuse("fully_shard")


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)

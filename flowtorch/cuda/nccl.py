"""Communication between devices by NCCL, which flowtorch does not call: one process, one device."""

from __future__ import annotations

from typing import Any, NoReturn

SUM = 0


def is_available(tensors: Any) -> bool:
    """Whether NCCL can communicate between the tensors: never."""
    return False


def version() -> tuple[int, ...]:
    """The version of NCCL: RuntimeError, for there is none."""
    _refuse()


def unique_id() -> bytes:
    """A name for a group of processes: RuntimeError, for there is no NCCL."""
    _refuse()


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    """RuntimeError: there is no NCCL."""
    raise RuntimeError("torch.cuda.nccl: flowtorch does not call NCCL; it runs in one process on one device")


init_rank = all_reduce = reduce = broadcast = all_gather = reduce_scatter = _refuse

"""``torch.distributed.tensor.DTensor``, a type that programs ask tensors for: with one process, none is of it."""

from __future__ import annotations

from typing import Any

from flowtorch.tensor import Tensor

__all__ = ["DTensor"]


class DTensor(Tensor):
    """A tensor spread over processes: there are none."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "torch.distributed.tensor.DTensor: flowtorch runs in one process; use an ordinary tensor"
        )


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)

"""Names of ``torch.cuda`` by the module that defines them in PyTorch."""

from __future__ import annotations

import contextlib
from typing import Any

from flowtorch.cuda import (
    Event as Event,
)
from flowtorch.cuda import (
    Stream as Stream,
)
from flowtorch.cuda import (
    stream as make_current,
)


class StreamContext(contextlib.AbstractContextManager):
    """A context in which a stream is the current one; None changes nothing."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.context = contextlib.nullcontext() if stream is None else make_current(stream)

    def __enter__(self) -> None:
        self.context.__enter__()

    def __exit__(self, *exc: Any) -> None:
        self.context.__exit__(*exc)


class ExternalStream(Stream):
    """A stream that another library made: not supported."""

    def __init__(self, stream_ptr: int, device: Any = None, **kwargs: Any) -> None:
        raise RuntimeError("torch.cuda.ExternalStream: flowtorch cannot take over a stream of another library")

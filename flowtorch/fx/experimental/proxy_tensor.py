"""Graphs recorded below autograd: flowtorch makes none, which is what the questions asked here answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NoReturn

__all__ = ["get_proxy_mode", "make_fx"]


def get_proxy_mode() -> None:
    """The mode that records calls as a graph: there is none."""


get_innermost_proxy_mode = get_proxy_mode


@contextlib.contextmanager
def disable_proxy_modes_tracing(enable_current: bool = False) -> Iterator[None]:
    """A context in which nothing is recorded, as outside it."""
    yield


def make_fx(*args: Any, **kwargs: Any) -> NoReturn:
    """Record a function's operators as a graph: not supported."""
    raise NotImplementedError(
        "torch.fx.experimental.proxy_tensor.make_fx: flowtorch records no graph below autograd. "
        "torch.fx.symbolic_trace records the calls of a function or module; a "
        "torch.utils._python_dispatch.TorchDispatchMode sees every operator."
    )


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)

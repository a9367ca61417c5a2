"""Contexts that switch recording on and off, by the module that defines them in PyTorch."""

from __future__ import annotations

import contextlib

from flowtorch.autograd.mode import (
    enable_grad as enable_grad,
)
from flowtorch.autograd.mode import (
    inference_mode as inference_mode,
)
from flowtorch.autograd.mode import (
    no_grad as no_grad,
)
from flowtorch.autograd.mode import (
    set_grad_enabled as set_grad_enabled,
)


class set_multithreading_enabled(contextlib.AbstractContextManager):
    """Allow backward passes to use several threads, at once or for a context: each runs in its caller's thread."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode

    def __exit__(self, *exc: object) -> None:
        pass

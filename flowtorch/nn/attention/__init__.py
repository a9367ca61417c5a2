"""Choosing the kernel of ``scaled_dot_product_attention``, and attention with scores and masks of one's
own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from . import flex_attention as flex_attention

__all__ = [
    "WARN_FOR_UNFUSED_KERNELS",
    "SDPBackend",
    "activate_flash_attention_impl",
    "current_flash_attention_impl",
    "list_flash_attention_impls",
    "register_flash_attention_impl",
    "restore_flash_attention_impl",
    "sdpa_kernel",
]

WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(Enum):
    """The kinds of attention kernels that a program may allow."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __int__(self) -> int:
        return self.value


# The kinds that are allowed, the preferred ones first. There is one kernel on each device, which serves for all.
_enabled = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.OVERRIDEABLE,
]


def _cur_sdpa_kernel_backends(with_priority: bool = False) -> list[SDPBackend]:
    """The kinds of kernels that are allowed now."""
    return list(_enabled)


@contextlib.contextmanager
def sdpa_kernel(backends: SDPBackend | list[SDPBackend], set_priority: bool = False) -> Iterator[dict[str, Any]]:
    """Allow only the kinds of attention kernels given; ``set_priority`` means their order as well."""
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError(
            "Backend must be an instance of SDPBackend or a list of SDPBackend instances, got "
            f"{type(backends).__name__}"
        )
    wanted = [backends] if isinstance(backends, SDPBackend) else list(dict.fromkeys(backends))
    before = list(_enabled)
    _enabled[:] = wanted if set_priority else sorted(wanted, key=before.index if set(wanted) <= set(before) else int)
    try:
        yield {}
    finally:
        _enabled[:] = before


_implementations: dict[str, Callable[..., Any]] = {}
_active: tuple[str, Any] | None = None


def register_flash_attention_impl(impl: str, *, register_fn: Callable[..., Any]) -> None:
    """Make an implementation of flash attention known: ``register_fn()`` installs it and returns how to undo
    that."""
    _implementations[impl] = register_fn


def activate_flash_attention_impl(impl: str) -> None:
    """Install a registered implementation of flash attention in the place of any other."""
    global _active
    restore_flash_attention_impl(_raise_warn=False)
    if impl not in _implementations:
        raise ValueError(
            f"Unknown flash attention impl '{impl}'. Available implementations: {list_flash_attention_impls()}"
        )
    handle = _implementations[impl]()
    if handle is not None:
        _active = (impl, handle)


def list_flash_attention_impls() -> list[str]:
    """The names of the registered implementations of flash attention."""
    return sorted(_implementations)


def current_flash_attention_impl() -> str | None:
    """The name of the installed implementation of flash attention, None for our own."""
    return None if _active is None else _active[0]


def restore_flash_attention_impl(_raise_warn: bool = True) -> None:
    """Go back to our own implementation of flash attention."""
    global _active
    if _active is not None:
        _active[1].remove()
        _active = None
    elif _raise_warn:
        import logging

        logging.getLogger(__name__).warning("no other implementation of flash attention was active")

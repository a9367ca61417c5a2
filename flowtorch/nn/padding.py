"""Padding layers; paddings are (left, right) pairs, last dimension first."""

from __future__ import annotations

from typing import ClassVar

from . import functional as F
from .module import Module
from .sizes import ntuple

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """Pads ``_spatial`` dimensions in ``_mode``; one number pads every side."""

    _mode: ClassVar[str]
    _spatial: ClassVar[int]

    def __init__(self, padding) -> None:
        super().__init__()
        self.padding = ntuple(padding, 2 * self._spatial)

    def forward(self, input):
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _CircularPadNd(_Pad):
    _mode = "circular"

    def forward(self, input):
        if input.dim() not in (self._spatial + 1, self._spatial + 2):
            expected = f"{self._spatial + 1}D or {self._spatial + 2}D"
            raise ValueError(f"expected {expected} input (got {input.dim()}D input)")
        return F.pad(input, self.padding, "circular")


class CircularPad1d(_CircularPadNd):
    """Continue (C, L) or (N, C, L) input periodically."""

    _spatial = 1


class CircularPad2d(_CircularPadNd):
    """Continue (C, H, W) or (N, C, H, W) input periodically."""

    _spatial = 2


class CircularPad3d(_CircularPadNd):
    """Continue (C, D, H, W) or (N, C, D, H, W) input periodically."""

    _spatial = 3


class _ConstantPadNd(_Pad):
    def __init__(self, padding, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input):
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Surround the last dimension by ``value``."""

    _spatial = 1


class ConstantPad2d(_ConstantPadNd):
    """Surround the last two dimensions by ``value``."""

    _spatial = 2


class ConstantPad3d(_ConstantPadNd):
    """Surround the last three dimensions by ``value``."""

    _spatial = 3


class _ReflectionPadNd(_Pad):
    _mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    """Mirror (C, L) or (N, C, L) input at its border elements."""

    _spatial = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Mirror (C, H, W) or (N, C, H, W) input at its border elements."""

    _spatial = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Mirror (C, D, H, W) or (N, C, D, H, W) input at its border elements."""

    _spatial = 3


class _ReplicationPadNd(_Pad):
    _mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    """Repeat the border elements of (C, L) or (N, C, L) input."""

    _spatial = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Repeat the border elements of (C, H, W) or (N, C, H, W) input."""

    _spatial = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Repeat the border elements of (C, D, H, W) or (N, C, D, H, W) input."""

    _spatial = 3


class ZeroPad1d(ConstantPad1d):
    """Surround the last dimension by zeros."""

    def __init__(self, padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Surround the last two dimensions by zeros."""

    def __init__(self, padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Surround the last three dimensions by zeros."""

    def __init__(self, padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"

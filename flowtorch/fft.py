"""Discrete Fourier transforms (torch.fft): the functions that the op families register for this namespace."""
from __future__ import annotations

from flowtorch import namespace
from flowtorch.tensor import Tensor as Tensor

namespace.publish()
globals().update(namespace.namespaces["fft"])

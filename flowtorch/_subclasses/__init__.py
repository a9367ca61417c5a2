"""Kinds of tensors that PyTorch's tracers use. flowtorch has none, which is what the questions here answer."""

from flowtorch._subclasses.fake_tensor import FakeTensor as FakeTensor
from flowtorch._subclasses.fake_tensor import FakeTensorMode as FakeTensorMode

__all__ = ["FakeTensor", "FakeTensorMode"]

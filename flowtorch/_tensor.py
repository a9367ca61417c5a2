"""``torch._tensor``: where pickles, and some libraries, look for the tensor class and what rebuilds its subclasses."""

from flowtorch.serialization.tensors import _rebuild_from_type, _rebuild_from_type_v2
from flowtorch.tensor import Tensor

__all__ = ["Tensor", "_rebuild_from_type", "_rebuild_from_type_v2"]

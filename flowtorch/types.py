"""Types for annotations."""

from __future__ import annotations

import builtins
import os
from builtins import bool as _bool
from builtins import bytes as _bytes
from builtins import complex as _complex
from builtins import float as _float
from builtins import int as _int
from builtins import str as _str
from collections.abc import Sequence
from typing import IO, Any, TypeAlias

from flowtorch.devices import device as _device
from flowtorch.dtypes import dtype as _dtype
from flowtorch.dtypes import layout as _layout
from flowtorch.storage import UntypedStorage
from flowtorch.tensor import Size, Tensor

__all__ = ["Device", "FileLike", "Number", "Storage"]

_TensorOrTensors: TypeAlias = Tensor | Sequence[Tensor]
_size: TypeAlias = Size | list[builtins.int] | tuple[builtins.int, ...]
_qscheme: TypeAlias = Any
_dispatchkey: TypeAlias = builtins.str
Number: TypeAlias = builtins.int | builtins.float | builtins.bool
_Number = (builtins.int, builtins.float, builtins.bool)
IntLikeType: TypeAlias = builtins.int
FloatLikeType: TypeAlias = builtins.float
BoolLikeType: TypeAlias = builtins.bool
py_sym_types = ()
Device: TypeAlias = _device | builtins.str | builtins.int | None
FileLike: TypeAlias = builtins.str | os.PathLike[builtins.str] | IO[builtins.bytes]
Storage: TypeAlias = UntypedStorage
_ = (_bool, _bytes, _complex, _float, _int, _str, _dtype, _layout)  # names that others take from here

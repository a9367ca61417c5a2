"""The kernel of a pointwise op, made from its record: one variant for each combination of array dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import expression
from .dtypes import CATEGORY, compute_type, real_type
from .lowering import Program, lower
from .numpy_renderer import numpy_dtype


class OpKernel:
    """The kernel of the op record `op` for operands that were brought to `dtype`, called as the op's body is.

    build:   makes a callable of a program: numpy's, C's or Triton's.
    default: the floating dtype that integers become.
    """

    def __init__(self, op: Any, dtype: str, build: Callable[[Program], Callable], default: str = "float32"):
        self.op, self.dtype, self.build, self.default = op, dtype, build, default
        self.tree = expression.parse(op.expr, op.tensors, op.params)
        self.result = {"bool": "bool", "int64": "int64", "real": real_type(dtype),
                       "float_real": real_type(dtype)}.get(op.promote, dtype)  # fmt: skip
        if op.promote == "complex":
            self.result = "complex128" if dtype == "float64" else "complex64"
        self.scalars = self.tree.names("parameter")
        self.variants: dict[tuple, Callable] = {}
        # builds the usual variant, so that an op without a rendering is refused at once
        self.variant(tuple("bool" if name == "condition" else dtype for name in op.tensors))

    def __call__(self, *arrays: Any, **params: Any) -> Any:
        defaults = self.op.defaults
        numbers = [self.number(name, params.get(name, defaults.get(name))) for name in self.scalars]
        for name, value in params.items():
            if name not in self.scalars and (name not in defaults or value != defaults[name]):
                raise self.refuse(name, value)
        found = self.variant(tuple([None if array is None else array.dtype.name for array in arrays]))
        return found(*[array for array in arrays if array is not None], *numbers)

    def number(self, name: str, value: Any) -> bool | int | float | complex:
        """A scalar parameter in the kind of number that the kernel computes with."""
        if value is None and self.op.name == "nan_to_num":
            value = self.replacement(name)
        if getattr(value, "ndim", None) == 0 and not isinstance(value, np.generic):
            value = value.item()  # type: ignore[union-attr] # a tensor of one number, which the host waits for
        category = CATEGORY[self.dtype]
        if not isinstance(value, (bool, int, float, complex, np.generic)):
            raise self.refuse(name, value)
        if category == "c":
            return complex(value)
        if category == "f":
            return float(value)  # type: ignore[arg-type]
        return bool(value) if category == "b" else int(np.asarray(value).astype(self.dtype))  # integers wrap around

    def replacement(self, name: str) -> float:
        """What `nan_to_num` puts for NaN, inf or -inf unless told otherwise; integers hold none of them."""
        if name == "nan" or CATEGORY[self.dtype] not in "f":
            return 0
        import ml_dtypes

        limits = ml_dtypes.finfo(numpy_dtype(self.dtype))
        return float(limits.max if name == "posinf" else limits.min)

    def refuse(self, name: str, value: object) -> NotImplementedError:
        return NotImplementedError(f"there is no kernel for '{self.op.name}' with {name}={value!r} here")

    def variant(self, types: tuple[str | None, ...]) -> Callable:
        """The kernel for arrays of these dtypes; None stands for an operand that is absent."""
        found = self.variants.get(types)
        if found is None:
            given = dict(zip(self.op.tensors, types, strict=True))
            tree = self.tree
            for name, type in given.items():
                tree = tree if type is not None else expression.without(tree, name)
            inputs = {name: type for name, type in given.items() if type is not None}
            scalars = dict.fromkeys(self.scalars, compute_type(self.dtype))
            try:
                program = lower([tree], inputs, scalars, [self.result], self.default)
            except TypeError as error:
                raise NotImplementedError(str(error)) from None
            found = self.variants[types] = self.build(program)
        return found

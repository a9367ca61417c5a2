"""What distributions share: broadcasting of parameters, probabilities and logits, lazily computed
attributes."""
from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from numbers import Number
from typing import Any

import flowtorch as ft
from flowtorch.autograd.mode import enable_grad
from flowtorch.tensor import Size, Tensor

__all__ = ["broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs", "probs_to_logits",
           "tril_matrix_to_vec", "vec_to_tril_matrix"]

euler_constant = 0.57721566490153286060


def _is_tensor_like(value: Any) -> bool:
    return isinstance(value, Tensor) or hasattr(type(value), "__torch_function__")


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """The values, numbers or tensors, as tensors of one shape.

    Numbers take dtype and device of the first tensor, or the default dtype if there is none.
    """
    if not all(_is_tensor_like(v) or isinstance(v, Number) for v in values):
        raise ValueError("Input arguments must all be instances of Number, torch.Tensor or objects "
                         "implementing "
                         "__torch_function__.")
    like = next((v for v in values if isinstance(v, Tensor)), None)
    made_as = {"dtype": ft.get_default_dtype()} if like is None else {"dtype": like.dtype,
                                                                      "device": like.device}
    return ft.broadcast_tensors(*(v if _is_tensor_like(v) else ft.tensor(v, **made_as) for v in values))  # type: ignore[operator]


def _standard_normal(shape: Any, dtype: Any, device: Any) -> Tensor:
    return ft.empty(shape, dtype=dtype, device=device).normal_()


def _sum_rightmost(value: Tensor, dim: int) -> Tensor:
    """``value`` summed over its last ``dim`` dimensions."""
    return value if dim == 0 else value.reshape((*value.shape[:-dim], -1)).sum(-1)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities from log odds, or from unnormalised log probabilities along the last dimension."""
    return ft.sigmoid(logits) if is_binary else ft.nn.functional.softmax(logits, dim=-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities moved away from 0 and 1 by the dtype's epsilon."""
    eps = ft.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log odds of probabilities, or log probabilities."""
    clamped = clamp_probs(probs)
    return ft.log(clamped) - ft.log1p(-clamped) if is_binary else ft.log(clamped)


class lazy_property:
    """A property that is computed when it is first asked for and is an ordinary attribute from then on."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        update_wrapper(self, wrapped)       # type: ignore[arg-type]

    def __get__(self, instance: Any, obj_type: Any = None) -> Any:
        if instance is None:
            return _class_lazy_property(self.wrapped)
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _class_lazy_property(lazy_property, property):
    """What the class shows for a lazy property: both kinds at once, for tools that look for properties."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        property.__init__(self, wrapped)


def _tril_mask(n: int, diag: int, device: Any) -> Tensor:
    index = ft.arange(n, device=device)
    return index < index.view(-1, 1) + (diag + 1)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The lower triangle of square matrices, up to diagonal ``diag``, row after row."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat[..., _tril_mask(n, diag, mat.device)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Square matrices whose lower triangle, up to diagonal ``diag``, is ``vec``, row after row; the rest is
    zero."""
    shift = 1 + 2 * diag
    n = (-shift + (shift ** 2 + 8 * vec.shape[-1] + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if round(n) - n > ft.finfo(vec.dtype).eps:
        raise ValueError(f"The size of last dimension is {vec.shape[-1]} which cannot be expressed as the "
                         f"lower "
                         "triangular part of a square D x D matrix.")
    n = round(n)
    mat = vec.new_zeros(Size((*vec.shape[:-1], n, n)))
    mat[..., _tril_mask(n, diag, vec.device)] = vec
    return mat

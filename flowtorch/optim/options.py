"""Checks of the options that optimisers share, and the few conversions that options need."""
from __future__ import annotations

from typing import Any

from flowtorch.tensor import Tensor


def check_lr(lr: Any) -> None:
    """Raise unless ``lr`` is a number or a one-element tensor, and not negative."""
    check_one_element(lr)
    if not lr >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_one_element(lr: Any) -> None:
    """Raise if ``lr`` is a tensor of other than one element."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")


def check_options(betas: Any = (), **options: Any) -> None:
    """Raise if one of ``options`` is negative or one of ``betas`` outside [0, 1)."""
    for name, value in options.items():
        if not value >= 0.0:
            raise ValueError(f"Invalid {'epsilon' if name == 'eps' else name} value: {value}")
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def check_fused(optimizer: Any, fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """Raise if ``fused=True`` meets an option that it excludes; mark the optimizer as able to unscale
    gradients."""
    if not fused:
        return
    if differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    optimizer._step_supports_amp_scaling = True


def check_fused_param(param: Tensor) -> None:
    """Raise unless a fused step can update ``param``."""
    if param.device.type not in ("cpu", "cuda") or not param.is_floating_point():
        raise RuntimeError("`fused=True` requires all the params to be floating point Tensors of supported "
                           "devices: "
                           f"['cpu', 'cuda'] but {param.dtype} and {param.device.type}")


def nonzero(value: Any) -> Any:
    """``value``, or None if it is zero, so that a formula leaves out the branch that uses it."""
    return value if value != 0 else None


def to_scalar(x: Any) -> Any:
    """A one-element tensor as a 0-d tensor; numbers as they are."""
    return x.squeeze() if isinstance(x, Tensor) and x.dim() != 0 else x


def get_value(x: Any) -> Any:
    """The number in a one-element tensor; numbers as they are."""
    return x.item() if isinstance(x, Tensor) else x


def unscale(grads: list[Tensor], grad_scale: Tensor | None, found_inf: Tensor | None) -> bool:
    """Divide gradients by the scale of mixed precision; False if an overflow means that the step is to be
    skipped."""
    if found_inf is not None and found_inf.item():
        return False
    if grad_scale is not None:
        for grad in grads:
            grad.div_(grad_scale.to(grad.device))
    return True

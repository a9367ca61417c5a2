"""Muon: momentum whose updates are made orthogonal, for weight matrices."""
from __future__ import annotations

import math
from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_one_element, to_scalar

__all__ = ["Muon", "muon"]


class Muon(GroupwiseOptimizer):
    """Momentum with updates orthogonalised by a Newton-Schulz iteration (Jordan, 2024), for 2-d parameters
    only.

    ``adjust_lr_fn`` scales the step by the matrix's shape: "original" (the default) or "match_rms_adamw".
    """

    def __init__(self, params: ParamsT, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
                 nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750,
                                                                                       2.0315),
                 eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None) -> None:
        check_one_element(lr)
        for name, value in {"Learning rate": lr, "momentum": momentum, "weight decay": weight_decay}.items():
            if not value >= 0.0:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum,
                                  "nesterov": nesterov, "ns_coefficients": ns_coefficients, "eps": eps,
                                  "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn})
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim != 2:
                    raise ValueError("Muon only supports 2D parameters whereas we found a parameter with "
                                     "size: "
                                     f"{param.size()}")

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        state["momentum_buffer"] = ft.zeros_like(param.grad, memory_format=ft.preserve_format)

    def _update_group(self, group: dict[str, Any]) -> None:
        if any(param.grad is not None and param.is_complex() for param in group["params"]):
            raise RuntimeError("Muon does not support complex parameters")
        rows = self._with_grad(group)
        muon([param for param, _, _ in rows], [grad for _, grad, _ in rows],
             [state["momentum_buffer"] for _, _, state in rows], lr=group["lr"],
             weight_decay=group["weight_decay"], momentum=group["momentum"], nesterov=group["nesterov"],
             ns_coefficients=group["ns_coefficients"], ns_steps=group["ns_steps"], eps=group["eps"],
             adjust_lr_fn=group["adjust_lr_fn"], has_complex=False)


def muon(params: list[Tensor], grads: list[Tensor], muon_momentum_bufs: list[Tensor], *,
         foreach: bool | None = None, lr: float, weight_decay: float, momentum: float, nesterov: bool,
         ns_coefficients: tuple[float, float, float], ns_steps: int, eps: float, adjust_lr_fn: str | None,
         has_complex: bool) -> None:
    """One Muon step on lists of tensors."""
    if foreach:
        raise RuntimeError("Foreach is not supported for Muon yet")
    if has_complex:
        raise ValueError("Complex parameters are not supported")
    lr = to_scalar(lr)
    for param, grad, buf in zip(params, grads, muon_momentum_bufs, strict=True):
        if grad.ndim != 2:
            raise ValueError("Param gradient must be a 2D matrix")
        buf.lerp_(grad, 1 - momentum)
        update = _orthogonalize(grad.lerp(buf, momentum) if nesterov else buf, ns_coefficients, ns_steps, eps)
        param.mul_(1 - lr * weight_decay)
        param.add_(update, alpha=-lr * _shape_factor(adjust_lr_fn, param.shape))


def _orthogonalize(update: Tensor, coefficients: tuple[float, float, float], steps: int,
                   eps: float) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, in bfloat16: an odd polynomial applied to the singular
    values."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if update.ndim != 2:
        raise ValueError("Input tensor gradient must be a 2D matrix")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = update.size(0) > update.size(1)
    x = update.bfloat16()
    if tall:                        # the Gram matrix is taken on the shorter side
        x = x.T
    x = x.div(x.norm().clamp(min=eps))
    for _ in range(steps):
        gram = x @ x.T
        polynomial = ft.addmm(gram, gram, gram, beta=b, alpha=c)
        x = ft.addmm(x, polynomial, x, beta=a)
    return x.T if tall else x


def _shape_factor(adjust_lr_fn: str | None, shape: Any) -> float:
    rows, columns = shape[:2]
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))

"""Adafactor: Adam with a second moment that takes the memory of a row and a column."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .counters import advance, check_tensors, number_dtype
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_one_element, to_scalar

__all__ = ["Adafactor", "adafactor"]


class Adafactor(GroupwiseOptimizer):
    """Adafactor with relative steps bounded by ``lr`` and clipped at ``d`` (Shazeer and Stern, 2018).

    ``eps`` holds the smallest second moment (None: the dtype's epsilon) and the smallest parameter scale.
    Matrices keep the mean squares of their rows and columns, vectors those of every element.
    """

    _options_added = (("foreach", None),)
    _number_state = ("step",)

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-2, beta2_decay: float = -0.8,
                 eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
                 foreach: bool | None = None, maximize: bool = False) -> None:
        check_one_element(lr)
        if not lr >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        for i, value in enumerate(eps, 1):
            if value is not None and not value >= 0.0:
                raise ValueError(f"epsilon{i} should be >= 0 but is: {value}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(params, {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d,
                                  "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize})

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        grad = param.grad
        state["step"] = ft.tensor(0.0, dtype=number_dtype())  # type: ignore[operator]
        if grad.dim() > 1:
            shape = list(grad.shape)
            state["row_var"] = grad.new_zeros([*shape[:-1], 1])
            state["col_var"] = grad.new_zeros([*shape[:-2], 1, shape[-1]])
        else:
            state["variance"] = ft.zeros_like(grad, memory_format=ft.preserve_format)

    def _update_group(self, group: dict[str, Any]) -> None:
        if any(param.grad is not None and param.is_complex() for param in group["params"]):
            raise RuntimeError("Adafactor does not support complex parameters")
        rows = self._with_grad(group)
        eps1, eps2 = group["eps"]
        adafactor([param for param, _, _ in rows], [grad for _, grad, _ in rows],
                  [state.get("row_var") for _, _, state in rows],
                  [state.get("col_var") for _, _, state in rows],
                  [state.get("variance") for _, _, state in rows], [state["step"] for _, _, state in rows],
                  foreach=group["foreach"], grad_scale=getattr(self, "grad_scale", None),
                  found_inf=getattr(self, "found_inf", None), d=group["d"], lr=group["lr"],
                  beta2_decay=group["beta2_decay"], weight_decay=group["weight_decay"], eps1=eps1, eps2=eps2,
                  maximize=group["maximize"])


def adafactor(params: list[Tensor], grads: list[Tensor], row_vars: list[Tensor | None],
              col_vars: list[Tensor | None], variances: list[Tensor | None], state_steps: list[Tensor],
              foreach: bool | None = None, grad_scale: Tensor | None = None, found_inf: Tensor | None = None,
              has_complex: bool = False, *, d: float, lr: float | Tensor, beta2_decay: float,
              weight_decay: float, eps1: float | None, eps2: float, maximize: bool) -> None:
    """One Adafactor step on lists of tensors."""
    check_tensors(state_steps=state_steps)
    if grad_scale is not None or found_inf is not None:
        raise AssertionError("Grad scaling should occur outside of optimizer.step()")
    lr = to_scalar(lr)
    steps = advance(state_steps)
    for param, grad, row_var, col_var, variance, step in zip(params, grads, row_vars, col_vars, variances,
                                                             steps, strict=True):
        if eps1 is None:
            eps1 = ft.finfo(param.dtype).eps
        grad = -grad if maximize else grad
        rms = param.norm(2).item() / param.numel() ** 0.5
        step_size = max(eps2, rms) * min(lr, 1 / step ** 0.5)
        if weight_decay != 0:
            param.mul_(1 - lr * weight_decay)
        update = _second_moment(grad, row_var, col_var, variance, step ** beta2_decay, eps1)
        update = update.clamp_(min=eps1 * eps1).rsqrt_().mul_(grad)
        clip = max(1.0, update.norm(2).item() / (update.numel() ** 0.5 * d))
        param.add_(update, alpha=-step_size / clip)


def _second_moment(grad: Tensor, row_var: Tensor | None, col_var: Tensor | None, variance: Tensor | None,
                   weight: float, eps: float) -> Tensor:
    """Move the averages of the squared gradient by ``weight`` and return their estimate for every element."""
    if row_var is None or col_var is None:
        assert variance is not None, "a vector keeps its variance"
        return variance.lerp_(grad * grad, weight).clone()
    row_var.lerp_(grad.norm(dim=-1, keepdim=True).square_().div_(grad.size(-1)), weight)
    col_var.lerp_(grad.norm(dim=-2, keepdim=True).square_().div_(grad.size(-2)), weight)
    return (row_var @ col_var).div_(row_var.mean(dim=-2, keepdim=True).clamp_(min=eps))

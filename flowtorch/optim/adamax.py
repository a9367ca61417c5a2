"""Adamax: Adam with the infinity norm."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .blocked import update
from .counters import advance, check_capturable, check_tensors, new_number
from .formula import add, addcdiv, formula, maximum
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_lr, check_options, nonzero, to_scalar
from .planned import Recipe

__all__ = ["Adamax", "adamax"]


class Adamax(GroupwiseOptimizer):
    """Adamax: Adam divided by a decaying maximum of the gradient's size (Kingma and Ba, 2014)."""

    _options_added = (("foreach", None), ("maximize", False), ("differentiable", False),
                      ("capturable", False))
    _number_state = ("step",)

    def __init__(self, params: ParamsT, lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, foreach: bool | None = None, *,
                 maximize: bool = False, differentiable: bool = False, capturable: bool = False) -> None:
        check_lr(lr)
        check_options(eps=eps)
        check_options(betas=betas, weight_decay=weight_decay)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
                                  "capturable": capturable})

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        state["step"] = new_number(group, param)
        state["exp_avg"] = ft.zeros_like(param, memory_format=ft.preserve_format)
        state["exp_inf"] = ft.zeros_like(param, memory_format=ft.preserve_format)

    def _update_group(self, group: dict[str, Any]) -> None:
        rows = self._with_grad(group)
        beta1, beta2 = group["betas"]
        adamax([param for param, _, _ in rows], [grad for _, grad, _ in rows],
               [state["exp_avg"] for _, _, state in rows], [state["exp_inf"] for _, _, state in rows],
               [state["step"] for _, _, state in rows], foreach=group["foreach"], maximize=group["maximize"],
               differentiable=group["differentiable"], capturable=group["capturable"], eps=group["eps"],
               beta1=beta1, beta2=beta2, lr=group["lr"], weight_decay=group["weight_decay"])


@formula
def _adamax(param: Any, grad: Any, exp_avg: Any, exp_inf: Any, /, *, step: Any, lr: Any, beta1: Any,
            beta2: Any, eps: Any, weight_decay: Any, maximize: bool) -> tuple:
    if maximize:
        grad = -grad
    if weight_decay is not None:
        grad = add(grad, param, weight_decay)
    exp_avg = exp_avg.lerp(grad, 1 - beta1)
    exp_inf = maximum(exp_inf.mul(beta2), grad.abs().add(eps))
    return addcdiv(param, exp_avg, exp_inf, -(lr / (1 - beta1 ** step))), exp_avg, exp_inf


def _read(group: dict[str, Any]) -> tuple:
    beta1, beta2 = group["betas"]
    return ("exp_avg", "exp_inf"), {
        "lr": group["lr"], "beta1": beta1, "beta2": beta2, "eps": group["eps"],
        "weight_decay": nonzero(group["weight_decay"]), "maximize": group["maximize"], "step": 0.0}


Adamax._recipe = Recipe(_adamax, _read)


def adamax(params: list[Tensor], grads: list[Tensor], exp_avgs: list[Tensor], exp_infs: list[Tensor],
           state_steps: list[Tensor], foreach: bool | None = None, maximize: bool = False,
           differentiable: bool = False, capturable: bool = False, has_complex: bool = False, *, eps: float,
           beta1: float, beta2: float, lr: float, weight_decay: float) -> None:
    """One Adamax step on lists of tensors."""
    check_tensors(state_steps=state_steps)
    check_capturable(capturable, "params and state_steps", params, state_steps)
    steps = advance(state_steps, as_tensors=capturable)
    update(_adamax, (params, grads, exp_avgs, exp_infs), {"step": steps}, lr=to_scalar(lr), beta1=beta1,
           beta2=beta2, eps=eps, weight_decay=nonzero(weight_decay), maximize=maximize)

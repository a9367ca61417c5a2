"""Adadelta: steps scaled by the ratio of running averages of past steps and of gradients."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .blocked import update
from .counters import advance, check_capturable, check_tensors, new_number
from .formula import add, addcmul, formula
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_lr, check_options, nonzero, to_scalar
from .planned import Recipe

__all__ = ["Adadelta", "adadelta"]


class Adadelta(GroupwiseOptimizer):
    """Adadelta: a step in the unit of the parameter, without a learning rate to choose (Zeiler, 2012)."""

    _options_added = (("foreach", None), ("maximize", False), ("differentiable", False),
                      ("capturable", False))
    _number_state = ("step",)

    def __init__(self, params: ParamsT, lr: float | Tensor = 1.0, rho: float = 0.9, eps: float = 1e-6,
                 weight_decay: float = 0, foreach: bool | None = None, *, capturable: bool = False,
                 maximize: bool = False, differentiable: bool = False) -> None:
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_options(eps=eps, weight_decay=weight_decay)
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay,
                                  "maximize": maximize, "capturable": capturable, "foreach": foreach,
                                  "differentiable": differentiable})

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        state["step"] = new_number(group, param)
        state["square_avg"] = ft.zeros_like(param, memory_format=ft.preserve_format)
        state["acc_delta"] = ft.zeros_like(param, memory_format=ft.preserve_format)

    def _update_group(self, group: dict[str, Any]) -> None:
        rows = self._with_grad(group)
        adadelta([param for param, _, _ in rows], [grad for _, grad, _ in rows],
                 [state["square_avg"] for _, _, state in rows], [state["acc_delta"] for _, _, state in rows],
                 [state["step"] for _, _, state in rows], capturable=group["capturable"],
                 foreach=group["foreach"], differentiable=group["differentiable"], lr=group["lr"],
                 rho=group["rho"], eps=group["eps"], weight_decay=group["weight_decay"],
                 maximize=group["maximize"])


@formula
def _adadelta(param: Any, grad: Any, square_avg: Any, acc_delta: Any, /, *, lr: Any, rho: Any, eps: Any,
              weight_decay: Any, maximize: bool) -> tuple:
    if maximize:
        grad = -grad
    if weight_decay is not None:
        grad = add(grad, param, weight_decay)
    square_avg = addcmul(square_avg.mul(rho), grad, grad, 1 - rho)
    delta = acc_delta.add(eps).sqrt().div(square_avg.add(eps).sqrt()).mul(grad)
    acc_delta = addcmul(acc_delta.mul(rho), delta, delta, 1 - rho)
    return add(param, delta, -lr), square_avg, acc_delta


def _read(group: dict[str, Any]) -> tuple:
    return ("square_avg", "acc_delta"), {
        "lr": group["lr"], "rho": group["rho"], "eps": group["eps"],
        "weight_decay": nonzero(group["weight_decay"]), "maximize": group["maximize"]}


Adadelta._recipe = Recipe(_adadelta, _read)


def adadelta(params: list[Tensor], grads: list[Tensor], square_avgs: list[Tensor], acc_deltas: list[Tensor],
             state_steps: list[Tensor], capturable: bool = False, foreach: bool | None = None,
             differentiable: bool = False, has_complex: bool = False, *, lr: float, rho: float, eps: float,
             weight_decay: float, maximize: bool) -> None:
    """One Adadelta step on lists of tensors."""
    check_tensors(state_steps=state_steps)
    check_capturable(capturable, "params and state_steps", params, state_steps)
    advance(state_steps, as_tensors=capturable)
    update(_adadelta, (params, grads, square_avgs, acc_deltas), lr=to_scalar(lr), rho=rho, eps=eps,
           weight_decay=nonzero(weight_decay), maximize=maximize)

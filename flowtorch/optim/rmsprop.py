"""RMSprop: steps divided by the root of a running average of squared gradients."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .blocked import update
from .counters import advance, check_capturable, check_tensors, new_number
from .formula import add, addcdiv, addcmul, formula
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_lr, check_options, nonzero, to_scalar
from .planned import Recipe

__all__ = ["RMSprop", "rmsprop"]


class RMSprop(GroupwiseOptimizer):
    """RMSprop (Hinton, lecture notes); ``centered`` divides by the standard deviation instead (Graves,
    2013)."""

    _options_added = (("momentum", 0), ("centered", False), ("foreach", None), ("maximize", False),
                      ("differentiable", False), ("capturable", False))
    _number_state = ("step",)

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
                 weight_decay: float = 0, momentum: float = 0, centered: bool = False,
                 capturable: bool = False, foreach: bool | None = None, maximize: bool = False,
                 differentiable: bool = False) -> None:
        check_lr(lr)
        check_options(eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(params, {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps,
                                  "centered": centered, "weight_decay": weight_decay,
                                  "capturable": capturable, "foreach": foreach, "maximize": maximize,
                                  "differentiable": differentiable})

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        state["step"] = new_number(group, param)
        kept = {"square_avg": True, "momentum_buffer": group["momentum"] > 0, "grad_avg": group["centered"]}
        for name in filter(kept.get, kept):
            state[name] = ft.zeros_like(param, memory_format=ft.preserve_format)

    def _update_group(self, group: dict[str, Any]) -> None:
        rows = self._with_grad(group)
        states = [state for _, _, state in rows]
        rmsprop([param for param, _, _ in rows], [grad for _, grad, _ in rows],
                [state["square_avg"] for state in states],
                [state["grad_avg"] for state in states] if group["centered"] else [],
                [state["momentum_buffer"] for state in states] if group["momentum"] > 0 else [],
                [state["step"] for state in states], foreach=group["foreach"], maximize=group["maximize"],
                differentiable=group["differentiable"], capturable=group["capturable"], lr=group["lr"],
                alpha=group["alpha"], eps=group["eps"], weight_decay=group["weight_decay"],
                momentum=group["momentum"], centered=group["centered"])


@formula
def _rmsprop(param: Any, grad: Any, square_avg: Any, grad_avg: Any, buf: Any, /, *, lr: Any, alpha: Any,
             eps: Any, weight_decay: Any, momentum: Any, maximize: bool) -> tuple:
    if maximize:
        grad = -grad
    if weight_decay is not None:
        grad = add(grad, param, weight_decay)
    square_avg = variance = addcmul(square_avg.mul(alpha), grad, grad, 1 - alpha)
    if grad_avg is not None:
        grad_avg = grad_avg.lerp(grad, 1 - alpha)
        variance = addcmul(square_avg, grad_avg, grad_avg, -1)
    denom = variance.sqrt().add(eps)
    if buf is not None:
        buf = addcdiv(buf.mul(momentum), grad, denom, 1)
        param = add(param, buf, -lr)
    else:
        param = addcdiv(param, grad, denom, -lr)
    return param, square_avg, grad_avg, buf


def _read(group: dict[str, Any]) -> tuple:
    return ("square_avg", "grad_avg" if group["centered"] else None,
            "momentum_buffer" if group["momentum"] > 0 else None), {
        "lr": group["lr"], "alpha": group["alpha"], "eps": group["eps"],
        "weight_decay": nonzero(group["weight_decay"]), "momentum": group["momentum"],
        "maximize": group["maximize"]}


RMSprop._recipe = Recipe(_rmsprop, _read)


def rmsprop(params: list[Tensor], grads: list[Tensor], square_avgs: list[Tensor], grad_avgs: list[Tensor],
            momentum_buffer_list: list[Tensor], state_steps: list[Tensor], foreach: bool | None = None,
            maximize: bool = False, differentiable: bool = False, capturable: bool = False,
            has_complex: bool = False, *, lr: float, alpha: float, eps: float, weight_decay: float,
            momentum: float, centered: bool) -> None:
    """One RMSprop step on lists of tensors."""
    check_tensors(state_steps=state_steps)
    check_capturable(capturable, "params and state_steps", params, state_steps)
    advance(state_steps, as_tensors=capturable)
    update(_rmsprop, (params, grads, square_avgs, grad_avgs if centered else None,
                      momentum_buffer_list if momentum > 0 else None),
           lr=to_scalar(lr), alpha=alpha, eps=eps, weight_decay=nonzero(weight_decay), momentum=momentum,
           maximize=maximize)

"""RAdam: Adam with a rectified adaptive learning rate."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .blocked import update
from .counters import advance, check_capturable, check_tensors, new_number
from .formula import add, addcmul, formula, where
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_lr, check_options, nonzero, to_scalar

__all__ = ["RAdam", "radam"]


class RAdam(GroupwiseOptimizer):
    """Adam that adapts its steps only once the variance of the adaptive rate is tractable (Liu et al.,
    2019)."""

    _options_added = (("foreach", None), ("maximize", False), ("differentiable", False),
                      ("decoupled_weight_decay", False), ("capturable", False))
    _number_state = ("step",)

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, decoupled_weight_decay: bool = False, *,
                 foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
                 differentiable: bool = False) -> None:
        check_lr(lr)
        check_options(eps=eps)
        check_options(betas=betas)
        check_options(weight_decay=weight_decay)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "maximize": maximize, "foreach": foreach, "capturable": capturable,
                                  "decoupled_weight_decay": decoupled_weight_decay,
                                  "differentiable": differentiable})

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        state["step"] = new_number(group, param)
        state["exp_avg"] = ft.zeros_like(param, memory_format=ft.preserve_format)
        state["exp_avg_sq"] = ft.zeros_like(param, memory_format=ft.preserve_format)

    def _update_group(self, group: dict[str, Any]) -> None:
        rows = self._with_grad(group)
        beta1, beta2 = group["betas"]
        radam([param for param, _, _ in rows], [grad for _, grad, _ in rows],
              [state["exp_avg"] for _, _, state in rows], [state["exp_avg_sq"] for _, _, state in rows],
              [state["step"] for _, _, state in rows], decoupled_weight_decay=group["decoupled_weight_decay"],
              foreach=group["foreach"], differentiable=group["differentiable"],
              capturable=group["capturable"], maximize=group["maximize"], beta1=beta1, beta2=beta2,
              lr=group["lr"], weight_decay=group["weight_decay"], eps=group["eps"])


def _tractability(beta2: Any, step: Any) -> Any:
    """The length of the average that the second moment amounts to after ``step`` steps (rho_t of the
    paper)."""
    return (2 / (1 - beta2) - 1) - 2 * step * (beta2 ** step) / (1 - beta2 ** step)


@formula
def _radam(param: Any, grad: Any, exp_avg: Any, exp_avg_sq: Any, /, *, step: Any, lr: Any, beta1: Any,
           beta2: Any, eps: Any, weight_decay: Any, decoupled: bool, maximize: bool,
           rectified: bool | None) -> tuple:
    if maximize:
        grad = -grad
    if weight_decay is not None:
        if decoupled:
            param = param.mul(1 - lr * weight_decay)
        else:
            grad = add(grad, param, weight_decay)
    exp_avg = exp_avg.lerp(grad, 1 - beta1)
    exp_avg_sq = addcmul(exp_avg_sq.mul(beta2), grad, grad, 1 - beta2)
    step_size = exp_avg.div(1 - beta1 ** step).mul(lr)
    if rectified is not False:
        rho_inf, rho = 2 / (1 - beta2) - 1, _tractability(beta2, step)
        rect = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
        adaptive = (1 - beta2 ** step) ** 0.5 / exp_avg_sq.sqrt().add(eps)
        # A captured step cannot branch on its count.
        step_size = step_size.mul(adaptive).mul(rect) if rectified else step_size.mul(where(rho > 5.0,
                                                                                            adaptive * rect,
                                                                                            1.0))
    return param.sub(step_size), exp_avg, exp_avg_sq


def radam(params: list[Tensor], grads: list[Tensor], exp_avgs: list[Tensor], exp_avg_sqs: list[Tensor],
          state_steps: list[Tensor], decoupled_weight_decay: bool = False, foreach: bool | None = None,
          differentiable: bool = False, capturable: bool = False, has_complex: bool = False,
          maximize: bool = False, *, beta1: float, beta2: float, lr: float, weight_decay: float,
          eps: float) -> None:
    """One RAdam step on lists of tensors."""
    check_tensors(state_steps=state_steps)
    check_capturable(capturable, "params and state_steps", params, state_steps)
    steps = advance(state_steps, as_tensors=capturable)
    rectified = [None if capturable else _tractability(beta2, step) > 5.0 for step in steps]
    update(_radam, (params, grads, exp_avgs, exp_avg_sqs), {"step": steps, "rectified": rectified},
           lr=to_scalar(lr), beta1=beta1, beta2=beta2, eps=eps, weight_decay=nonzero(weight_decay),
           decoupled=decoupled_weight_decay, maximize=maximize)

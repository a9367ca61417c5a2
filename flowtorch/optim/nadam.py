"""NAdam: Adam with Nesterov momentum."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .blocked import update
from .counters import advance, check_capturable, check_tensors, new_number
from .formula import add, addcdiv, addcmul, formula
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_lr, check_options, nonzero, to_scalar

__all__ = ["NAdam", "nadam"]


class NAdam(GroupwiseOptimizer):
    """Adam with Nesterov momentum that warms up (Dozat, 2016); ``decoupled_weight_decay`` as in AdamW."""

    _options_added = (("maximize", False), ("foreach", None), ("capturable", False),
                      ("differentiable", False), ("decoupled_weight_decay", False))
    _number_state = ("step", "mu_product")

    def __init__(self, params: ParamsT, lr: float | Tensor = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, momentum_decay: float = 4e-3,
                 decoupled_weight_decay: bool = False, *, foreach: bool | None = None, maximize: bool = False,
                 capturable: bool = False, differentiable: bool = False) -> None:
        check_lr(lr)
        check_options(eps=eps)
        check_options(betas=betas)
        check_options(weight_decay=weight_decay, momentum_decay=momentum_decay)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "momentum_decay": momentum_decay,
                                  "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
                                  "foreach": foreach, "capturable": capturable,
                                  "differentiable": differentiable})

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        state["step"] = new_number(group, param)
        state["mu_product"] = new_number(group, param, 1.0)
        state["exp_avg"] = ft.zeros_like(param, memory_format=ft.preserve_format)
        state["exp_avg_sq"] = ft.zeros_like(param, memory_format=ft.preserve_format)

    def _update_group(self, group: dict[str, Any]) -> None:
        rows = self._with_grad(group)
        beta1, beta2 = group["betas"]
        nadam([param for param, _, _ in rows], [grad for _, grad, _ in rows],
              [state["exp_avg"] for _, _, state in rows], [state["exp_avg_sq"] for _, _, state in rows],
              [state["mu_product"] for _, _, state in rows], [state["step"] for _, _, state in rows],
              decoupled_weight_decay=group["decoupled_weight_decay"], foreach=group["foreach"],
              capturable=group["capturable"], differentiable=group["differentiable"],
              maximize=group["maximize"], beta1=beta1, beta2=beta2, lr=group["lr"],
              weight_decay=group["weight_decay"], momentum_decay=group["momentum_decay"], eps=group["eps"])


def _momentum(beta1: Any, step: Any, momentum_decay: Any) -> Any:
    """The momentum of a step; it rises to ``beta1``."""
    return beta1 * (1.0 - 0.5 * 0.96 ** (step * momentum_decay))


@formula
def _nadam(param: Any, grad: Any, exp_avg: Any, exp_avg_sq: Any, /, *, step: Any, mu_product: Any, lr: Any,
           beta1: Any, beta2: Any, eps: Any, weight_decay: Any, momentum_decay: Any, decoupled: bool,
           maximize: bool) -> tuple:
    if maximize:
        grad = -grad
    if weight_decay is not None:
        if decoupled:
            param = param.mul(1 - lr * weight_decay)
        else:
            grad = add(grad, param, weight_decay)
    exp_avg = exp_avg.lerp(grad, 1 - beta1)
    exp_avg_sq = addcmul(exp_avg_sq.mul(beta2), grad, grad, 1 - beta2)
    denom = exp_avg_sq.div(1 - beta2 ** step).sqrt().add(eps)
    mu, mu_next = _momentum(beta1, step, momentum_decay), _momentum(beta1, step + 1, momentum_decay)
    param = addcdiv(param, grad, denom, -lr * (1.0 - mu) / (1.0 - mu_product))
    param = addcdiv(param, exp_avg, denom, -lr * mu_next / (1.0 - mu_product * mu_next))
    return param, exp_avg, exp_avg_sq


def nadam(params: list[Tensor], grads: list[Tensor], exp_avgs: list[Tensor], exp_avg_sqs: list[Tensor],
          mu_products: list[Tensor], state_steps: list[Tensor], decoupled_weight_decay: bool = False,
          foreach: bool | None = None, capturable: bool = False, differentiable: bool = False,
          has_complex: bool = False, maximize: bool = False, *, beta1: float, beta2: float, lr: float,
          weight_decay: float, momentum_decay: float, eps: float) -> None:
    """One NAdam step on lists of tensors."""
    check_tensors(state_steps=state_steps, mu_products=mu_products)
    check_capturable(capturable, "params, mu_products and state_steps", params, mu_products, state_steps)
    steps = advance(state_steps, as_tensors=capturable)
    for step, mu_product in zip(steps, mu_products, strict=True):
        mu_product.mul_(_momentum(beta1, step, momentum_decay))
    as_tensors = capturable or differentiable
    update(_nadam, (params, grads, exp_avgs, exp_avg_sqs),
           {"step": steps, "mu_product": [p.clone() if as_tensors else p.item() for p in mu_products]},
           lr=to_scalar(lr), beta1=beta1, beta2=beta2, eps=eps, weight_decay=nonzero(weight_decay),
           momentum_decay=momentum_decay, decoupled=decoupled_weight_decay, maximize=maximize)

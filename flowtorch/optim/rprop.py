"""Rprop: steps that know only the sign of the gradient."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .blocked import update
from .counters import advance, check_capturable, check_tensors, new_number
from .formula import addcmul, formula, where
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_lr, to_scalar
from .planned import Recipe

__all__ = ["Rprop", "rprop"]


class Rprop(GroupwiseOptimizer):
    """Resilient backpropagation: a step size per element that grows while the gradient keeps its sign
    (Riedmiller and Braun, 1993). ``etas`` are the factors for shrinking and growing, ``step_sizes`` the
    limits."""

    _options_added = (("foreach", None), ("maximize", False), ("differentiable", False),
                      ("capturable", False))
    _number_state = ("step",)

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
                 step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False,
                 foreach: bool | None = None, maximize: bool = False, differentiable: bool = False) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach,
                                  "maximize": maximize, "differentiable": differentiable,
                                  "capturable": capturable})

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        lr = to_scalar(group["lr"])
        state["step"] = new_number(group, param)
        state["prev"] = ft.zeros_like(param, memory_format=ft.preserve_format)
        state["step_size"] = ft.full_like(param.grad, complex(lr, lr) if param.is_complex() else lr)

    def _update_group(self, group: dict[str, Any]) -> None:
        rows = self._with_grad(group)
        etaminus, etaplus = group["etas"]
        low, high = group["step_sizes"]
        rprop([param for param, _, _ in rows], [grad for _, grad, _ in rows],
              [state["prev"] for _, _, state in rows], [state["step_size"] for _, _, state in rows],
              [state["step"] for _, _, state in rows], foreach=group["foreach"],
              capturable=group["capturable"], maximize=group["maximize"],
              differentiable=group["differentiable"], step_size_min=low, step_size_max=high,
              etaminus=etaminus, etaplus=etaplus)


@formula
def _rprop(param: Any, grad: Any, prev: Any, step_size: Any, /, *, low: Any, high: Any, etaminus: Any,
           etaplus: Any, maximize: bool) -> tuple:
    if maximize:
        grad = -grad
    agreement = grad.mul(prev)
    shrunk = where(agreement < 0, step_size.mul(etaminus), step_size)
    step_size = where(agreement > 0, step_size.mul(etaplus), shrunk).clamp(low, high)
    grad = where(agreement < 0, 0.0, grad)
    return addcmul(param, grad.sign(), step_size, -1), grad, step_size


def _read(group: dict[str, Any]) -> tuple:
    (shrink, grow), (low, high) = group["etas"], group["step_sizes"]
    return ("prev", "step_size"), {"low": low, "high": high, "etaminus": shrink, "etaplus": grow,
                                   "maximize": group["maximize"]}


Rprop._recipe = Recipe(_rprop, _read)


def rprop(params: list[Tensor], grads: list[Tensor], prevs: list[Tensor], step_sizes: list[Tensor],
          state_steps: list[Tensor], foreach: bool | None = None, capturable: bool = False,
          maximize: bool = False, differentiable: bool = False, has_complex: bool = False, *,
          step_size_min: float, step_size_max: float, etaminus: float, etaplus: float) -> None:
    """One Rprop step on lists of tensors."""
    check_tensors(state_steps=state_steps)
    check_capturable(capturable, "params and state_steps", params, state_steps)
    advance(state_steps, as_tensors=capturable)
    update(_rprop, (params, grads, prevs, step_sizes), low=step_size_min, high=step_size_max,
           etaminus=etaminus, etaplus=etaplus, maximize=maximize)

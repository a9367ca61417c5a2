"""ASGD: averaged stochastic gradient descent."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .blocked import update
from .counters import advance, check_capturable, number_dtype, read, store
from .formula import add, formula
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_lr, check_options, nonzero, to_scalar

__all__ = ["ASGD", "asgd"]


class ASGD(GroupwiseOptimizer):
    """Averaged stochastic gradient descent; the average is kept in the state as ``ax`` (Polyak and Juditsky,
    1992)."""

    _options_added = (("foreach", None), ("maximize", False), ("differentiable", False),
                      ("capturable", False))
    _number_state = ("step", "eta", "mu")

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-2, lambd: float = 1e-4, alpha: float = 0.75,
                 t0: float = 1e6, weight_decay: float = 0, foreach: bool | None = None,
                 maximize: bool = False, differentiable: bool = False, capturable: bool = False) -> None:
        check_lr(lr)
        check_options(weight_decay=weight_decay)
        super().__init__(params, {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0,
                                  "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
                                  "differentiable": differentiable, "capturable": capturable})

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        at = {"dtype": number_dtype(), "device": param.device}
        state["step"] = ft.zeros((), **at)
        state["eta"] = ft.as_tensor(to_scalar(group["lr"]), **at).clone().detach()
        state["mu"] = ft.ones((), **at)
        state["ax"] = ft.zeros_like(param, memory_format=ft.preserve_format)

    def _update_group(self, group: dict[str, Any]) -> None:
        rows = self._with_grad(group)
        asgd([param for param, _, _ in rows], [grad for _, grad, _ in rows],
             [state["ax"] for _, _, state in rows], [state["mu"] for _, _, state in rows],
             [state["eta"] for _, _, state in rows], [state["step"] for _, _, state in rows],
             foreach=group["foreach"], maximize=group["maximize"], differentiable=group["differentiable"],
             capturable=group["capturable"], lambd=group["lambd"], lr=group["lr"], t0=group["t0"],
             alpha=group["alpha"], weight_decay=group["weight_decay"])


@formula
def _asgd(param: Any, grad: Any, average: Any, /, *, eta: Any, mu: Any, lambd: Any, weight_decay: Any,
          maximize: bool) -> tuple:
    if maximize:
        grad = -grad
    if weight_decay is not None:
        grad = add(grad, param, weight_decay)
    param = add(param.mul(1 - lambd * eta), grad, -eta)
    average = param if mu is None else average.add(param.sub(average).mul(mu))
    return param, average


def asgd(params: list[Tensor], grads: list[Tensor], axs: list[Tensor], mus: list[Tensor], etas: list[Tensor],
         state_steps: list[Tensor], foreach: bool | None = None, maximize: bool = False,
         differentiable: bool = False, capturable: bool = False, has_complex: bool = False, *, lambd: float,
         lr: float, t0: float, alpha: float, weight_decay: float) -> None:
    """One ASGD step on lists of tensors."""
    check_capturable(capturable, "params, mus, etas, and state_steps", params, mus, etas, state_steps)
    lr = to_scalar(lr)
    steps = advance(state_steps, as_tensors=capturable)
    used = etas if capturable else read(etas), mus if capturable else [None if mu == 1 else mu for mu in read(mus)]
    update(_asgd, (params, grads, axs), dict(zip(("eta", "mu"), used, strict=True)),
           lambd=lambd, weight_decay=nonzero(weight_decay), maximize=maximize)
    store(etas, [lr / (1 + lambd * lr * step) ** alpha for step in steps])
    store(mus, [1 / ((step - t0).clamp(min=1) if capturable else max(1, step - t0)) for step in steps])

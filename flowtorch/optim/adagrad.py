"""Adagrad: steps divided by the root of the sum of squared gradients."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .blocked import update
from .counters import advance, check_tensors, new_number, on_device
from .formula import add, addcdiv, addcmul, formula
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_fused, check_fused_param, check_lr, check_options, nonzero, to_scalar, unscale
from .planned import Recipe

__all__ = ["Adagrad", "adagrad"]


class Adagrad(GroupwiseOptimizer):
    """Adagrad: a learning rate per element that falls with the gradients it has seen (Duchi et al., 2011)."""

    _options_added = (("foreach", None), ("maximize", False), ("differentiable", False), ("fused", None))
    _number_state = ("step",)

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-2, lr_decay: float = 0,
                 weight_decay: float = 0, initial_accumulator_value: float = 0, eps: float = 1e-10,
                 foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False,
                 fused: bool | None = None) -> None:
        check_lr(lr)
        check_options(lr_decay=lr_decay, weight_decay=weight_decay,
                      initial_accumulator_value=initial_accumulator_value, eps=eps)
        super().__init__(params, {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
                                  "initial_accumulator_value": initial_accumulator_value, "foreach": foreach,
                                  "maximize": maximize, "differentiable": differentiable, "fused": fused})
        check_fused(self, fused, foreach, differentiable)
        for group in self.param_groups:
            for param in group["params"]:
                self._init_state(group, param, self.state[param])

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        if group["fused"]:
            check_fused_param(param)
        start = self.defaults["initial_accumulator_value"]
        state["step"] = new_number(group, param)
        state["sum"] = ft.full_like(param, complex(start, start) if param.is_complex() else start,
                                    memory_format=ft.preserve_format)

    def share_memory(self) -> None:
        """Move the sums to shared memory."""
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["sum"].share_memory_()

    def _update_group(self, group: dict[str, Any]) -> None:
        rows = self._with_grad(group, sparse=True)
        grads = [grad for _, grad, _ in rows]
        adagrad([param for param, _, _ in rows], grads, [state["sum"] for _, _, state in rows],
                [state["step"] for _, _, state in rows], fused=group["fused"],
                grad_scale=getattr(self, "grad_scale", None), found_inf=getattr(self, "found_inf", None),
                has_sparse_grad=any(grad.is_sparse for grad in grads), foreach=group["foreach"],
                differentiable=group["differentiable"], lr=group["lr"], weight_decay=group["weight_decay"],
                lr_decay=group["lr_decay"], eps=group["eps"], maximize=group["maximize"])


@formula
def _adagrad(param: Any, grad: Any, total: Any, /, *, step: Any, lr: Any, lr_decay: Any, eps: Any,
             weight_decay: Any, maximize: bool) -> tuple:
    if maximize:
        grad = -grad
    if weight_decay is not None:
        grad = add(grad, param, weight_decay)
    rate = lr / (1 + (step - 1) * lr_decay)
    total = addcmul(total, grad, grad, 1)
    return addcdiv(param, grad, total.sqrt().add(eps), -rate), total


def _read(group: dict[str, Any]) -> tuple:
    return ("sum",), {
        "lr": group["lr"], "lr_decay": group["lr_decay"], "eps": group["eps"],
        "weight_decay": nonzero(group["weight_decay"]), "maximize": group["maximize"], "step": 0.0}


Adagrad._recipe = Recipe(_adagrad, _read)


def adagrad(params: list[Tensor], grads: list[Tensor], state_sums: list[Tensor], state_steps: list[Tensor],
            fused: bool | None = None, grad_scale: Tensor | None = None, found_inf: Tensor | None = None,
            has_sparse_grad: bool = False, foreach: bool | None = None, differentiable: bool = False,
            has_complex: bool = False, *, lr: float, weight_decay: float, lr_decay: float, eps: float,
            maximize: bool) -> None:
    """One Adagrad step on lists of tensors."""
    check_tensors(state_steps=state_steps)
    if fused:
        if has_sparse_grad:
            raise RuntimeError("`fused` does not support sparse grad")
        if not unscale(grads, grad_scale, found_inf):
            return
    steps = advance(state_steps, as_tensors=on_device(state_steps))
    numbers = {"lr": to_scalar(lr), "lr_decay": lr_decay, "eps": eps, "weight_decay": nonzero(weight_decay),
               "maximize": maximize}
    dense = [i for i, grad in enumerate(grads) if not grad.is_sparse]
    if len(dense) < len(grads):
        for i, grad in enumerate(grads):
            if grad.is_sparse:
                _sparse_step(params[i], grad, state_sums[i], steps[i], **numbers)
        params, grads, state_sums, steps = ([column[i] for i in dense]
                                            for column in (params, grads, state_sums, steps))
    update(_adagrad, (params, grads, state_sums), {"step": steps}, upcast=bool(fused), **numbers)


def _sparse_step(param: Tensor, grad: Tensor, total: Tensor, step: float, lr: Any, lr_decay: float,
                 eps: float, weight_decay: Any, maximize: bool) -> None:
    """One parameter with a sparse gradient: only its given elements are read and written."""
    if weight_decay is not None:
        raise RuntimeError("weight_decay option is not compatible with sparse gradients")
    grad = (-grad if maximize else grad).coalesce()
    where = tuple(grad._indices())
    values = grad._values()
    sums = total[where] + values.pow(2)
    total[where] = sums
    param[where] -= lr / (1 + (step - 1) * lr_decay) * (values / (sums.sqrt() + eps))

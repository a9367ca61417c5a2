"""SGD: stochastic gradient descent, with momentum, Nesterov momentum and weight decay."""
from __future__ import annotations

import operator
from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .blocked import update
from .formula import add, formula
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_fused, check_fused_param, check_one_element, nonzero, to_scalar, unscale
from .planned import Recipe

__all__ = ["SGD", "sgd"]


_is_sparse = operator.attrgetter("is_sparse")


class SGD(GroupwiseOptimizer):
    """Stochastic gradient descent, optionally with momentum.

    With momentum the buffer is ``buf = momentum * buf + (1 - dampening) * grad``, started with the first
    gradient, and the step is ``lr * buf`` (Sutskever et al., 2013, in the form without the learning rate
    inside the buffer).
    """

    _options_added = (("nesterov", False), ("maximize", False), ("foreach", None), ("differentiable", False),
                      ("fused", False))

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-3, momentum: float = 0, dampening: float = 0,
                 weight_decay: float | Tensor = 0, nesterov: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, differentiable: bool = False,
                 fused: bool | None = None) -> None:
        check_one_element(lr)
        for name, value in {"learning rate": lr, "momentum value": momentum,
                            "weight_decay value": weight_decay}.items():
            if value < 0.0:
                raise ValueError(f"Invalid {name}: {value}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening,
                                  "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize,
                                  "foreach": foreach, "differentiable": differentiable, "fused": fused})
        check_fused(self, fused, foreach, differentiable)

    def _update_group(self, group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        params, grads, bufs = [], [], []
        for param in group["params"]:
            grad = param.grad
            if grad is not None:
                params.append(param)
                grads.append(grad)
                if momentum != 0:
                    bufs.append(self.state[param].get("momentum_buffer"))
        if group["fused"]:
            for param in params:
                check_fused_param(param)
        sgd(params, grads, bufs, has_sparse_grad=any(map(_is_sparse, grads)), foreach=group["foreach"],
            fused=group["fused"], grad_scale=getattr(self, "grad_scale", None),
            found_inf=getattr(self, "found_inf", None), weight_decay=group["weight_decay"], momentum=momentum,
            lr=group["lr"], dampening=group["dampening"], nesterov=group["nesterov"],
            maximize=group["maximize"])
        for param, buf in zip(params, bufs, strict=False):
            self.state[param]["momentum_buffer"] = buf


@formula
def _sgd(param: Any, grad: Any, buf: Any, /, *, lr: Any, momentum: Any, dampening: Any, weight_decay: Any,
         nesterov: bool, maximize: bool, first: bool) -> tuple:
    if maximize:
        grad = -grad
    if weight_decay is not None:
        grad = add(grad, param, weight_decay)
    if momentum is not None:
        if first:
            buf = grad.detach()
        elif dampening is None:
            buf = buf.mul(momentum).add(grad)
        else:
            buf = add(buf.mul(momentum), grad, 1 - dampening)
        grad = add(grad, buf, momentum) if nesterov else buf
    return add(param, grad, -lr), buf


def _read(group: dict[str, Any]) -> tuple:
    momentum = group["momentum"]
    return ("momentum_buffer" if momentum != 0 else None,), {
        "lr": group["lr"], "momentum": nonzero(momentum), "dampening": nonzero(group["dampening"]),
        "weight_decay": nonzero(group["weight_decay"]), "nesterov": group["nesterov"],
        "maximize": group["maximize"], "first": False}


SGD._recipe = Recipe(_sgd, _read, count=None)


def sgd(params: list[Tensor], d_p_list: list[Tensor], momentum_buffer_list: list[Tensor | None],
        has_sparse_grad: bool = False, foreach: bool | None = None, fused: bool | None = None,
        grad_scale: Tensor | None = None, found_inf: Tensor | None = None, *, weight_decay: float,
        momentum: float, lr: float, dampening: float, nesterov: bool, maximize: bool) -> None:
    """One SGD step on lists of tensors; missing momentum buffers are made in ``momentum_buffer_list``."""
    if fused:
        if has_sparse_grad:
            raise RuntimeError("`_fused_sgd` does not support sparse gradients")
        if not unscale(d_p_list, grad_scale, found_inf):
            return
    numbers = {"lr": to_scalar(lr), "momentum": nonzero(momentum), "dampening": nonzero(dampening),
               "weight_decay": nonzero(weight_decay), "nesterov": nesterov, "maximize": maximize}
    if has_sparse_grad:
        for i, grad in enumerate(d_p_list):
            if grad.is_sparse:
                buf = momentum_buffer_list[i] if momentum != 0 else None
                buf = _sparse_step(params[i], grad, buf, **numbers)
                if momentum != 0:
                    momentum_buffer_list[i] = buf
        dense = [i for i, grad in enumerate(d_p_list) if not grad.is_sparse]
        params, d_p_list = [params[i] for i in dense], [d_p_list[i] for i in dense]
    else:
        dense = list(range(len(params)))
    if momentum == 0:
        update(_sgd, (params, d_p_list, None), upcast=bool(fused), first=False, **numbers)
        return
    fresh = [momentum_buffer_list[i] is None for i in dense]
    for i, grad, new in zip(dense, d_p_list, fresh, strict=True):
        if new:
            momentum_buffer_list[i] = ft.empty_like(grad.detach())
    bufs = [momentum_buffer_list[i] for i in dense]
    update(_sgd, (params, d_p_list, bufs), {"first": fresh}, upcast=bool(fused), **numbers)


def _sparse_step(param: Tensor, grad: Tensor, buf: Tensor | None, lr: Any, momentum: Any, dampening: Any,
                 weight_decay: Any, nesterov: bool, maximize: bool) -> Tensor | None:
    """One parameter with a sparse gradient, of which only the given elements are read."""
    if maximize:
        grad = -grad
    if weight_decay is not None:
        grad = grad.add(param, alpha=weight_decay)
    if momentum is not None:
        if buf is None:
            buf = grad.detach().clone()
        else:
            buf.mul_(momentum).add_(grad, alpha=1 - (dampening or 0))
        grad = grad.add(buf, alpha=momentum) if nesterov else buf
    param.add_(grad, alpha=-lr)
    return buf

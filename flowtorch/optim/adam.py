"""Adam, with AMSGrad and with decoupled weight decay."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .blocked import update
from .counters import advance, check_capturable, check_tensors, new_number, on_device
from .formula import add, addcdiv, addcmul, formula, maximum
from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_fused, check_fused_param, check_lr, check_options, nonzero, to_scalar, unscale
from .planned import Recipe

__all__ = ["Adam", "adam"]


class Adam(GroupwiseOptimizer):
    """Adam: steps scaled by running averages of the gradient and of its square (Kingma and Ba, 2014).

    ``amsgrad`` divides by the largest average so far (Reddi et al., 2018). ``decoupled_weight_decay`` shrinks
    the parameters instead of adding to the gradient, which makes it AdamW.

    >>> x = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = torch.optim.Adam([x], lr=0.1)
    >>> (x ** 2).sum().backward()
    >>> optimizer.step()
    >>> x.data
    tensor([0.9000])
    """

    _options_added = (("amsgrad", False), ("maximize", False), ("foreach", None), ("capturable", False),
                      ("differentiable", False), ("decoupled_weight_decay", False), ("fused", None))
    _number_state = ("step",)

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-3,
                 betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None, decoupled_weight_decay: bool = False) -> None:
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        check_lr(lr)
        check_options(eps=eps)
        check_options(betas=betas)
        check_options(weight_decay=weight_decay)
        _check_kinds_of_betas(betas, capturable, foreach)
        super().__init__(params, {
            "lr": lr, "betas": tuple(map(to_scalar, betas)), "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay})
        check_fused(self, fused, foreach, differentiable)

    def _no_sparse_message(self) -> str:
        return "Adam does not support sparse gradients, please consider SparseAdam instead"

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        if group["fused"]:
            check_fused_param(param)
        state["step"] = new_number(group, param)
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        for name in names:
            state[name] = ft.zeros_like(param, memory_format=ft.preserve_format)

    def _update_group(self, group: dict[str, Any]) -> None:
        rows = self._with_grad(group)
        states = [state for _, _, state in rows]
        steps = [state["step"] for state in states]
        if group["differentiable"] and any(step.requires_grad for step in steps):
            raise RuntimeError("`requires_grad` is not supported for `step` in differentiable mode")
        if group["foreach"] and isinstance(group["lr"], Tensor) and not group["capturable"]:
            raise RuntimeError("lr as a Tensor is not supported for capturable=False and foreach=True")
        beta1, beta2 = group["betas"]
        adam([param for param, _, _ in rows], [grad for _, grad, _ in rows],
             [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states],
             [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else [], steps,
             foreach=group["foreach"], capturable=group["capturable"], differentiable=group["differentiable"],
             fused=group["fused"], grad_scale=getattr(self, "grad_scale", None),
             found_inf=getattr(self, "found_inf", None),
             decoupled_weight_decay=group["decoupled_weight_decay"], amsgrad=group["amsgrad"], beta1=beta1,
             beta2=beta2, lr=group["lr"], weight_decay=group["weight_decay"], eps=group["eps"],
             maximize=group["maximize"])


def _check_kinds_of_betas(betas: Any, capturable: bool, foreach: bool | None) -> None:
    if not any(all(isinstance(beta, kind) for beta in betas) for kind in (float, Tensor)):
        raise ValueError("betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas):
        if isinstance(beta, Tensor):
            if not capturable and foreach:
                raise ValueError(f"betas[{i}] as a Tensor is not supported for capturable=False and "
                                 "foreach=True")
            if beta.numel() != 1:
                raise ValueError(f"Tensor betas[{i}] must be 1-element")


@formula
def _adam(param: Any, grad: Any, exp_avg: Any, exp_avg_sq: Any, max_exp_avg_sq: Any, /, *, step: Any, lr: Any,
          beta1: Any, beta2: Any, eps: Any, weight_decay: Any, decoupled: bool, maximize: bool) -> tuple:
    if maximize:
        grad = -grad
    if weight_decay is not None:
        if decoupled:
            param = param.mul(1 - lr * weight_decay)
        else:
            grad = add(grad, param, weight_decay)
    exp_avg = exp_avg.lerp(grad, 1 - beta1)
    exp_avg_sq = addcmul(exp_avg_sq.mul(beta2), grad, grad, 1 - beta2)
    largest = exp_avg_sq
    if max_exp_avg_sq is not None:
        largest = max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)
    correction = (1 - beta2 ** step) ** 0.5      # a factor of the square root, and so of the whole quotient
    step_size = lr / (1 - beta1 ** step) * correction
    return (addcdiv(param, exp_avg, largest.sqrt().add(eps * correction), -step_size), exp_avg, exp_avg_sq,
            max_exp_avg_sq)


def _read(group: dict[str, Any]) -> tuple:
    beta1, beta2 = group["betas"]
    return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq" if group["amsgrad"] else None), {
        "lr": group["lr"], "beta1": beta1, "beta2": beta2, "eps": group["eps"],
        "weight_decay": nonzero(group["weight_decay"]), "decoupled": group["decoupled_weight_decay"],
        "maximize": group["maximize"], "step": 0.0}


Adam._recipe = Recipe(_adam, _read)


def adam(params: list[Tensor], grads: list[Tensor], exp_avgs: list[Tensor], exp_avg_sqs: list[Tensor],
         max_exp_avg_sqs: list[Tensor], state_steps: list[Tensor], foreach: bool | None = None,
         capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
         grad_scale: Tensor | None = None, found_inf: Tensor | None = None, has_complex: bool = False,
         decoupled_weight_decay: bool = False, *, amsgrad: bool, beta1: float | Tensor, beta2: float | Tensor,
         lr: float | Tensor, weight_decay: float, eps: float, maximize: bool) -> None:
    """One Adam step on lists of tensors."""
    check_tensors(state_steps=state_steps)
    check_capturable(capturable, "params and state_steps", params, state_steps)
    if fused and not unscale(grads, grad_scale, found_inf):
        return
    steps = advance(state_steps, as_tensors=capturable or differentiable or on_device(state_steps))
    update(_adam, (params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs if amsgrad else None),
           {"step": steps}, upcast=bool(fused), lr=to_scalar(lr), beta1=to_scalar(beta1),
           beta2=to_scalar(beta2), eps=eps, weight_decay=nonzero(weight_decay),
           decoupled=decoupled_weight_decay, maximize=maximize)

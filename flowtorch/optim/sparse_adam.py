"""SparseAdam: Adam for sparse gradients, which touches only the elements that have one."""
from __future__ import annotations

import math
from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from .optimizer import GroupwiseOptimizer, ParamsT
from .options import check_one_element, check_options, to_scalar

__all__ = ["SparseAdam", "sparse_adam"]


class SparseAdam(GroupwiseOptimizer):
    """Adam in which elements without a gradient keep their value and their averages."""

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, maximize: bool = False) -> None:
        check_one_element(lr)
        for name, value in {"learning rate": lr, "epsilon value": eps}.items():
            if not value > 0.0:
                raise ValueError(f"Invalid {name}: {value}")
        check_options(betas=betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        self._refuse("Sparse", "requires dense parameter tensors", lambda param: param.is_sparse)
        self._refuse("Complex", "does not support complex parameters", lambda param: param.is_complex())

    def _refuse(self, kind: str, why: str, test: Any) -> None:
        found = [[i, k] for i, group in enumerate(self.param_groups)
                 for k, param in enumerate(group["params"]) if test(param)]
        if found:
            raise ValueError(f"{kind} params at indices {found}: SparseAdam {why}")

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        state["step"] = 0
        state["exp_avg"] = ft.zeros_like(param, memory_format=ft.preserve_format)
        state["exp_avg_sq"] = ft.zeros_like(param, memory_format=ft.preserve_format)

    def _update_group(self, group: dict[str, Any]) -> None:
        if any(param.grad is not None and not param.grad.is_sparse for param in group["params"]):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        rows = self._with_grad(group, sparse=True)
        for _, _, state in rows:
            state["step"] += 1
        beta1, beta2 = group["betas"]
        sparse_adam([param for param, _, _ in rows], [grad for _, grad, _ in rows],
                    [state["exp_avg"] for _, _, state in rows], [state["exp_avg_sq"] for _, _, state in rows],
                    [state["step"] for _, _, state in rows], eps=group["eps"], beta1=beta1, beta2=beta2,
                    lr=to_scalar(group["lr"]), maximize=group.get("maximize", False))


def sparse_adam(params: list[Tensor], grads: list[Tensor], exp_avgs: list[Tensor], exp_avg_sqs: list[Tensor],
                state_steps: list[int], *, eps: float, beta1: float, beta2: float, lr: float,
                maximize: bool) -> None:
    """One SparseAdam step on lists of tensors."""
    for param, grad, exp_avg, exp_avg_sq, step in zip(params, grads, exp_avgs, exp_avg_sqs, state_steps,
                                                      strict=True):
        grad = (-grad if maximize else grad).coalesce()
        values = grad._values()
        if values.numel() == 0:
            continue
        at = tuple(grad._indices())
        mean, square = exp_avg[at], exp_avg_sq[at]
        mean = mean + (values - mean) * (1 - beta1)
        square = square + (values.pow(2) - square) * (1 - beta2)
        exp_avg[at], exp_avg_sq[at] = mean, square
        step_size = lr * math.sqrt(1 - beta2 ** step) / (1 - beta1 ** step)
        param[at] = param[at] + -step_size * (mean / (square.sqrt() + eps))

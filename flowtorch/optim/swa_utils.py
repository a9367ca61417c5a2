"""Averages of a model's weights over training, and a schedule to go with them."""
from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import flowtorch as ft
from flowtorch.autograd.mode import no_grad
from flowtorch.nn.batchnorm import _BatchNorm
from flowtorch.nn.module import Module
from flowtorch.tensor import Tensor

from .blocked import update
from .formula import formula
from .lr_scheduler import LRScheduler
from .lr_scheduler.base import per_group

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

PARAM_LIST = tuple[Tensor, ...] | list[Tensor]


@formula
def _lerp(average: Any, current: Any, /, *, weight: Any) -> tuple:
    return (average.lerp(current, weight),)


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """The exponential moving average of lists of parameters: ``decay * ema + (1 - decay) * current``, in
    place."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param_list: PARAM_LIST, current_param_list: PARAM_LIST, _: Any) -> None:
        if _has_fractions(ema_param_list[0]):
            update(_lerp, (ema_param_list, current_param_list), weight=1 - decay)
        else:
            for ema, current in zip(ema_param_list, current_param_list, strict=True):
                ema.copy_(ema * decay + current * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable:
    """The equal average of lists of parameters over all updates, in place."""
    @no_grad()
    def swa_update(averaged_param_list: PARAM_LIST, current_param_list: PARAM_LIST,
                   num_averaged: Any) -> None:
        if _has_fractions(averaged_param_list[0]):
            update(_lerp, (averaged_param_list, current_param_list), weight=float(1 / (num_averaged + 1)))
        else:
            for averaged, current in zip(averaged_param_list, current_param_list, strict=True):
                averaged.copy_(averaged + (current - averaged) / (num_averaged + 1))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """The exponential moving average of one parameter."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return decay * ema_param + (1 - decay) * current_param  # type: ignore[return-value]

    return ema_update


def get_swa_avg_fn() -> Callable:
    """The equal average of one parameter over all updates."""
    @no_grad()
    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _has_fractions(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's, taken at each ``update_parameters``.

    The default is the equal average of stochastic weight averaging (Izmailov et al., 2018). ``avg_fn``
    computes another for one parameter, ``multi_avg_fn`` for lists of them; ``use_buffers`` averages the
    buffers too, which are copied otherwise.
    """

    n_averaged: Tensor

    def __init__(self, model: Module, device: Any = None, avg_fn: Callable | None = None,
                 multi_avg_fn: Callable | None = None, use_buffers: bool = False) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", ft.tensor(0, dtype=ft.long, device=device))  # type: ignore[operator]
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of ``model`` into the average."""
        averaged, current = self._pairs(model)
        if self.n_averaged == 0:
            for mean, param in zip(averaged, current, strict=True):
                mean.copy_(param)
        elif self.avg_fn is not None:
            for mean, param in zip(averaged, current, strict=True):
                mean.copy_(self.avg_fn(mean, param, self.n_averaged.to(mean.device)))
        else:
            self._average_lists(averaged, current)
        if not self.use_buffers:
            for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.detach().copy_(theirs.detach().to(mine.device))
        self.n_averaged += 1  # type: ignore[assignment]

    def _pairs(self, model: Module) -> tuple[list[Tensor], list[Tensor]]:
        def tensors(module: Module, own: Module) -> Iterable[Tensor]:
            return itertools.chain(module.parameters(),
                                   module.buffers()) if self.use_buffers else own.parameters()

        pairs = [(mean.detach(), param.detach().to(mean.device))
                 for mean, param in zip(tensors(self.module, self), tensors(model, model), strict=False)]
        return [mean for mean, _ in pairs], [param for _, param in pairs]

    def _average_lists(self, averaged: list[Tensor], current: list[Tensor]) -> None:
        average = self.multi_avg_fn
        if average is None:
            one = get_swa_avg_fn()

            def average(means: list[Tensor], params: list[Tensor], count: Tensor) -> None:
                for mean, param in zip(means, params, strict=True):
                    mean.copy_(one(mean, param, count))

        groups: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
        for mean, param in zip(averaged, current, strict=True):
            means, params = groups.setdefault((mean.device, mean.dtype), ([], []))
            means.append(mean)
            params.append(param)
        for (device, _), (means, params) in groups.items():
            average(means, params, self.n_averaged.to(device))


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of the model's batch normalisation anew, over one pass through
    ``loader``."""
    momenta = {}
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None          # a plain average over the batches
    for input in loader:
        if isinstance(input, (list, tuple)):
            input = input[0]
        if device is not None:
            input = input.to(device)
        model(input)
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


def _linear_anneal(t: float) -> float:
    return t


def _cosine_anneal(t: float) -> float:
    return (1 - math.cos(math.pi * t)) / 2


class SWALR(LRScheduler):
    """Anneals the rate to ``swa_lr`` over ``anneal_epochs`` epochs, linearly or along a cosine, and keeps it
    there."""

    def __init__(self, optimizer: Any, swa_lr: float, anneal_epochs: int = 10, anneal_strategy: str = "cos",
                 last_epoch: int = -1) -> None:
        for group, value in zip(optimizer.param_groups, per_group("swa_lr", optimizer, swa_lr), strict=True):
            group["swa_lr"] = value
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError("anneal_strategy must be one of 'cos' or 'linear', instead got "
                             f"{anneal_strategy}")
        self._set_anneal_func(anneal_strategy)
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _set_anneal_func(self, anneal_strategy: str) -> None:
        self._anneal_strategy = anneal_strategy
        self.anneal_func = _cosine_anneal if anneal_strategy == "cos" else _linear_anneal

    def get_lr(self) -> list[Any]:
        """The learning rates for ``last_epoch``."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._weight(step - 1), self._weight(step)
        rates = []
        for group in self.optimizer.param_groups:
            # The rate to come from is not kept: it follows from the present one and the weight that made it.
            goal = group["swa_lr"]
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates

    def _weight(self, step: int) -> float:
        return self.anneal_func(max(0, min(1, step / max(1, self.anneal_epochs))))

    def state_dict(self) -> dict[str, Any]:
        """The state of the schedule, without the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key not in ("optimizer", "anneal_func")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the result of ``state_dict``."""
        self.__dict__.update(state_dict)
        self._set_anneal_func(self._anneal_strategy)

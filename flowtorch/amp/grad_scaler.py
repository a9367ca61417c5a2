"""GradScaler: scales losses so that low-precision gradients do not vanish, and finds the scale."""
from __future__ import annotations

import inspect
import math
import warnings
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from typing import Any

import flowtorch as ft
from flowtorch.autograd.mode import no_grad
from flowtorch.tensor import Tensor

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """How far an optimizer has come since the last ``update``."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _refresh_per_optimizer_state() -> dict[str, Any]:
    return {"stage": OptState.READY, "found_inf_per_device": {}}


class _Replicas:
    """Copies of a tensor, one per device, made when they are asked for."""

    def __init__(self, master: Tensor) -> None:
        self.master = master
        self.tensors: dict[Any, Tensor] = {}

    def get(self, device: Any) -> Tensor:
        if device not in self.tensors:
            self.tensors[device] = self.master.to(device=device, copy=True)
        return self.tensors[device]


class GradScaler:
    """Multiplies losses by a scale and divides gradients by it before the optimizer's step.

    A step whose gradients are not finite is skipped and the scale multiplied by ``backoff_factor``; after
    ``growth_interval`` steps without that it is multiplied by ``growth_factor``.
    """

    def __init__(self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True) -> None:
        self._device = device
        self._enabled = enabled
        if device == "cuda" and enabled and not ft.cuda.is_available():
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.",
                          stacklevel=2)
            self._enabled = False
        if self._enabled:
            if growth_factor <= 1.0:
                raise AssertionError("The growth factor must be > 1.0.")
            if backoff_factor >= 1.0:
                raise AssertionError("The backoff factor must be < 1.0.")
            self._init_scale = init_scale
            self._scale: Tensor | None = None
            self._growth_factor = growth_factor
            self._backoff_factor = backoff_factor
            self._growth_interval = growth_interval
            self._init_growth_tracker = 0
            self._growth_tracker: Tensor | None = None
            self._per_optimizer_states: dict[int, dict[str, Any]] = defaultdict(_refresh_per_optimizer_state)

    # ---- losses
    def scale(self, outputs: Any) -> Any:
        """``outputs``, a tensor or an iterable of tensors, times the scale."""
        if not self._enabled:
            return outputs
        replicas: list[_Replicas] = []

        def scaled(value: Any) -> Any:
            if isinstance(value, Tensor):
                if not replicas:
                    replicas.append(_Replicas(self._scale_on(value.device)))
                return value * replicas[0].get(value.device)
            if isinstance(value, Iterable):
                items = map(scaled, value)
                return type(value)(items) if isinstance(value,
                                                        (list, tuple)) else items   # type: ignore[call-arg]
            raise ValueError("outputs must be a Tensor or an iterable of Tensors")

        return scaled(outputs)

    def _scale_on(self, device: Any) -> Tensor:
        """The scale, which is made on ``device`` at its first use."""
        if self._scale is None:
            if self._growth_tracker is not None:
                raise AssertionError("_growth_tracker initialized before _scale")
            self._scale = ft.full((), self._init_scale, dtype=ft.float32, device=device)
            self._growth_tracker = ft.full((), self._init_growth_tracker, dtype=ft.int32, device=device)
        return self._scale

    def _check_scale_growth_tracker(self, funcname: str) -> tuple[Tensor, Tensor]:
        for name in ("_scale", "_growth_tracker"):
            if getattr(self, name) is None:
                raise AssertionError(f"Attempted {funcname} but {name} is None.  This may indicate your "
                                     f"script did not "
                                     "use scaler.scale(loss or outputs) earlier in the iteration.")
        return self._scale, self._growth_tracker       # type: ignore[return-value]

    # ---- gradients
    @no_grad()
    def _unscale_grads_(self, optimizer: Any, inv_scale: Tensor, found_inf: Tensor,
                        allow_fp16: bool) -> dict[Any, Tensor]:
        """Multiply the gradients by ``inv_scale``; per device, whether one of them was not finite."""
        inverses, found = _Replicas(inv_scale), _Replicas(found_inf)
        for group in optimizer.param_groups:
            for param in group["params"]:
                grad = param.grad
                if grad is None:
                    continue
                if not allow_fp16 and grad.dtype is ft.float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                if grad.is_sparse:
                    if grad.dtype is ft.float16:       # adding up duplicates may overflow
                        grad = param.grad = grad.coalesce()
                    grad = grad._values()
                if not bool(ft.isfinite(grad).all()):
                    found.get(grad.device).fill_(1.0)
                else:
                    found.get(grad.device)
                inverse = inverses.get(grad.device)
                if inverse.item() != 1.0:
                    grad.mul_(inverse)
        return found.tensors

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, for example to clip them before a
        step."""
        if not self._enabled:
            return
        scale, _ = self._check_scale_growth_tracker("unscale_")
        states = self._per_optimizer_states[id(optimizer)]
        if states["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last "
                               "update().")
        if states["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        found_inf = ft.full((), 0.0, dtype=ft.float32, device=scale.device)
        states["found_inf_per_device"] = self._unscale_grads_(optimizer, scale.double().reciprocal().float(),
                                                              found_inf, False)
        states["stage"] = OptState.UNSCALED

    def _check_inf_per_device(self, optimizer: Any) -> dict[Any, Tensor]:
        """Look for gradients that are not finite without changing any."""
        scale, _ = self._check_scale_growth_tracker("_check_inf_per_device")
        one, zero = (ft.full((), value, dtype=ft.float32, device=scale.device) for value in (1.0, 0.0))
        found = self._unscale_grads_(optimizer, one, zero, True)
        self._per_optimizer_states[id(optimizer)]["found_inf_per_device"] = found
        return found

    def _found_inf_per_device(self, optimizer: Any) -> dict[Any, Tensor]:
        return self._per_optimizer_states[id(optimizer)]["found_inf_per_device"]

    # ---- steps
    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)`` on unscaled gradients, left out if one of them is not
        finite."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_scale_growth_tracker("step")
        states = self._per_optimizer_states[id(optimizer)]
        if states["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            result = self._step_by_itself(optimizer, states, args, kwargs)
        else:
            if states["stage"] is OptState.READY:
                self.unscale_(optimizer)
            if not states["found_inf_per_device"]:
                raise AssertionError("No inf checks were recorded for this optimizer.")
            result = self._maybe_opt_step(optimizer, states, *args, **kwargs)
        states["stage"] = OptState.STEPPED
        return result

    def _maybe_opt_step(self, optimizer: Any, optimizer_state: dict[str, Any], *args: Any,
                        **kwargs: Any) -> Any:
        if any(found.item() for found in optimizer_state["found_inf_per_device"].values()):
            return None
        return optimizer.step(*args, **kwargs)

    def _step_by_itself(self, optimizer: Any, states: dict[str, Any], args: tuple,
                        kwargs: dict[str, Any]) -> Any:
        """The step of an optimizer that unscales and skips by itself."""
        if "grad_scaler" in inspect.signature(optimizer.step).parameters:
            warnings.warn("GradScaler is going to stop passing itself as a keyword argument to the passed "
                          "optimizer. In "
                          "the near future GradScaler registers `grad_scale: Tensor` and `found_inf: Tensor` "
                          "to the "
                          "passed optimizer and let the optimizer use them directly.", FutureWarning,
                          stacklevel=3)
            return optimizer.step(*args, **kwargs, grad_scaler=self)
        if states["stage"] is OptState.READY:
            self._check_inf_per_device(optimizer)
        scale: Any = self._get_scale_async()
        previous = getattr(optimizer, "grad_scale", None)
        if states["stage"] is OptState.UNSCALED:
            optimizer.grad_scale = previous
        else:
            optimizer.grad_scale = scale if previous is None else scale * previous
        optimizer.found_inf = sum(found.to(scale.device) for found in states["found_inf_per_device"].values())
        result = optimizer.step(*args, **kwargs)
        del optimizer.grad_scale, optimizer.found_inf
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the scale after the steps of an iteration, or set it to ``new_scale``."""
        if not self._enabled:
            return
        scale, tracker = self._check_scale_growth_tracker("update")
        if new_scale is None:
            found = [t for states in self._per_optimizer_states.values()
                     for t in states["found_inf_per_device"].values()]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._adapt(scale, tracker, any(t.item() for t in found))
        elif isinstance(new_scale, float):
            scale.fill_(new_scale)
        else:
            if new_scale.device.type != self._device or new_scale.numel() != 1 or new_scale.requires_grad:
                raise AssertionError("new_scale should be a float or a 1-element torch.cuda.FloatTensor or "
                                     "torch.FloatTensor with requires_grad=False.")
            scale.copy_(new_scale)
        self._per_optimizer_states = defaultdict(_refresh_per_optimizer_state)

    def _adapt(self, scale: Tensor, tracker: Tensor, overflow: bool) -> None:
        successes = 0 if overflow else int(tracker.item()) + 1
        factor = self._backoff_factor if overflow else 1.0
        if successes == self._growth_interval:
            # A scale that is no longer a float32 would never come back.
            factor = self._growth_factor if math.isfinite((scale * self._growth_factor).item()) else 1.0  # type: ignore[attr-defined]
            successes = 0
        scale.mul_(factor)
        tracker.fill_(successes)

    # ---- options and state
    def _get_scale_async(self) -> Tensor | None:
        return self._scale

    def get_scale(self) -> float:
        """The present scale; 1.0 if the scaler is disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        """The factor by which the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the factor by which the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """The factor by which the scale falls."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the factor by which the scale falls."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """The number of good steps after which the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set the number of good steps after which the scale grows."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker.item())

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale, the options and the number of good steps; empty if the scaler is disabled."""
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor,
                "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
                "_growth_tracker": self._get_growth_tracker()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the result of ``state_dict``."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a "
                               "disabled instance "
                               "of GradScaler.")
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None:
            self._scale.fill_(state_dict["scale"])
        if self._growth_tracker is not None:
            self._growth_tracker.fill_(state_dict["_growth_tracker"])

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError("A GradScaler instance may only be pickled at the beginning of an "
                                     "iteration, or at "
                                     "the end after scaler.update().")
            state.update(_init_scale=self.get_scale(), _init_growth_tracker=self._get_growth_tracker(),
                         _scale=None, _growth_tracker=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

"""Numbers that optimisers keep per parameter as 0-d tensors, above all the count of steps."""
from __future__ import annotations

from typing import Any

import flowtorch as ft
from flowtorch.autograd.mode import grad_mode
from flowtorch.tensor import Tensor


def number_dtype(fused: bool | None = None) -> Any:
    """float32, or float64 where that is the default dtype and no fused step reads the number."""
    return ft.float64 if not fused and ft.get_default_dtype() == ft.float64 else ft.float32


def new_number(group: dict[str, Any], param: Tensor, value: float = 0.0) -> Tensor:
    """A 0-d tensor for state such as the step count: on the CPU unless a captured or fused step reads it
    there."""
    fused = group.get("fused")
    device = param.device if group.get("capturable") or fused else "cpu"
    return ft.tensor(value, dtype=number_dtype(fused), device=device)  # type: ignore[operator]


def on_device(steps: list[Tensor]) -> bool:
    """Whether kernels can read the counts where they are, so that nobody has to wait for them."""
    return bool(steps) and all(step._type.plain and step._type.device.type == "cuda" for step in steps)


def advance(steps: list[Tensor], as_tensors: bool = False) -> list[Any]:
    """Add one to each step count and return the new counts, as floats or as copies that are safe to
    differentiate."""
    counts: list[Any] = []
    if as_tensors and not grad_mode.enabled and on_device(steps):
        ft._foreach_add_(steps, 1)
        return list(steps)
    for step in steps:
        if not as_tensors and step._type.plain and step._type.device.type == "cpu":
            array = step._array
            count = array.item() + 1.0
            array[...] = count
            step._bump_version()
            counts.append(count)
        else:
            step += 1
            counts.append(step.clone() if as_tensors else step.item())  # type: ignore[union-attr]
    return counts


def read(numbers: list[Tensor]) -> list[float]:
    """The values of 0-d tensors."""
    return [number.item() for number in numbers]


def store(numbers: list[Tensor], values: list[Any]) -> None:
    """Set 0-d tensors, by way of the default dtype, which loading may have made narrower than theirs."""
    rounded = number_dtype().numpy.type
    for number, value in zip(numbers, values, strict=True):
        if number._type.plain and number._type.device.type == "cpu" and not isinstance(value, Tensor):
            number._array[...] = rounded(value)
            number._bump_version()
        else:
            number.copy_(ft.as_tensor(value))


def check_tensors(**lists: list[Any]) -> None:
    """Raise unless the functional optimizer was given its counters as tensors."""
    for name, values in lists.items():
        if not all(isinstance(value, Tensor) for value in values):
            raise RuntimeError(f"API has changed, `{name}` argument must contain a list of singleton tensors")


def check_capturable(capturable: bool, names: str, *lists: list[Tensor]) -> None:
    """Raise unless all tensors of a step that is to be captured are on the device that captures."""
    if capturable and any(t.device.type != "cuda" for tensors in lists for t in tensors):
        raise AssertionError(f"If capturable=True, {names} must be on supported devices: ['cuda'].")

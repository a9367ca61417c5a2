"""Several modules at once, each in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import flowtorch as torch

from ...tensor import Tensor
from . import comm

__all__ = ["get_a_var", "parallel_apply"]


def get_a_var(obj: Any) -> Tensor | None:
    """Return the first tensor in nested lists, tuples and dicts, if there is one."""
    if isinstance(obj, Tensor):
        return obj
    inner = obj.items() if isinstance(obj, dict) else obj if isinstance(obj, (list, tuple)) else ()
    return next((found for found in map(get_a_var, inner) if found is not None), None)


def parallel_apply(
    modules: Sequence[Any],
    inputs: Sequence[Any],
    kwargs_tup: Sequence[dict[str, Any]] | None = None,
    devices: Sequence[Any] | None = None,
) -> list[Any]:
    """Call each module with its inputs on its device, by default that of its first tensor argument.

    Raises the first exception that any of them raised.
    """
    count = len(modules)
    kwargs_tup = [{}] * count if kwargs_tup is None else kwargs_tup
    devices = [None] * count if devices is None else devices
    for what, given in (("inputs", inputs), ("kwargs_tup", kwargs_tup), ("devices", devices)):
        if len(given) != count:
            raise AssertionError(f"The number of modules {count} is not equal to the number of {what} {len(given)}")
    results: list[Any] = [None] * count
    errors: list[Exception | None] = [None] * count
    recording = torch.is_grad_enabled()

    def work(i: int) -> None:
        args = inputs[i] if isinstance(inputs[i], (list, tuple)) else (inputs[i],)
        try:
            with torch.set_grad_enabled(recording), _device_context(devices[i], args, i):
                results[i] = modules[i](*args, **kwargs_tup[i])
        except Exception as error:
            errors[i] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, count)]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    for error in errors:
        if error is not None:
            raise error
    return results


def _device_context(device: Any, args: Any, position: int) -> Any:
    if device is None:
        tensor = get_a_var(args)
        if tensor is None:
            raise RuntimeError(
                f"in replica {position}, no device was provided and no tensor input was found; "
                "device cannot be resolved"
            )
        device = tensor.device
    device = comm.device_of(device)
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()

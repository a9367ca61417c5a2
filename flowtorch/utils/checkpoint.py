"""Activation checkpointing: run a part of the model again in backward instead of keeping what it computed."""
from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import flowtorch as torch
from flowtorch.autograd.engine import backward as _backward
from flowtorch.autograd.engine import current
from flowtorch.autograd.graph import saved_tensors_hooks
from flowtorch.tensor import Tensor

_SELECTIVE = ("SAC_IGNORED_OPS", "CheckpointPolicy", "SelectiveCheckpointContext",
              "create_selective_checkpoint_contexts")
__all__ = ["CheckpointError", "CheckpointFunction", "DefaultDeviceType", "GraphExecGroup", "check_backward_validity",
           "checkpoint", "checkpoint_sequential", "detach_variable", "get_device_states", "noop_context_fn",
           "set_checkpoint_debug_enabled", "set_checkpoint_early_stop", "set_device_states", *_SELECTIVE]


def __getattr__(name: str) -> Any:
    if name in _SELECTIVE:
        from flowtorch.utils import checkpoint_selective

        return getattr(checkpoint_selective, name)
    raise AttributeError(f"module 'torch.utils.checkpoint' has no attribute '{name}'")


class CheckpointError(RuntimeError):
    """The recomputation did not save what the first run saved."""


def detach_variable(inputs: tuple) -> tuple:
    """The inputs as new leaves that need gradients where the old ones did."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    out = []
    for x in inputs:
        if isinstance(x, Tensor):
            y = x.detach()                                               # type: ignore[attr-defined]
            y.requires_grad = x.requires_grad
            out.append(y)
        else:
            out.append(x)
    return tuple(out)


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if no input needs a gradient."""
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


class DefaultDeviceType:
    """The kind of device whose generators a part's random numbers come from, where no argument tells."""

    _default_device_type = "cuda"

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        """Set the kind of device."""
        DefaultDeviceType._default_device_type = device

    @staticmethod
    def get_device_type() -> str:
        """The kind of device."""
        return DefaultDeviceType._default_device_type


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """(numbers, generator states) of the CUDA devices that tensors among the arguments are on."""
    numbers = sorted({x.device.index or 0 for x in args if isinstance(x, Tensor) and x.device.type == "cuda"})
    return numbers, [torch.cuda.get_rng_state(n) for n in numbers]       # type: ignore[attr-defined]


def set_device_states(devices: Any, states: Any, *, device_type: str | None = None) -> None:
    """Put generator states back."""
    for n, state in zip(devices, states, strict=True):
        torch.cuda.set_rng_state(state, n)                               # type: ignore[attr-defined]


class GraphExecGroup:
    """Context: several backward passes in it use one recomputation of a part."""

    def __init__(self) -> None:
        self.frames: list[_Frame] = []

    def __enter__(self) -> GraphExecGroup:
        if _settings.group is not None:
            raise RuntimeError("GraphExecGroup contexts cannot be nested")
        _settings.group = self
        return self

    def __exit__(self, *exc: object) -> None:
        _settings.group = None
        for frame in self.frames:
            frame.values = None

    @classmethod
    def _get_current_group(cls) -> GraphExecGroup | None:
        return _settings.group


def noop_context_fn() -> tuple:
    """Two contexts that do nothing, for forward and recomputation."""
    return contextlib.nullcontext(), contextlib.nullcontext()


class _RandomState:
    """The generator's state at the start of the part, to be put back while it runs again."""

    def __init__(self, preserve: bool) -> None:
        self.state = torch.get_rng_state() if preserve else None

    @contextlib.contextmanager
    def again(self) -> Any:
        if self.state is None:
            yield
            return
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.state)
            yield


class CheckpointFunction(torch.autograd.Function):
    """The reentrant form: backward runs the part again and calls backward on it."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable, preserve_rng_state: bool, *args: Any) -> Any:
        ctx.run_function = run_function
        ctx.random = _RandomState(preserve_rng_state)
        ctx.inputs = [None if isinstance(a, Tensor) else a for a in args]
        ctx.tensor_indices = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.tensor_indices])
        with torch.no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if current.partial:
            raise RuntimeError("When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or "
                               "passing an `inputs` parameter to .backward(). Use it with use_reentrant=False, or call "
                               ".backward() without `inputs`.")
        inputs = list(ctx.inputs)
        for i, t in zip(ctx.tensor_indices, ctx.saved_tensors, strict=True):
            inputs[i] = t
        with ctx.random.again():
            detached = detach_variable(tuple(inputs))
            with torch.enable_grad():
                outputs = ctx.run_function(*detached)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        _backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *(x._grad if isinstance(x, Tensor) else None for x in detached))


class _Settings(threading.local):
    early_stop = True
    debug: bool | None = None
    group: Any = None


_settings = _Settings()


class _set:
    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value

    def __enter__(self) -> None:
        self.previous = getattr(_settings, self.name)
        setattr(_settings, self.name, self.value)

    def __exit__(self, *exc: object) -> None:
        setattr(_settings, self.name, self.previous)


def set_checkpoint_early_stop(enable: bool) -> Any:
    """Context: whether recomputation stops once everything that backward needs is there."""
    return _set("early_stop", enable)


def set_checkpoint_debug_enabled(enabled: bool | None) -> Any:
    """Context: whether mismatches between the runs are described in more detail."""
    return _set("debug", enabled)


class _StopRecomputation(BaseException):
    """Everything that backward needs has been saved again. No Exception: an op's fast path would take it for its
    own."""


class _Holder:
    """Stands in the graph for one saved tensor of the part."""

    __slots__ = ("__weakref__", "index", "meta")

    def __init__(self, index: int, meta: tuple) -> None:
        self.index, self.meta = index, meta


class _Frame:
    """One checkpointed call: how to run it again, and what that gave."""

    def __init__(self, run: Callable, early_stop: bool, check: bool) -> None:
        self.run, self.early_stop, self.check = run, early_stop, check
        self.count = 0
        self.values: dict[int, Tensor] | None = None
        self.remaining: set[int] = set()

    def pack(self, t: Tensor) -> _Holder:
        holder = _Holder(self.count, (tuple(t.shape), t.dtype, t.device))
        self.count += 1
        return holder

    def unpack(self, holder: _Holder) -> Tensor:
        if self.values is None or holder.index not in self.values:
            self.recompute()
        assert self.values is not None
        value = self.values[holder.index]
        self.remaining.discard(holder.index)
        if _settings.group is not None:
            _settings.group.frames.append(self)
        elif not self.remaining:
            self.values = None                # backward of this part is over: let the memory go
        return value

    def recompute(self) -> None:
        values: dict[int, Tensor] = {}

        def keep(t: Tensor) -> Any:
            index = len(values)
            values[index] = t.detach()                                   # type: ignore[attr-defined]
            if self.early_stop and len(values) == self.count:
                raise _StopRecomputation
            return index

        with (
            contextlib.suppress(_StopRecomputation),
            saved_tensors_hooks(keep, lambda i: values[i]),
            torch.enable_grad(),
        ):
            self.run()
        if len(values) != self.count and self.check:
            raise CheckpointError("torch.utils.checkpoint: A different number of tensors was saved during the "
                                  "original forward and "
                                  f"recomputation.\nNumber of tensors saved during forward: {self.count}\nNumber of "
                                  "tensors saved "
                                  f"during recomputation: {len(values)}.")
        self.values = values
        self.remaining = set(values)

    def verify(self, holder: _Holder, value: Tensor) -> None:
        meta = (tuple(value.shape), value.dtype, value.device)
        if self.check and meta != holder.meta:
            raise CheckpointError("torch.utils.checkpoint: Recomputed values for the following tensors have different "
                                  "metadata than "
                                  f"during the forward pass.\ntensor at position {holder.index}:\nsaved metadata: "
                                  f"{holder.meta}\n"
                                  f"recomputed metadata: {meta}")


def checkpoint(function: Callable, *args: Any, use_reentrant: bool | None = None,
               context_fn: Callable = noop_context_fn, determinism_check: str = "default", debug: bool = False,
               early_stop: bool = True, preserve_rng_state: bool = True, **kwargs: Any) -> Any:
    """``function(*args)`` without keeping what backward needs: it runs again there.

    ``use_reentrant=False`` (recommended) supports everything autograd does; True is the older form, which needs an
    input that requires a gradient. Random numbers are the same in both runs unless ``preserve_rng_state=False``.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in "
            "PyTorch 2.9, "
            "calling checkpoint without use_reentrant will raise an exception. use_reentrant=False is "
            "recommended, but "
            "if you need to preserve the current default behavior, you can pass use_reentrant=True.",
            stacklevel=2,
        )
        use_reentrant = True
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        tensors = [a for a in args if isinstance(a, Tensor)]
        if torch.is_grad_enabled() and not any(t.requires_grad for t in tensors):
            warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)
        return CheckpointFunction.apply(function, preserve_rng_state, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'] but got {determinism_check}")
    random = _RandomState(preserve_rng_state)
    forward_context, recompute_context = context_fn()

    def again() -> None:
        with random.again(), recompute_context:
            function(*args, **kwargs)
    frame = _Frame(again, early_stop and _settings.early_stop, determinism_check == "default")
    def unpack(holder: _Holder) -> Tensor:
        value = frame.unpack(holder)
        frame.verify(holder, value)
        return value
    with saved_tensors_hooks(frame.pack, unpack), forward_context:
        return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run a Sequential in ``segments`` parts, each but the last checkpointed."""
    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed "
                      "explicitly.",
                      stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))

    def part(start: int, end: int, layers: list) -> Callable:
        def run(x: Any) -> Any:
            for j in range(start, end + 1):
                x = layers[j](x)
            return x
        return run
    layers = list(functions.children()) if isinstance(functions, torch.nn.Sequential) else list(functions)  # type: ignore[attr-defined]
    size = len(layers) // segments
    end = -1
    for start in range(0, size * (segments - 1), size):
        end = start + size - 1
        input = checkpoint(part(start, end, layers), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return part(end + 1, len(layers) - 1, layers)(input)

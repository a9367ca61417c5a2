"""Looking at and steering the recorded graph: saved-tensor hooks, hooks over several tensors, gradient edges."""
from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from flowtorch import overrides
from flowtorch.autograd.node import Node as Node
from flowtorch.autograd.node import Output, accumulator, edge, saved_hooks
from flowtorch.tensor import Tensor
from flowtorch.utils.hooks import RemovableHandle


class saved_tensors_hooks:
    """Context in which every tensor that backward needs is replaced by ``pack_hook(tensor)``.

    ``unpack_hook`` gets what ``pack_hook`` returned and gives a tensor back when backward needs it.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if _disabled.message is not None:
            raise RuntimeError(_disabled.message)
        if not (callable(self.pack_hook) and callable(self.unpack_hook)):
            raise TypeError("_push_saved_tensors_default_hooks(): incompatible function arguments. pack_hook and "
                            "unpack_hook must be callable")
        saved_hooks.stack = [*saved_hooks.stack, (self.pack_hook, self.unpack_hook)]
        overrides.active.append(self)          # every call goes through `interpret`, which packs what it keeps

    def __exit__(self, *exc: object) -> None:
        saved_hooks.stack = saved_hooks.stack[:-1]
        overrides.active.remove(self)


class _Disabled(threading.local):
    message: str | None = None


_disabled = _Disabled()


class disable_saved_tensors_hooks:
    """Context in which using saved-tensor hooks raises RuntimeError with ``error_message``."""

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message

    def __enter__(self) -> None:
        self._previous = _disabled.message
        if saved_hooks.stack:
            raise RuntimeError(self.error_message)
        _disabled.message = self.error_message

    def __exit__(self, *exc: object) -> None:
        _disabled.message = self._previous


class save_on_cpu(saved_tensors_hooks):
    """Context in which what backward needs is kept in host memory."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        def pack(t: Any) -> Any:
            return (t.device, t.cpu())

        def unpack(packed: Any) -> Any:
            device, t = packed
            return t.to(device)
        super().__init__(pack, unpack)


class allow_mutation_on_saved_tensors:
    """Context in which saved tensors may be changed in place: backward sees their values from before."""

    def __enter__(self) -> Any:
        # A copy at saving time is what makes later changes harmless.
        self._hooks = saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t)
        self._hooks.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._hooks.__exit__(*exc)

    def clear(self) -> None:
        """Forget the copies (they live with the graph)."""


class GradientEdge(NamedTuple):
    """A place in the graph that a gradient flows to: output ``output_nr`` of ``node``."""

    node: Any
    output_nr: int
    ownership_token: Any = None

    @property
    def edge(self) -> Any:
        """The engine's form of this edge."""
        leaf = getattr(self.node, "variable", None)
        if leaf is not None:
            return leaf
        return Output(self.node, self.output_nr) if isinstance(self.node.type, tuple) else self.node


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the gradient of ``tensor`` arrives."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    e = edge(tensor)
    if isinstance(e, Tensor):
        return GradientEdge(accumulator(e), 0)
    return GradientEdge(e.node, e.index) if type(e) is Output else GradientEdge(e, 0)


def increment_version(tensor: Any) -> None:
    """Note that the memory of ``tensor`` (or of several) was changed behind autograd's back."""
    for t in (tensor,) if isinstance(tensor, Tensor) else tensor:
        t._bump_version()


class _MultiHandle(RemovableHandle):
    """Removes the hooks of several tensors at once."""

    def __init__(self, handles: tuple) -> None:
        self.handles = handles

    def remove(self) -> None:
        for h in self.handles:
            h.remove()

    def __getstate__(self) -> Any:
        return self.handles

    def __setstate__(self, state: Any) -> None:
        self.handles = state


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable, *, mode: str = "all") -> RemovableHandle:
    """Call ``fn`` once per backward: with all gradients of ``tensors`` when the last arrived, or with the first
    ("any")."""
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    lock = threading.Lock()
    if mode == "any":
        done: list = [None]

        def first(g: Any) -> None:
            from flowtorch.autograd.engine import current

            with lock:
                token = current.pass_id
                if done[0] == token:
                    return
                done[0] = token
            fn(g)
        return _MultiHandle(tuple(t.register_hook(first) for t in tensors if t.requires_grad))   # type: ignore[attr-defined]
    state: dict[Any, Any] = {}

    def collect(index: int) -> Callable:
        def inner(g: Any) -> None:
            from flowtorch.autograd.engine import current

            with lock:
                key = current.pass_id
                found = state.setdefault(key, ([None] * len(tensors), _expected(tensors, current)))
                found[0][index] = g
                found[1].discard(index)
                complete = not found[1]
                if complete:
                    del state[key]
            if complete:
                fn(found[0])
        return inner
    return _MultiHandle(tuple(t.register_hook(collect(i)) for i, t in enumerate(tensors) if t.requires_grad))   # type: ignore[attr-defined]


def _expected(tensors: Sequence[Tensor], current: Any) -> set[int]:
    """Indices of the tensors that the running backward pass will reach."""
    reachable = current.reachable()
    found = set()
    for i, t in enumerate(tensors):
        if not t.requires_grad:
            continue
        e = edge(t)
        key = id(e) if isinstance(e, Tensor) else e.node if type(e) is Output else e
        if key in reachable:
            found.add(i)
    return found


# ---------------------------------------------------------------- settings of other engines


class set_warn_on_accumulate_grad_stream_mismatch:
    """Whether gradients from another CUDA stream than their leaf's are warned about. All run on one stream here."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled


class set_override_stale_capture_stream:
    """Whether backward leaves CUDA streams whose capture has ended. Backward runs on the caller's stream here."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled


@contextlib.contextmanager
def region_activation_memory_budget(budget: float) -> Iterator[None]:
    """The share of activations (0 to 1) that a compiled region may keep; eager code keeps what its ops ask for."""
    if not 0 <= budget <= 1:
        raise ValueError(f"budget must be between 0 and 1, got {budget}")
    yield

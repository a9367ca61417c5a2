"""Recording what runs: every public call with the values that went in and came out, gradients, steps of optimizers.

Works the same in PyTorch and in flowtorch: a ``TorchFunctionMode`` sees the calls, tensor hooks the gradients. A value
is known by the digest of its bits, shape and dtype, so two recordings can be compared by what flows through them.
"""

from __future__ import annotations

import functools
import hashlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..outcome import numbers
from . import stepping
from .calls import NOT_RECORDED, name_of, source_line
from .trace import Event, Slot, Trace

APPLY = "recorded_apply"  # what calls of hand-written derivatives go through, which record themselves
LARGE = 1 << 24  # bytes of a value beyond which only its digest is kept


class Enough(BaseException):
    """Ends the program: as much of it is recorded as was asked for."""


class Recorder:
    """Context that records what happens in it. ``library`` is the module that answers to ``torch``.

    Between two calls, after ``limit`` of them or when what is kept exceeds ``memory`` bytes, it raises ``Enough``.
    """

    def __init__(self, library: Any, limit: int = 50_000, memory: float = float("inf")) -> None:
        self.library, self.limit, self.memory = library, limit, memory
        self.calls = 0
        self.trace = Trace(library.__name__)
        self.modules: list[str] = []
        self.roots: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self.known: dict[int, tuple[Any, int, str]] = {}
        self.leaves: dict[int, Any] = {}  # kept alive, so that no other tensor gets the id
        self.uses: dict[int, list] = {}  # where a leaf went in
        self.made: dict[int, tuple[Any, list[int]]] = {}  # tensor -> (itself, [event, which output])
        self.arriving: dict[tuple[int, int], tuple[Event, Any]] = {}  # (leaf, sweep): what has come of its gradient
        self.before: dict[int, str | None] = {}  # the gradient that a leaf had before more arrived
        self.sweep = self.depth = 0  # backward passes so far, and whether in one
        self.inside = self.applying = False
        self.undo: list[Any] = []

    # ---- values

    def digest(self, t: Any) -> str:
        """The name of a tensor's value, which is kept."""
        version = version_of(t)
        big = t.numel() > 10_000
        if big and id(t) in self.known:
            seen, at, name = self.known[id(t)]
            if seen() is t and at == version:
                return name
        dtype = str(t.dtype).removeprefix("torch.")
        name = self.digest_of(numbers(t, dtype), dtype)
        if big:
            self.known[id(t)] = (weakref.ref(t), version, name)
        return name

    def digest_of(self, values: np.ndarray, dtype: str) -> str:
        name = hashlib.blake2b(values.tobytes() + repr((values.shape, dtype)).encode(), digest_size=10).hexdigest()
        self.trace.keep(name, values, dtype, LARGE)
        return name

    def tensors(self, value: Any) -> Iterator[Any]:
        if isinstance(value, self.library.Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            for v in value:
                yield from self.tensors(v)
        elif isinstance(value, dict):
            for v in value.values():
                yield from self.tensors(v)

    # ---- calls

    def __call__(self, function: Any, args: tuple, kwargs: dict, name: str = "") -> Any:
        """Run one public call, and note it."""
        name = name or name_of(function, self.library.overrides)
        if name in NOT_RECORDED or name == APPLY or self.inside:
            return function(*args, **kwargs)
        if not self.depth and (self.calls >= self.limit or self.trace.size > self.memory):
            raise Enough(self.calls)
        self.calls += 1
        self.inside = True
        try:
            given = list(self.tensors([args, kwargs]))
            inputs = [self.digest(t) for t in given]
            sources = [self.source(t) for t in given]
            versions = [version_of(t) for t in given]
            call = (function, *self.template(args, kwargs))
            generator, autocast = self.generator(), self.autocast()
        finally:
            self.inside = False
        result = function(*args, **kwargs)
        self.inside = True
        try:
            outputs = list(self.tensors(result))
            outputs += [t for t, v in zip(given, versions, strict=True) if version_of(t) != v and not among(t, outputs)]
            if not outputs:
                return result
            event = Event("forward", name, inputs, [self.digest(t) for t in outputs], source_line(), self.module())
            event.call, event.autocast, event.sources = call, autocast, sources
            if self.generator() != generator:
                event.drawn = self.digest_of(np.frombuffer(generator, np.uint8), "uint8")
            self.watch_leaves(given)
            self.add(event, outputs)
        finally:
            self.inside = False
        return result

    def template(self, args: tuple, kwargs: dict) -> tuple[Any, Any]:
        count = iter(range(10**9))

        def put(value: Any) -> Any:
            if isinstance(value, self.library.Tensor):
                return Slot(next(count), bool(value.requires_grad))
            if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
                return type(value)(put(v) for v in value)
            if isinstance(value, dict):
                return {k: put(v) for k, v in value.items()}
            return value

        return put(args), put(kwargs)

    def generator(self) -> bytes:
        """The state of the random numbers."""
        return self.library.get_rng_state().numpy().tobytes()

    def autocast(self) -> str:
        """The dtype that autocast computes in here; nothing where it is off."""
        if not self.library.is_autocast_enabled("cpu"):
            return ""
        return str(self.library.get_autocast_dtype("cpu")).removeprefix("torch.")

    def module(self) -> str:
        return self.modules[-1] if self.modules else ""

    # ---- gradients

    def add(self, event: Event, outputs: list) -> None:
        number = len(self.trace.events)
        self.trace.events.append(event)
        for k, t in enumerate(outputs):
            self.made[id(t)] = weakref.ref(t), [number, k]
            if t.requires_grad and is_leaf(t) is False:
                t.register_hook(lambda g, k=k: self.arrived(g, number, k))

    def source(self, t: Any) -> list[int]:
        """[event, which output] that made a tensor; [] if no event did."""
        itself, source = self.made.get(id(t), (lambda: None, []))
        return source if itself() is t else []

    def watch_leaves(self, given: list) -> None:
        number = len(self.trace.events)
        for k, t in enumerate(given):
            if not t.requires_grad or is_leaf(t) is not True:
                continue
            self.uses.setdefault(id(t), []).append([number, -1 - k])
            if id(t) not in self.leaves:
                self.leaves[id(t)] = t
                t.register_hook(lambda g, t=t: self.arrived_at_leaf(g, t))
                t.register_post_accumulate_grad_hook(self.added_to_leaf)

    def quietly(self, note: Callable, *args: Any) -> None:
        """Note something without recording the calls that this takes."""
        if not self.inside:
            self.inside = True
            try:
                note(*args)
            finally:
                self.inside = False

    def arrived(self, g: Any, number: int, k: int) -> None:
        """A gradient has come for output ``k`` of an event."""
        self.quietly(self._arrived, g, number, k)

    def _arrived(self, g: Any, number: int, k: int) -> None:
        of, name = self.trace.events[number], self.digest(g)
        of.grads[self.sweep, k] = name
        self.trace.events.append(self.gradient(of.name, [name], (of.file, of.line, of.text), of.module, [[number, k]]))

    def gradient(self, name: str, outputs: list, where: tuple, module: str, of: list) -> Event:
        event = Event("backward", name, [], outputs, where, module)
        event.of, event.sweep = of, self.sweep
        return event

    def arrived_at_leaf(self, g: Any, t: Any) -> None:
        self.quietly(self._arrived_at_leaf, g, t)

    def _arrived_at_leaf(self, g: Any, t: Any) -> None:
        at = id(t), self.sweep
        if at in self.arriving:  # a part of the same gradient, where a library hands it over in parts
            event, so_far = self.arriving[at]
            g = g + so_far
        else:
            event = self.gradient("leaf", [], source_line(), "", [])
            self.trace.events.append(event)
            self.before[id(t)] = None if t.grad is None else self.digest(t.grad)
        events, name = self.trace.events, self.digest(g)
        # the calls that this pass went through; none where it went through derivatives alone
        passed = [[n, k] for n, k in self.uses[id(t)] if any(s == self.sweep for s, _ in events[n].grads)]
        event.of = passed or list(self.uses[id(t)])
        event.outputs = [name]
        self.arriving[at] = event, g
        for number, k in event.of:
            events[number].grads[self.sweep, k] = name

    def added_to_leaf(self, t: Any) -> None:
        self.quietly(self._added_to_leaf, t)

    def _added_to_leaf(self, t: Any) -> None:
        before, at = self.before.pop(id(t), None), (id(t), self.sweep)
        if before is None or at not in self.arriving or t.grad is None:
            return
        event = Event("accumulation", "grad", [before, self.arriving[at][0].outputs[0]], [], source_line())
        event.outputs = [self.digest(t.grad)]
        self.trace.events.append(event)

    def passing(self, original: Callable) -> Callable:
        """``backward`` or ``grad``, with the passes counted."""

        @functools.wraps(original)
        def counted(*args: Any, **kwargs: Any) -> Any:
            if not self.depth:
                self.sweep += 1
                self.arriving.clear()
                if kwargs.get("create_graph"):
                    self.trace.recorded_sweeps.append(self.sweep)
            self.depth += 1
            try:
                result = original(*args, **kwargs)
            finally:
                self.depth -= 1
            if not self.depth and kwargs.get("create_graph") and result is not None:
                self.quietly(self.differentiated, args, kwargs, result)
            return result

        return counted

    def differentiated(self, args: tuple, kwargs: dict, result: tuple) -> None:
        """Gradients that have gradients: a call that gave them, which cannot be made again alone."""
        inputs = list(self.tensors(kwargs.get("inputs", args[1:2])))
        outputs = [g for g in result if g is not None]
        made = [self.digest(g) for g in outputs]
        self.add(
            Event("forward", "grad", [self.digest(t) for t in inputs], made, source_line(), self.module()), outputs
        )

    # ---- what is wrapped around the library

    def __enter__(self) -> Recorder:
        recorder = self
        base: Any = self.library.overrides.TorchFunctionMode

        class Mode(base):
            def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                return recorder(func, args, kwargs or {})

        autograd = self.library.autograd
        for owner, name in ((autograd, "backward"), (autograd, "grad"), (self.library.Tensor, "backward")):
            self.replace(owner, name, self.passing(getattr(owner, name)))
        self.wrap_modules()
        self.wrap_functions()
        stepping.wrap(self)
        self.mode = Mode()
        self.mode.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.mode.__exit__(*exc)
        for owner, name, original in reversed(self.undo):
            setattr(owner, name, original)

    def replace(self, owner: Any, name: str, new: Any) -> None:
        self.undo.append((owner, name, owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)))
        setattr(owner, name, new)

    def wrap_modules(self) -> None:
        recorder, cls = self, self.library.nn.Module
        call = cls.__call__

        def named_call(module: Any, *args: Any, **kwargs: Any) -> Any:
            if not recorder.modules:  # the outermost: its parts are known by their names in it
                for path, part in module.named_modules():
                    recorder.roots.setdefault(part, path or type(module).__name__)
            path = recorder.roots.get(module) or type(module).__name__
            recorder.modules.append(path)
            try:
                return call(module, *args, **kwargs)
            finally:
                recorder.modules.pop()

        self.replace(cls, "__call__", named_call)

    def wrap_functions(self) -> None:
        """Derivatives written by hand: the call of each is an event, besides the calls that it makes inside."""
        recorder, cls = self, self.library.autograd.Function
        apply = cls.__dict__["apply"].__func__

        def recorded_apply(function: Any, *args: Any, **kwargs: Any) -> Any:
            if recorder.inside or recorder.applying:
                return apply(function, *args, **kwargs)

            def once(*args: Any, **kwargs: Any) -> Any:
                recorder.applying = True  # a library may show the call to modes as well
                try:
                    return apply(function, *args, **kwargs)
                finally:
                    recorder.applying = False

            return recorder(once, args, kwargs, function.__name__)

        self.replace(cls, "apply", classmethod(recorded_apply))


def among(t: Any, tensors: list) -> bool:
    return any(t is x for x in tensors)


def version_of(t: Any) -> int:
    try:
        return t._version
    except RuntimeError:  # inference tensors keep none
        return 0


def is_leaf(t: Any) -> bool | None:
    """None for a view made under no_grad of what requires a gradient: nobody may ask that once it is written."""
    if t.requires_grad and t._is_view() and t._base.requires_grad and not t._base.is_inference():
        try:
            return None if t.is_leaf else False
        except RuntimeError:  # torch refuses: such a view was written
            return None
    return t.is_leaf

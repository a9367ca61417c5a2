"""Grad mode and inference mode, per thread, as context managers and decorators."""
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from flowtorch import overrides

# Context variables rather than thread-locals: every thread starts with the defaults all the same, a read costs a tenth,
# and asynchronous tasks do not see each other's blocks.
_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
_inference: ContextVar[bool] = ContextVar("inference", default=False)
grad_enabled = _enabled.get


class _GradMode:
    """The modes of the running thread, as attributes."""

    __slots__ = ()

    @property
    def enabled(self) -> bool:
        return grad_enabled()

    @enabled.setter
    def enabled(self, value: bool) -> None:
        _enabled.set(value)

    @property
    def inference(self) -> bool:
        return _inference.get()

    @inference.setter
    def inference(self, value: bool) -> None:
        _inference.set(value)


grad_mode = _GradMode()


def is_grad_enabled() -> bool:
    """Whether ops on this thread are recorded for backward."""
    return grad_mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether this thread is in inference mode."""
    return grad_mode.inference


class _DecoratorContext:
    """A context manager that also decorates functions, generators and classes' methods, entering anew at each call."""

    def clone(self) -> Any:
        return type(self)()

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, *exc: object) -> None:
        raise NotImplementedError

    def __call__(self, func: Callable) -> Callable:
        if inspect.isclass(func):
            raise TypeError(f"Cannot decorate classes with {type(self).__name__}; decorate their methods")
        if inspect.isgeneratorfunction(func):
            return self._wrap_generator(func)

        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return func(*args, **kwargs)
        return wrapped

    def _wrap_generator(self, func: Callable) -> Callable:
        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            # The mode holds while the generator's own code runs, never while it is suspended in the caller's.
            generator = func(*args, **kwargs)
            resume: Callable[[], Any] = lambda: next(generator)  # noqa: E731
            try:
                while True:
                    try:
                        with self.clone():
                            value = resume()
                    except StopIteration as stop:
                        return stop.value
                    try:
                        sent = yield value
                    except GeneratorExit:
                        with self.clone():
                            generator.close()
                        raise
                    except BaseException as error:
                        resume = functools.partial(generator.throw, error)
                    else:
                        resume = functools.partial(generator.send, sent)
            finally:
                generator.close()
        return wrapped


class _Switch(_DecoratorContext):
    """Context or decorator that sets whether ops are recorded to ``_records``."""

    _records: bool

    def __new__(cls, orig_func: Callable | None = None) -> Any:
        self = object.__new__(cls)
        return self if orig_func is None else self(orig_func)

    def __init__(self, orig_func: Callable | None = None) -> None:
        pass

    def __enter__(self) -> None:
        self._previous = grad_mode.enabled
        grad_mode.enabled = self._records

    def __exit__(self, *exc: object) -> None:
        grad_mode.enabled = self._previous


class no_grad(_Switch):
    """Context manager or decorator in which operations are not recorded for backward.

    Results computed inside have ``requires_grad=False``, whatever their inputs say. It affects the current thread
    only.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _records = False


class enable_grad(_Switch):
    """Context manager or decorator in which operations are recorded for backward, also inside ``no_grad``.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.no_grad(), torch.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    _records = True


class set_grad_enabled(_DecoratorContext):
    """Switch recording on or off: at once when called, for a block when used as a context, or as a decorator."""

    def __init__(self, mode: bool) -> None:
        self._previous = grad_mode.enabled
        self.mode = bool(mode)
        grad_mode.enabled = self.mode

    def __call__(self, func: Callable) -> Callable:
        grad_mode.enabled = self._previous        # as a decorator it must not switch the surrounding code
        return super().__call__(func)

    def clone(self) -> set_grad_enabled:
        return type(self)(self.mode)

    def __enter__(self) -> None:
        grad_mode.enabled = self.mode

    def __exit__(self, *exc: object) -> None:
        grad_mode.enabled = self._previous

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mode={self.mode})"


class inference_mode(_DecoratorContext):
    """Like ``no_grad``, and the tensors made inside can never take part in a recorded computation."""

    def __new__(cls, mode: bool | Callable = True) -> Any:
        self = object.__new__(cls)
        if isinstance(mode, bool):
            return self
        self.mode = True
        return self(mode)

    def __init__(self, mode: bool | Callable = True) -> None:
        self.mode = mode if isinstance(mode, bool) else True

    def clone(self) -> inference_mode:
        return type(self)(self.mode)

    def __enter__(self) -> None:
        self._previous = grad_mode.enabled, grad_mode.inference
        if self.mode:
            grad_mode.enabled = False
            overrides.active.append(self)         # new tensors carry a mark, which only `interpret` sets
        else:
            grad_mode.enabled = True
        grad_mode.inference = self.mode

    def __exit__(self, *exc: object) -> None:
        grad_mode.enabled, grad_mode.inference = self._previous
        if self.mode:
            overrides.active.remove(self)


class enforce_grad_layout_policy:
    """Whether gradients are laid out as their leaves: at once, or for a block. It is always so here."""

    def __init__(self, enable: bool = True) -> None:
        self.enable = enable

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass

"""``torch.compiler``: what programs say to a compiler. Nothing is compiled, so advice is taken and changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from flowtorch.compiling import compile as compile

__path__: list[str] = []  # a package, as in PyTorch: imports below it are asked for by name
__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "config", "cudagraph_mark_step_begin", "disable",
    "get_default_backend", "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends",
    "load_cache_artifacts", "load_compiled_function", "nested_compile_region", "reset", "save_cache_artifacts",
    "set_default_backend", "set_enable_guard_collectives", "set_stance", "substitute_in_graph", "wrap_numpy",
]  # fmt: skip

T = TypeVar("T")
STANCES = (
    "aot_eager_then_compile", "default", "eager_on_recompile", "eager_then_compile", "fail_on_recompile",
    "force_eager",
)  # fmt: skip
_default_backend: Any = "inductor"


class Config:
    """Settings of a compiler: any can be set, read back, and set for a while with ``patch``."""

    def patch(self, name: Any = None, value: Any = None, **changes: Any) -> Any:
        """Return a context manager, also a decorator, in which settings have other values."""
        wanted = dict(name) if isinstance(name, dict) else {} if name is None else {name: value}
        return _Patch(self, wanted | changes)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the setting {name!r} has not been set: flowtorch compiles nothing and reads none")


class _Patch(contextlib.ContextDecorator):
    def __init__(self, owner: Config, changes: dict[str, Any]):
        self.owner, self.changes = owner, changes

    def __enter__(self) -> None:
        self.former = dict(vars(self.owner))
        vars(self.owner).update(self.changes)

    def __exit__(self, *exc: object) -> None:
        vars(self.owner).clear()
        vars(self.owner).update(self.former)


config = Config()
config.job_id = None  # type: ignore[attr-defined]


def is_compiling() -> bool:
    """Whether a compiler is tracing this call: never."""
    return False


def is_dynamo_compiling() -> bool:
    """Whether Dynamo is tracing this call: never."""
    return False


def is_exporting() -> bool:
    """Whether this call is being exported: never."""
    return False


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """Return ``fn`` as it is; also a decorator with arguments."""
    return (lambda f: f) if fn is None else fn


def allow_in_graph(fn: T) -> T:
    """Return the function as it is."""
    if isinstance(fn, (list, tuple)):
        return [allow_in_graph(f) for f in fn]  # type: ignore[return-value]
    if not callable(fn):
        raise AssertionError("allow_in_graph expects a callable")
    return fn


def assume_constant_result(fn: T) -> T:
    """Return the function as it is."""
    return fn


def substitute_in_graph(
    original_fn: Callable, *, can_constant_fold_through: bool = False, skip_signature_check: bool = False
) -> Callable:
    """A decorator that returns the function as it is."""
    return lambda traceable_fn: traceable_fn


def nested_compile_region(
    fn: Any = None, *, options: Any = None, max_reuse_entries: int = 8, reuse_hash_fn: Any = None
) -> Any:
    """Return ``fn`` as it is; also a decorator with arguments."""
    return (lambda f: f) if fn is None else fn


def reset() -> None:
    """There are no compiled programs to forget."""


def cudagraph_mark_step_begin() -> None:
    """There are no CUDA graphs."""


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The names of compilers: none."""
    return []


def get_default_backend() -> Any:
    """What ``set_default_backend`` set, at first "inductor"."""
    return _default_backend


def set_default_backend(backend: Any) -> None:
    """Choose the backend that ``torch.compile`` is asked for when it is not told one (None: "inductor")."""
    global _default_backend
    _default_backend = "inductor" if backend is None else backend


class set_stance(contextlib.ContextDecorator):
    """Choose how compiled functions behave, at once or as a context or decorator: all run eagerly."""

    def __init__(self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None):
        if stance not in STANCES:
            raise RuntimeError(f"invalid torch.compile stance '{stance}'")

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass


def set_enable_guard_collectives(enabled: bool) -> bool:
    """Change nothing; return the former setting, which is off."""
    return False


def wrap_numpy(fn: Callable) -> Callable:
    """Return a function of tensors from one of numpy arrays: tensors in, tensors out."""
    import functools

    import numpy as np

    import flowtorch
    from flowtorch.utils._pytree import tree_map

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(lambda x: x.numpy() if isinstance(x, flowtorch.Tensor) else x, (args, kwargs))
        out = fn(*args, **kwargs)
        return tree_map(lambda x: flowtorch.as_tensor(x) if isinstance(x, (np.ndarray, np.generic)) else x, out)

    return wrapped


def save_cache_artifacts() -> None:
    """The compiler's cache: None, for there is nothing in it."""


def load_cache_artifacts(serialized_artifacts: bytes) -> None:
    """Ignore another compiler's cache and return None, as when nothing in it can be used."""


def load_compiled_function(file: Any, *, f_globals: Any = None, external_data: Any = None) -> NoReturn:
    """Read a compiled program: not supported."""
    raise NotImplementedError("torch.compiler.load_compiled_function: flowtorch does not run compiled programs")


# ---------------------------------------------------------------- which guards of compiled code to keep

class CacheInfo:
    """What was found in the compiler's cache, by kind: nothing, for nothing is compiled."""

    def __init__(self, artifacts: Any = None) -> None:
        self.artifacts: dict[str, list[str]] = {} if artifacts is None else artifacts


def skip_all_guards_unsafe(guard_entries: Any) -> list[bool]:
    """A filter of guards that keeps none."""
    return [False for _ in guard_entries]


def skip_guard_on_globals_unsafe(guard_entries: Any) -> list[bool]:
    """A filter of guards that keeps those that look at no global variable."""
    return [not entry.is_global for entry in guard_entries]


def keep_tensor_guards_unsafe(guard_entries: Any, keep_parameters: bool = False) -> list[bool]:
    """A filter of guards that keeps those of tensors, parameters left out."""
    from flowtorch.nn import Parameter

    return [entry.guard_type == "TENSOR_MATCH" and (keep_parameters or not isinstance(entry.value, Parameter))
            for entry in guard_entries]


def _not_of_modules(guard_entries: Any) -> list[bool]:
    return ["nn_module" not in str(getattr(entry, "guard_type", "")).lower() for entry in guard_entries]


def skip_guard_on_inbuilt_nn_modules_unsafe(guard_entries: Any) -> list[bool]:
    """A filter of guards that keeps those that look at no module of the library."""
    return _not_of_modules(guard_entries)


def skip_guard_on_all_nn_modules_unsafe(guard_entries: Any) -> list[bool]:
    """A filter of guards that keeps those that look at no module."""
    return _not_of_modules(guard_entries)


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)

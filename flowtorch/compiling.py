"""``torch.compile``: what it returns looks like PyTorch's, and runs eagerly. Nothing is traced or fused yet."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

MODES = ("default", "lite", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune")


class Compiler:
    """What a call of ``compile`` asked for; calling it with a function gives the "compiled" function."""

    def __init__(self, **asked: Any) -> None:
        vars(self).update(asked)

    def __call__(self, fn: Callable) -> Callable:
        @functools.wraps(fn)
        def compiled(*args: Any, **kwargs: Any) -> Any:
            return fn(*args, **kwargs)

        compiled._torchdynamo_orig_callable = fn                        # type: ignore[attr-defined]
        compiled.get_compiler_config = lambda: None                     # type: ignore[attr-defined]
        return compiled


def compile(
    model: Callable | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "inductor",
    mode: str | None = None,
    options: dict | None = None,
    disable: bool = False,
) -> Any:
    """A function that calls ``model``; for a module, an ``OptimizedModule`` around it; without a model, a decorator.

    Nothing is compiled: what comes back computes exactly what ``model`` does, eagerly. As in PyTorch, the names in an
    OptimizedModule's ``state_dict`` begin with ``_orig_mod.``.

    >>> torch.compile(lambda x: x + 1)(torch.ones(2))
    tensor([2., 2.])
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if mode is not None and mode not in MODES and backend == "inductor":
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(MODES)}")
    asked = {"fullgraph": fullgraph, "dynamic": dynamic, "backend": backend, "mode": mode, "options": options,
             "disable": disable}
    if model is None:
        return lambda f: compile(f, **asked)
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")

    from flowtorch._dynamo.eval_frame import OptimizedModule
    from flowtorch.nn.module import Module

    if disable:
        return model
    compiler = Compiler(**asked)
    if isinstance(model, OptimizedModule):
        return compiler(model.forward)
    return OptimizedModule(model, compiler) if isinstance(model, Module) else compiler(model)

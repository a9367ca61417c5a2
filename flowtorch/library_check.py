"""``torch.library.opcheck``: what a call shows about an operator's schema, shapes and derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flowtorch as torch
from flowtorch.library import CustomOpDef, _lookup


class OpCheckError(Exception):
    """An operator does not do what it says."""


def _tensors(value: Any) -> list:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in _tensors(item)]
    return []


def _mapped(f: Callable, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return f(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_mapped(f, item) for item in value])
    return value


def _copies(f: Callable, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    return _mapped(f, args), {k: _mapped(f, v) for k, v in kwargs.items()}


def _schema(op: CustomOpDef, args: tuple, kwargs: dict) -> None:
    """Inputs stay as they are unless the schema marks them; results are no inputs."""
    given, named = _copies(lambda t: t.detach().clone(), args, kwargs)
    before = [t.clone() for t in _tensors([*given, *named.values()])]
    result = op(*given, **named)
    inputs = _tensors([*given, *named.values()])
    if "!" not in (op._schema or "") and not all(a.equal(b) for a, b in zip(before, inputs, strict=True)):
        raise OpCheckError(
            f"opcheck(op, ...): {op._qualname} changes an input that its schema does not mark as mutated"
        )
    if any(r is t for r in _tensors(result) for t in inputs):
        raise OpCheckError(f"opcheck(op, ...): {op._qualname} returns an input itself; return a copy")


def _shapes(op: CustomOpDef, args: tuple, kwargs: dict) -> None:
    """The shape function gives the sizes and dtypes that the kernel gives."""
    real, named = _copies(lambda t: t.detach(), args, kwargs)
    meta, meta_named = _copies(lambda t: t.detach().to("meta"), args, kwargs)
    if op._fake is None:
        raise OpCheckError(f"opcheck(op, ...): {op._qualname} has no shape function; see register_fake")
    for found, said in zip(_tensors(op(*real, **named)), _tensors(op(*meta, **meta_named)), strict=True):
        if found.shape != said.shape or found.dtype is not said.dtype:
            raise OpCheckError(
                f"opcheck(op, ...): the shape function of {op._qualname} says {list(said.shape)} {said.dtype}, the "
                f"kernel gives {list(found.shape)} {found.dtype}"
            )


def _derivative(op: CustomOpDef, args: tuple, kwargs: dict) -> None:
    """An operator that is called with inputs that need gradients has a derivative that runs."""
    inputs = [t for t in _tensors([*args, *kwargs.values()]) if t.requires_grad]
    if not inputs or op._backward is None:
        return
    outputs = [t for t in _tensors(op(*args, **kwargs)) if t.requires_grad]
    if outputs:
        torch.autograd.grad(outputs, inputs, [torch.ones_like(t) for t in outputs], allow_unused=True)


# Nothing is compiled: what PyTorch tries under its compiler is the derivative itself here.
TESTS = {
    "test_schema": _schema,
    "test_autograd_registration": _derivative,
    "test_faketensor": _shapes,
    "test_aot_dispatch_static": _derivative,
    "test_aot_dispatch_dynamic": _derivative,
}


def check(op: Any, args: tuple, kwargs: dict, names: tuple[str, ...], raise_exception: bool) -> dict[str, str]:
    """Run the named tests; their outcomes by name, or the first failure raised."""
    unknown = set(names) - set(TESTS)
    if unknown:
        raise ValueError(f"opcheck: invalid test_utils {sorted(unknown)}, expected some of {sorted(TESTS)}")
    found: dict[str, Any] = {}
    for name in names:
        try:
            TESTS[name](_lookup(op), args, kwargs)
            found[name] = "SUCCESS"
        except Exception as error:
            if raise_exception:
                raise OpCheckError(f"opcheck(op, ...): {name} failed with {error}") from error
            found[name] = error
    return found

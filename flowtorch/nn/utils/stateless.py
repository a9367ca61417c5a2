"""Calling a module with other tensors in the place of its parameters and buffers."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from ...tensor import Tensor
from ._named_member_accessor import NamedMemberAccessor

__all__ = ["functional_call"]


def functional_call(
    module: Any,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Deprecated: use ``flowtorch.func.functional_call``."""
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a "
        "future version of PyTorch. Please use `torch.func.functional_call` instead which is a drop-in "
        "replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return _functional_call(
        module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict
    )


def _functional_call(
    module: Any,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call ``module`` with the given tensors in place, and put its own back afterwards."""
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights=tie_weights, strict=strict):
        return module(*args, **(kwargs or {}))


@contextlib.contextmanager
def _reparametrize_module(
    module: Any,
    parameters_and_buffers: dict[str, Tensor],
    tie_weights: bool = False,
    strict: bool = False,
    stack_weights: bool = False,
) -> Iterator[None]:
    """Swap the given tensors in for this context; what they have become is in the given dict afterwards."""
    given = parameters_and_buffers
    if tie_weights:
        given = _untie_named_tensors_map(module, parameters_and_buffers)
    accessor = NamedMemberAccessor(module)
    if strict:
        _check_keys(accessor, module, given)
    originals: dict[str, Any] = {}
    try:
        originals, _ = accessor.swap_tensors_dict(given, allow_missing=True)
        yield
    finally:
        if stack_weights:
            originals = dict(reversed(originals.items()))
        used, _ = accessor.swap_tensors_dict(originals, allow_missing=True)
        # The forward may have replaced buffers, rather than changed them in place.
        parameters_and_buffers.update({name: used[name] for name in parameters_and_buffers if name in used})


def _check_keys(accessor: NamedMemberAccessor, module: Any, given: dict[str, Tensor]) -> None:
    missing, unexpected = accessor.check_keys(given)
    messages = [
        f"{kind} key(s): {', '.join(map(repr, keys))}."
        for kind, keys in (("Unexpected", unexpected), ("Missing", missing))
        if keys
    ]
    if messages:
        raise RuntimeError(
            "Error(s) in reparametrizing for {}:\n\t{}".format(module._get_name(), "\n\t".join(messages))
        )


def _untie_named_tensors_map(module: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """``given``, with each tensor also under the other names of the parameter that it replaces."""
    names_of: dict[int, set[str]] = {}
    tied: dict[str, set[str]] = {}
    for members in (module.named_parameters, module.named_buffers):
        for name, tensor in members(remove_duplicate=False):
            tied[name] = names_of.setdefault(id(tensor), set())
            tied[name].add(name)
    untied = dict(given)
    for name, tensor in given.items():
        together = tied.get(name, {name})
        values = {id(given[other]) for other in together if other in given}
        if len(values) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(together)}, which are tied. "
                "Consider using tie_weights=False"
            )
        for other in together:
            untied[other] = tensor
    return untied

"""Lend an optimizer other parameters and other state for a while."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowtorch.tensor import Tensor

from .optimizer import Optimizer

__all__ = ["swap_in_optimizer_params_and_state"]


@contextmanager
def swap_in_optimizer_params_and_state(optimizer: Optimizer, swapin_parameters: dict[str, Tensor],
                                       swapin_optim_state: dict[str, Any]) -> Iterator[None]:
    """While the context is open the optimizer works on ``swapin_parameters`` (in the order of its groups) and
    on the state and options of ``swapin_optim_state``, which has the form of ``Optimizer.state_dict``."""
    state, groups = _check(optimizer, swapin_optim_state)
    replacements = _split(optimizer, groups, list(swapin_parameters.values()))
    kept_state, kept_groups = optimizer.state, [dict(group) for group in optimizer.param_groups]
    try:
        swapped: defaultdict[Any, Any] = defaultdict(dict)
        for live, group, params in zip(optimizer.param_groups, groups, replacements, strict=True):
            live.update({key: value for key, value in group.items() if key != "params"}, params=params)
            for param, key in zip(params, group["params"], strict=True):
                swapped[param] = dict(state.get(key, {}))
        optimizer.state = swapped
        yield
    finally:
        for live, kept in zip(optimizer.param_groups, kept_groups, strict=True):
            live.clear()
            live.update(kept)
        optimizer.state = kept_state


def _fail(message: str) -> None:
    raise RuntimeError(message)


def _check(optimizer: Optimizer, saved: Any) -> tuple[dict[Any, Any], list[dict[str, Any]]]:
    """The state and the groups of a state dictionary, if they have the form that ``state_dict`` gives
    them."""
    needs = "swap_in_optimizer_params_and_state requires "
    if not optimizer.state:
        _fail(needs + "initialized optimizer state.")
    if not isinstance(saved, dict):
        _fail(needs + "a DCP-style optimizer state_dict.")
    state, groups = saved.get("state"), saved.get("param_groups")
    if not isinstance(state, dict):
        _fail(f"{needs}swapin_optim_state['state'] to be a dict mapping packed parameter ids to per-param "
              "state dicts, "
              f"got {type(state).__name__}.")
    if any(isinstance(key, Tensor) for key in state):
        _fail(needs + "optimizer.state_dict()-style state keyed by packed parameter ids.")
    if any(isinstance(key, int) and not isinstance(value, dict) for key, value in state.items()):
        _fail(needs + "per-parameter optimizer state entries to be dictionaries.")
    if not isinstance(groups, list):
        _fail(f"{needs}swapin_optim_state['param_groups'] to be a list of param-group dicts, got "
              f"{type(groups).__name__}.")
    if len(groups) != len(optimizer.param_groups):
        _fail("swapin_optim_state has a different number of parameter groups than the live optimizer.")
    for i, (live, group) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        _check_group(needs, i, live, group)
    known = {key for group in groups for key in group["params"]}
    extra = [key for key in state if key not in known]
    if extra:
        _fail(f"{needs}swapin_optim_state['state'] to be keyed only by packed parameter ids from "
              f"param_groups[*]['params']; got extra keys {extra!r}.")
    return state, groups


def _check_group(needs: str, i: int, live: dict[str, Any], group: Any) -> None:
    if not isinstance(group, dict):
        _fail(needs + "each optimizer param group to be a dictionary.")
    keys = group.get("params")
    if not isinstance(keys, list) or not all(isinstance(key, int) for key in keys):
        _fail(needs
              + "optimizer.state_dict()-style param_groups[*]['params'] entries keyed by packed parameter "
                "ids.")
    if len(keys) != len(live["params"]):
        _fail(f"swapin_optim_state param group {i} has a different number of params than the live optimizer "
              "param "
              "group.")
    theirs, ours = [k for k in group if k not in live], [k for k in live if k not in group]
    if theirs or ours:
        _fail(f"{needs}optimizer.state_dict()-style param group keys to exactly match the live optimizer "
              "group keys for "
              f"group {i}. Keys only in swap-in: {theirs}. Keys only in live: {ours}.")


def _split(optimizer: Optimizer, groups: list[dict[str, Any]], params: list[Tensor]) -> list[list[Tensor]]:
    """The replacement parameters, group by group."""
    parts, start = [], 0
    for group in groups:
        end = start + len(group["params"])
        if end > len(params):
            _fail("swap_in_optimizer_params_and_state requires the explicit parameter state to match "
                  "optimizer.param_groups ordering.")
        parts.append(params[start:end])
        start = end
    return parts

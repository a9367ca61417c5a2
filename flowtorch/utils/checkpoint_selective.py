"""Selective checkpointing: a policy says op by op what is kept and what is computed again."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from flowtorch.ops_namespace import OpOverload, ops
from flowtorch.tensor import Tensor
from flowtorch.utils._python_dispatch import TorchDispatchMode
from flowtorch.utils._pytree import tree_map


class CheckpointPolicy(enum.Enum):
    """What a policy function answers for an op. MUST is kept to in any case, PREFER may be overruled by a compiler."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


_SAVED = {
    CheckpointPolicy.MUST_SAVE,
    CheckpointPolicy.PREFER_SAVE,
    CheckpointPolicy.MUST_CPU_OFFLOAD,
    CheckpointPolicy.PREFER_CPU_OFFLOAD,
}
_OFFLOADED = {CheckpointPolicy.MUST_CPU_OFFLOAD, CheckpointPolicy.PREFER_CPU_OFFLOAD}

# Ops that a policy is not asked about.
SAC_IGNORED_OPS = {ops.aten.detach.default}


class SelectiveCheckpointContext:
    """What a policy function is told: whether the op runs for the first time or again."""

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute, self.op_output = is_recompute, op_output


class _Kept:
    """A result as it was, and its version then."""

    def __init__(self, t: Any, offload: bool) -> None:
        self.device = t.device
        self.value = t.detach().cpu() if offload else t.detach()
        self.version = self.value._version

    def get(self, may_change: bool) -> Any:
        if self.value._version != self.version and not may_change:
            raise RuntimeError(
                "Tensor cached during selective activation checkpoint has been mutated. Pass "
                "allow_cache_entry_mutation=True to create_selective_checkpoint_contexts() if that is intended."
            )
        return self.value.to(self.device)


def _answer(policy_fn: Callable, context: SelectiveCheckpointContext, func: Any, args: Any, kwargs: Any) -> Any:
    policy = policy_fn(context, func, *args, **kwargs)
    if isinstance(policy, bool):
        return CheckpointPolicy.MUST_SAVE if policy else CheckpointPolicy.PREFER_RECOMPUTE
    return policy


class _Keep(TorchDispatchMode):
    """The first run: keeps what the policy wants kept."""

    def __init__(self, policy_fn: Callable, storage: dict) -> None:
        super().__init__()
        self.policy_fn, self.storage = policy_fn, storage

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in SAC_IGNORED_OPS:
            return func(*args, **kwargs)
        out = func(*args, **kwargs)
        context = SelectiveCheckpointContext(is_recompute=False, op_output=out)
        policy = _answer(self.policy_fn, context, func, args, kwargs)
        if policy in _SAVED:
            offload = policy in _OFFLOADED
            kept = tree_map(lambda t: _Kept(t, offload) if isinstance(t, Tensor) else t, out)
            self.storage[func].append(kept)
        return out


class _Reuse(TorchDispatchMode):
    """The run in backward: gives what was kept instead of computing it."""

    def __init__(self, policy_fn: Callable, storage: dict, may_change: bool) -> None:
        super().__init__()
        self.policy_fn, self.storage, self.may_change = policy_fn, storage, may_change

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in SAC_IGNORED_OPS:
            return func(*args, **kwargs)
        policy = _answer(self.policy_fn, SelectiveCheckpointContext(is_recompute=True), func, args, kwargs)
        if policy not in _SAVED:
            return func(*args, **kwargs)
        if not self.storage.get(func):
            raise RuntimeError(
                f"{func} encountered during backward, but not found in storage: the parts must run the same ops both "
                "times, and backward can run once"
            )
        kept = self.storage[func].pop(0)
        return tree_map(lambda k: k.get(self.may_change) if isinstance(k, _Kept) else k, kept)


def create_selective_checkpoint_contexts(policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False) -> tuple:
    """Two contexts for ``checkpoint(..., context_fn=...)``: for the first run and for the one in backward.

    ``policy_fn(ctx, op, *args, **kwargs)`` answers with a ``CheckpointPolicy`` for each primitive; a list of overloads
    stands for a policy that keeps the results of these.
    """
    if isinstance(policy_fn_or_list, list):
        for op in policy_fn_or_list:
            if not isinstance(op, OpOverload):
                raise ValueError(f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}. ")
        listed = list(policy_fn_or_list)

        def policy_fn(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
            return CheckpointPolicy.MUST_SAVE if op in listed else CheckpointPolicy.PREFER_RECOMPUTE

    elif callable(policy_fn_or_list):
        policy_fn = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    storage: dict = defaultdict(list)
    return _Keep(policy_fn, storage), _Reuse(policy_fn, storage, allow_cache_entry_mutation)

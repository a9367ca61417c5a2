"""Selective checkpointing: the policy decides which ops run again in backward, and the gradients stay the same."""

import functools

import pytest

import flowtorch as torch
from flowtorch.utils._python_dispatch import TorchDispatchMode
from flowtorch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

ATEN = torch.ops.aten


class Count(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def part(x, w):
    return (torch.mm(x, w).sin() @ w).cos().exp()


def run(context_fn=None):
    torch.manual_seed(0)
    x, w = torch.rand(3, 3, requires_grad=True), torch.rand(3, 3, requires_grad=True)
    options = {} if context_fn is None else {"context_fn": context_fn}
    out = checkpoint(part, x, w, use_reentrant=False, **options)
    with Count() as count:
        out.sum().backward()
    return count.names, x.grad, w.grad


def policy(ctx, op, *args, **kwargs):
    return CheckpointPolicy.MUST_SAVE if op is ATEN.mm.default else CheckpointPolicy.PREFER_RECOMPUTE


@pytest.mark.parametrize("what", [policy, [ATEN.mm.default]])
def test_kept_ops_do_not_run_again(what):
    plain, *gradients = run()
    chosen, *same = run(functools.partial(create_selective_checkpoint_contexts, what))
    assert plain.count("aten.mm.default") - chosen.count("aten.mm.default") == 2
    assert chosen.count("aten.sin.default") == plain.count("aten.sin.default")
    for a, b in zip(gradients, same, strict=True):
        assert torch.equal(a, b)


def test_the_policy_is_told_whether_it_is_the_first_run():
    seen = []

    def note(ctx, op, *args, **kwargs):
        seen.append((ctx.is_recompute, str(op)))
        return CheckpointPolicy.PREFER_RECOMPUTE

    run(functools.partial(create_selective_checkpoint_contexts, note))
    assert [n for again, n in seen if not again][:2] == ["aten.mm.default", "aten.sin.default"]
    assert [n for again, n in seen if again][:2] == ["aten.mm.default", "aten.sin.default"]


def test_a_kept_result_that_was_changed_is_refused():
    def changing(x):
        y = x.mm(x)
        y.add_(1)
        return y.sin().cos()

    def gradient(may_change):
        x = torch.rand(2, 2, requires_grad=True)
        contexts = functools.partial(create_selective_checkpoint_contexts, [ATEN.mm.default], may_change)
        checkpoint(changing, x, use_reentrant=False, context_fn=contexts).sum().backward()

    with pytest.raises(RuntimeError, match="has been mutated"):
        gradient(False)
    gradient(True)


def test_refused_policies():
    with pytest.raises(TypeError, match="must be either a function or a list of ops"):
        create_selective_checkpoint_contexts(3)
    with pytest.raises(ValueError, match="to be an OpOverload but got"):
        create_selective_checkpoint_contexts([3])


def test_a_group_of_backward_passes_computes_a_part_once():
    from flowtorch.utils.checkpoint import GraphExecGroup

    calls = []

    def counted(x):
        calls.append(1)
        return (x * x).exp()

    x = torch.rand(3, requires_grad=True)
    out = checkpoint(counted, x, use_reentrant=False)
    (expected,) = torch.autograd.grad(out.sum(), x, retain_graph=True)
    before = len(calls)
    with GraphExecGroup():
        first = torch.autograd.grad(out.sum(), x, retain_graph=True)[0]
        second = torch.autograd.grad(out.sum(), x, retain_graph=True)[0]
    assert len(calls) == before + 1
    assert torch.equal(first, expected) and torch.equal(second, expected)
    torch.autograd.grad(out.sum(), x)
    assert len(calls) == before + 2

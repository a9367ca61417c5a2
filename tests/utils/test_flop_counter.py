"""Counts of floating-point operations and the modules they belong to, against PyTorch's."""

import pytest
import torch
import torch.utils.flop_counter
import torch.utils.module_tracker

import flowtorch
import flowtorch.utils.flop_counter
import flowtorch.utils.module_tracker


def ones(t, *shape):
    return t.ones(*shape, requires_grad=True)


CASES = {
    "mm": lambda t: ones(t, 2, 3, 4) @ ones(t, 4, 5),
    "bmm": lambda t: ones(t, 2, 3, 4) @ ones(t, 2, 4, 5),
    "vectors": lambda t: (ones(t, 3, 4) @ ones(t, 4)).detach() * ones(t, 1),
    "linear": lambda t: t.nn.functional.linear(ones(t, 2, 3, 4), ones(t, 5, 4), ones(t, 5)),
    "linear without bias": lambda t: t.nn.functional.linear(ones(t, 3, 4), ones(t, 5, 4)),
    "baddbmm": lambda t: t.baddbmm(ones(t, 2, 3, 5), ones(t, 2, 3, 4), ones(t, 2, 4, 5)),
    "conv1d": lambda t: t.nn.functional.conv1d(ones(t, 2, 4, 8), ones(t, 6, 4, 3)),
    "conv2d, groups": lambda t: t.nn.functional.conv2d(
        ones(t, 1, 4, 8, 8), ones(t, 6, 2, 3, 3), ones(t, 6), stride=2, padding=1, groups=2
    ),
    "conv_transpose2d": lambda t: t.nn.functional.conv_transpose2d(ones(t, 1, 2, 4, 4), ones(t, 2, 3, 3, 3), stride=2),
}


def counted(t, work, *mods):
    with t.utils.flop_counter.FlopCounterMode(*mods, display=False) as counter:
        work(t)
    assert counter.get_total_flops() == sum(counter.get_flop_counts().get("Global", {}).values())
    return {name: {str(op): n for op, n in c.items()} for name, c in counter.get_flop_counts().items()}


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_counts_are_pytorchs(name, backward):
    def work(t):
        out = CASES[name](t)
        if backward:
            out.sum().backward()

    assert counted(flowtorch, work) == counted(torch, work)


def test_counts_belong_to_modules():
    def work(t):
        inner = t.nn.Sequential(t.nn.Linear(144, 6), t.nn.ReLU(), t.nn.Linear(6, 2))
        t.nn.Sequential(t.nn.Conv2d(3, 4, 3), t.nn.Flatten(), inner)(ones(t, 2, 3, 8, 8)).sum().backward()

    mine, theirs = counted(flowtorch, work), counted(torch, work)
    assert mine == theirs and "Sequential.2.0" in mine


def test_a_formula_of_ones_own_and_the_table():
    mapping = {flowtorch.ops.aten.sin: lambda shape, out_shape, **kwargs: 7 * out_shape[0]}
    with flowtorch.utils.flop_counter.FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        flowtorch.ones(3).sin()
        flowtorch.nn.Linear(10, 100)(flowtorch.ones(5, 10))
    assert counter.get_total_flops() == 21 + 10_000
    table = counter.get_table()
    assert "aten.sin" in table and "10.000K" in table and "Linear" in table


def test_modules_in_backward_without_gradients_of_inputs():
    seen = {}
    for t in (flowtorch, torch):
        seen[t] = []

        class Note(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, g):
                seen[t].append((sorted(tracker.parents), tracker.is_bw))
                return g

        class Layer(t.nn.Linear):
            def forward(self, x):
                seen[t].append((sorted(tracker.parents), tracker.is_bw))
                return Note.apply(super().forward(x))

        model = t.nn.Sequential(Layer(3, 3), t.nn.Sequential(Layer(3, 3)))
        with t.utils.module_tracker.ModuleTracker() as tracker:
            model(t.ones(2, 3)).sum().backward()
            assert tracker.parents == {"Global"}
    assert seen[flowtorch] == seen[torch]


@pytest.mark.parametrize("kind, gates", [("LSTM", 0), ("GRU", 3), ("RNN", 1)])
def test_the_input_of_recurrent_layers_is_seen_where_pytorch_shows_it(kind, gates):
    layer, x = getattr(flowtorch.nn, kind)(8, 16), flowtorch.randn(5, 3, 8)
    with flowtorch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        layer(x)
    assert counter.get_total_flops() == 2 * 5 * 3 * 8 * 16 * gates

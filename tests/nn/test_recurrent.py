"""Recurrent layers: packed sequences, hidden states, second derivatives, projections, single steps."""

import pytest
from both import program

MODES = ["RNN", "LSTM", "GRU"]


def numbers(torch, *shape, shift=0.0):
    """Numbers that look random and are the same in both libraries."""
    count = 1
    for n in shape:
        count *= n
    return ((torch.arange(count, dtype=torch.float64) * 0.7 + shift).sin()).reshape(shape)


def states(torch, mode, *shape):
    h = numbers(torch, *shape, shift=1.0).requires_grad_()
    return (h, numbers(torch, *shape, shift=2.0).requires_grad_()) if mode == "LSTM" else h


def flat(state):
    return list(state) if isinstance(state, tuple) else [state]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"bidirectional": True, "num_layers": 2}], ids=str)
def test_packed_sequences(mode, options):
    @program
    def compare(torch):
        layer = getattr(torch.nn, mode)(3, 4, **options, dtype=torch.float64)
        x = numbers(torch, 5, 4, 3).requires_grad_()
        for lengths, in_order in (([5, 3, 3, 1], True), ([2, 5, 1, 4], False)):
            directions = 2 if options.get("bidirectional") else 1
            hx = states(torch, mode, directions * options.get("num_layers", 1), 4, 4)
            for given in (None, hx):
                packed = torch.nn.utils.rnn.pack_padded_sequence(
                    x, torch.tensor(lengths), enforce_sorted=in_order
                )
                output, last = layer(packed, given)
                padded, _ = torch.nn.utils.rnn.pad_packed_sequence(output)
                yield padded, flat(last), output.batch_sizes, output.sorted_indices
                loss = (padded * padded).sum() + sum((s * s * s).sum() for s in flat(last))
                inputs = [x, *layer.parameters()] + (flat(hx) if given is not None else [])
                yield torch.autograd.grad(loss, inputs)

    compare()


@pytest.mark.parametrize("mode", MODES)
def test_second_derivatives(mode):
    @program
    def compare(torch):
        layer = getattr(torch.nn, mode)(3, 4, dtype=torch.float64)
        x = numbers(torch, 5, 2, 3).requires_grad_()
        hx = states(torch, mode, 1, 2, 4)
        output, last = layer(x, hx)
        inputs = [x, *flat(hx), *layer.parameters()]
        first = torch.autograd.grad(
            (output**2).sum() + sum((s**3).sum() for s in flat(last)), inputs, create_graph=True
        )
        yield first
        yield torch.autograd.grad(sum((g * g).sum() for g in first), inputs)

    compare()


def test_projected_lstm():
    @program
    def compare(torch):
        layer = torch.nn.LSTM(3, 5, 2, proj_size=2, bidirectional=True, dtype=torch.float64)
        x = numbers(torch, 4, 2, 3).requires_grad_()
        output, (h, c) = layer(x)
        yield output, h, c, [name for name, _ in layer.named_parameters()]
        loss = (output**2).sum() + h.sum() + (c**2).sum()
        first = torch.autograd.grad(loss, [x, *layer.parameters()], create_graph=True)
        yield first
        yield torch.autograd.grad(sum((g * g).sum() for g in first), [x, layer.weight_hr_l0])

    compare()


@pytest.mark.parametrize("mode", MODES)
def test_only_one_result_is_used(mode):
    @program
    def compare(torch):
        layer = getattr(torch.nn, mode)(3, 4, dtype=torch.float64)
        x = numbers(torch, 5, 2, 3).requires_grad_()
        output, last = layer(x)
        yield torch.autograd.grad(output[2].sum(), [x, *layer.parameters()], retain_graph=True)
        yield torch.autograd.grad(flat(last)[-1].sum(), [x, *layer.parameters()])

    compare()


@pytest.mark.parametrize("mode", MODES)
def test_a_cell_makes_the_steps_of_a_layer(mode):
    @program
    def compare(torch):
        cell = getattr(torch.nn, mode + "Cell")(3, 4, dtype=torch.float64)
        layer = getattr(torch.nn, mode)(3, 4, dtype=torch.float64)
        for name, weight in cell.named_parameters():
            getattr(layer, name + "_l0").data.copy_(weight.data)
        x = numbers(torch, 5, 2, 3)
        state, outputs = None, []
        for step in x:
            state = cell(step, state)
            outputs.append(flat(state)[0])
        output, last = layer(x)
        yield torch.stack(outputs), output, [s[0] for s in flat(last)], flat(state)
        yield bool(torch.allclose(torch.stack(outputs), output))

    compare()


@pytest.mark.parametrize("mode", MODES)
def test_functions_of_the_torch_namespace(mode):
    @program
    def compare(torch):
        layer = getattr(torch.nn, mode)(3, 4, 2, dtype=torch.float64)
        x = numbers(torch, 5, 2, 3)
        zeros = torch.zeros(2, 2, 4, dtype=torch.float64)
        function = getattr(torch, {"RNN": "rnn_tanh", "LSTM": "lstm", "GRU": "gru"}[mode])
        hx = (zeros, zeros) if mode == "LSTM" else zeros
        weights = list(layer.parameters())
        yield function(x, hx, weights, True, 2, 0.0, False, False, False)
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 2]))
        yield function(packed.data, packed.batch_sizes, hx, weights, True, 2, 0.0, False, False)

    compare()


@program
def test_dropout_between_layers_draws_torchs_numbers(torch):
    layer = torch.nn.LSTM(3, 4, 3, dropout=0.5)
    x = torch.ones(4, 2, 3)
    torch.manual_seed(1)
    yield layer(x)[0]
    yield layer.eval()(x)[0]


@program
def test_weights_by_layer(torch):
    layer = torch.nn.GRU(3, 4, 2, bidirectional=True)
    yield [[tuple(w.shape) for w in weights] for weights in layer.all_weights]
    yield layer._all_weights, layer._flat_weights_names
    layer.flatten_parameters()
    layer.weight_ih_l0 = torch.nn.Parameter(torch.zeros_like(layer.weight_ih_l0))
    yield layer(torch.ones(2, 1, 3))[0]


@program
def test_warns_of_useless_dropout(torch):
    torch.nn.LSTM(3, 4, dropout=0.5)
    yield "done"


@program
def test_second_derivatives_where_a_bias_is_shared(torch):
    x, w, b = (numbers(torch, *shape).requires_grad_() for shape in ((2, 3), (3, 3), (3,)))
    linear = torch.nn.functional.linear
    y = linear(linear(x, w, b).tanh(), w, b).tanh()
    first = torch.autograd.grad((y**2).sum(), [x, w, b], create_graph=True)
    yield first
    yield torch.autograd.grad(sum((g * g).sum() for g in first), [x, w, b])

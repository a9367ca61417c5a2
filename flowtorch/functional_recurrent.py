"""Recurrent networks as functions: stacks of layers over sequences, and single steps."""

from __future__ import annotations

from typing import Any

import flowtorch as torch
from flowtorch.ops import recurrent as ops
from flowtorch.ops.linear import linear
from flowtorch.ops.op import composite
from flowtorch.overrides import active

# ---------------------------------------------------------------- single steps


def _gates(input, h, w_ih, w_hh, b_ih, b_hh):
    return linear(input, w_ih, b_ih), linear(h, w_hh, b_hh)


def _check_cell(input, h, w_ih, w_hh) -> None:
    """Raise PyTorch's errors for a step whose sizes do not fit."""
    if input.size(1) != w_ih.size(1):
        raise RuntimeError(f"input has inconsistent input_size: got {input.size(1)} expected {w_ih.size(1)}")
    if input.size(0) != h.size(0):
        raise RuntimeError(f"Input batch size {input.size(0)} doesn't match hidden0 batch size {h.size(0)}")
    if h.size(1) != w_hh.size(1):
        raise RuntimeError(f"hidden0 has inconsistent hidden_size: got {h.size(1)}, expected {w_hh.size(1)}")


def _lstm_step(gates, c):
    i, f, new, o = gates.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(new)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru_step(from_input, from_hidden, h):
    r_x, z_x, n_x = from_input.chunk(3, 1)
    r_h, z_h, n_h = from_hidden.chunk(3, 1)
    z = torch.sigmoid(z_x + z_h)
    new = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
    return (h - new) * z + new                 # in this order the result has the layout of h


@composite
def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One LSTM step: (N, I) input and the pair (h, c) to the next pair."""
    h, c = hx
    _check_cell(input, h, w_ih, w_hh)
    from_input, from_hidden = _gates(input, h, w_ih, w_hh, b_ih, b_hh)
    return _lstm_step(from_input + from_hidden, c)


@composite
def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One GRU step: (N, I) input and (N, H) state to the next state."""
    _check_cell(input, hx, w_ih, w_hh)
    return _gru_step(*_gates(input, hx, w_ih, w_hh, b_ih, b_hh), hx)


@composite
def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step ``tanh(W_ih x + b_ih + W_hh h + b_hh)``."""
    _check_cell(input, hx, w_ih, w_hh)
    from_input, from_hidden = _gates(input, hx, w_ih, w_hh, b_ih, b_hh)
    return torch.tanh(from_input + from_hidden)


@composite
def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step ``relu(W_ih x + b_ih + W_hh h + b_hh)``."""
    _check_cell(input, hx, w_ih, w_hh)
    from_input, from_hidden = _gates(input, hx, w_ih, w_hh, b_ih, b_hh)
    return torch.relu(from_input + from_hidden)


# ---------------------------------------------------------------- one direction of one layer


def steps(kind: str, input, *state_and_weights, batch_sizes, reverse: bool):
    """The ops of ``flowtorch.ops.recurrent`` step by step: packed outputs and the last state(s)."""
    c: Any = None
    w_hr = b_hh = None
    h, *rest = state_and_weights
    if kind == "lstm":
        c, w_hh, w_ih, bias, w_hr = rest
    elif kind == "gru":
        w_hh, w_ih, bias, b_hh = rest
    else:
        w_hh, w_ih, bias = rest
    gates = input if w_ih is None else linear(input, w_ih, bias)
    inputs = gates.split(list(batch_sizes))
    outputs = []
    for x in reversed(inputs) if reverse else inputs:
        n = x.size(0)
        now, waiting = h[:n], h[n:]
        from_hidden = linear(now, w_hh, b_hh)
        if kind == "lstm":
            now, cell = _lstm_step(x + from_hidden, c[:n])
            now = now if w_hr is None else linear(now, w_hr)
            c = torch.cat([cell, c[n:]]) if n < c.size(0) else cell
        elif kind == "gru":
            now = _gru_step(x, from_hidden, now)
        else:
            now = (torch.relu if kind == "rnn_relu" else torch.tanh)(x + from_hidden)
        outputs.append(now)
        h = torch.cat([now, waiting]) if n < h.size(0) else now
    output = torch.cat(outputs[::-1] if reverse else outputs)
    return (output, h, c) if kind == "lstm" else (output, h)


def _run_layer(kind: str, x, state, weights, has_biases: bool, batch_sizes, reverse: bool):
    """Packed outputs of one direction of one layer, and its last state as a tuple."""
    w_ih, w_hh, *rest = weights
    b_ih, b_hh = rest[:2] if has_biases else (None, None)
    w_hr = rest[-1] if len(rest) in (1, 3) else None
    if kind != "gru" and b_ih is not None:  # the GRU's reset gate multiplies one of the biases
        b_ih = b_ih + b_hh
    # Under autocast the product is rounded before it is added; a mode sees it, as it does in PyTorch but for LSTMs.
    if x.dtype.itemsize < 4 or torch.is_autocast_enabled("cpu") or (active and kind != "lstm"):
        x, w_ih, b_ih = linear(x, w_ih, b_ih), None, None
    if kind == "lstm":
        arguments = (x, *state, w_hh, w_ih, b_ih, w_hr)
    elif kind == "gru":
        arguments = (x, *state, w_hh, w_ih, b_ih, b_hh)
    else:
        arguments = (x, *state, w_hh, w_ih, b_ih)
    # Under autocast the products are of low precision; the GRU's state is not.
    if not ops.supported(*arguments) or (kind == "gru" and x.dtype != state[0].dtype):
        output, *last = steps(kind, *arguments, batch_sizes=batch_sizes, reverse=reverse)
    elif kind == "lstm":
        output, *last = ops.lstm_layer(*arguments, batch_sizes=batch_sizes, reverse=reverse)[:3]
    elif kind == "gru":
        output, *last = ops.gru_layer(*arguments, batch_sizes=batch_sizes, reverse=reverse)[:2]
    else:
        output, *last = ops.rnn_layer(
            *arguments, batch_sizes=batch_sizes, reverse=reverse, relu=kind == "rnn_relu"
        )
    return output, last


# ---------------------------------------------------------------- stacks


def run_stack(
    mode: str, input, batch_sizes, hx, weights, has_biases, dropout, bidirectional, batch_first
):  # fmt: skip
    """A stack of layers: the output of the last one, and the last states of all, stacked.

    ``weights`` has one list per direction of each layer. ``input`` is (T, N, I), (N, T, I) with ``batch_first``, or
    packed if ``batch_sizes`` is given.
    """
    kind = mode.lower()
    directions = 2 if bidirectional else 1
    dense = batch_sizes is None
    if dense:
        x = input.transpose(0, 1) if batch_first else input
        length, batch = x.shape[:2]
        if length == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        sizes = [batch] * length
        x = x.reshape(length * batch, x.size(2))
    else:
        x, sizes = input, batch_sizes.tolist()
    initial = hx if kind == "lstm" else (hx,)
    last: list[list] = []
    for layer in range(len(weights) // directions):
        outputs = []
        for direction in range(directions):
            place = layer * directions + direction
            state = [s[place] for s in initial]
            output, ended = _run_layer(kind, x, state, weights[place], has_biases, sizes, direction == 1)
            outputs.append(output)
            last.append(ended)
        x = outputs[0] if directions == 1 else torch.cat(outputs, 1)
        if dropout > 0 and (layer + 1) * directions < len(weights):
            x = torch.dropout(x, dropout, True)
    states = [torch.stack(states) for states in zip(*last, strict=True)]
    if dense:
        x = x.view(length, batch, x.size(1))
        x = x.transpose(0, 1) if batch_first else x
    return x, tuple(states) if kind == "lstm" else states[0]


def _network(mode: str, doc: str):
    """A function with PyTorch's two signatures: dense and packed."""
    kind = mode.lower()

    def network(*args, **kwargs):
        packed = len(args) > 1 and isinstance(args[1], torch.Tensor) and args[1].dim() == 1
        names = ["hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional"]
        names = ["data", "batch_sizes", *names] if packed else ["input", *names, "batch_first"]
        given = dict(zip(names, args, strict=False)) | kwargs
        if len(args) > len(names) or set(given) != set(names):
            got = [type(a).__name__ for a in args] + [f"{k}={type(v).__name__}" for k, v in kwargs.items()]
            raise TypeError(f"{kind}() received an invalid combination of arguments - got ({', '.join(got)}), but "
                            f"expected ({', '.join(names)})")
        directions = 2 if given["bidirectional"] else 1
        count = given["num_layers"] * directions
        flat = list(given["params"])
        width = len(flat) // count
        output, state = run_stack(
            mode,
            given["data" if packed else "input"],
            given.get("batch_sizes"),
            given["hx"],
            [flat[k * width : (k + 1) * width] for k in range(count)],
            given["has_biases"],
            given["dropout"] if given["train"] else 0.0,
            given["bidirectional"],
            given.get("batch_first", False),
        )
        return (output, *state) if kind == "lstm" else (output, state)

    network.__name__ = network.__qualname__ = kind
    network.__doc__ = doc
    return composite(network)


lstm = _network("LSTM", "An LSTM stack: output, last hidden and last cell states.")
gru = _network("GRU", "A GRU stack: output and last hidden states.")
rnn_tanh = _network("RNN_TANH", "A plain recurrent stack with tanh: output and last hidden states.")
rnn_relu = _network("RNN_RELU", "A plain recurrent stack with ReLU: output and last hidden states.")

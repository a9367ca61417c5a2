"""Recurrent layers over sequences, padded or packed, and their single-step cells."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any, ClassVar

import flowtorch as torch
from flowtorch import functional_recurrent as recurrent

from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class RNNBase(Module):
    """The weights of a stack of recurrent layers, and the checks of its input and hidden state."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        _check_options(self, dropout)
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse") if bidirectional else ("",):
                self._add_layer(layer, suffix, device, dtype)
        self._flat_weights_names = [name for names in self._all_weights for name in names]
        self.reset_parameters()

    def _add_layer(self, layer: int, suffix: str, device, dtype) -> None:
        """Register the weights of one direction of one layer."""
        rows = GATES[self.mode] * self.hidden_size
        out_size = self.proj_size or self.hidden_size
        in_size = self.input_size if layer == 0 else out_size * (2 if self.bidirectional else 1)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, in_size), "weight_hh": (rows, out_size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = []
        for kind, shape in shapes.items():
            name = f"{kind}_l{layer}{suffix}"
            setattr(self, name, Parameter(torch.empty(shape, device=device, dtype=dtype)))
            names.append(name)
        self._all_weights.append(names)

    def reset_parameters(self) -> None:
        """Draw every weight and bias uniformly from ``+-1/sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: the weights need no special layout here."""

    @property
    def _flat_weights(self) -> list:
        # Read through attributes, so that parametrized, swapped and pruned weights are seen.
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list]:
        """The weights of each direction of each layer."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def check_input(self, input, batch_sizes) -> None:
        """Raise unless ``input`` suits the layer: dtype, number of dimensions, features."""
        dtype = getattr(self, self._flat_weights_names[0]).dtype
        if input.dtype != dtype and not torch.is_autocast_enabled(input.device.type):
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). "
                f"Convert input: input.to({dtype}), or convert model: model.to({input.dtype})"
            )
        dims = 3 if batch_sizes is None else 2
        if input.dim() != dims:
            raise RuntimeError(f"input must have {dims} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def _state_size(self, input, batch_sizes, features: int) -> tuple[int, int, int]:
        if batch_sizes is None:
            batch = input.size(0 if self.batch_first else 1)
        else:
            batch = int(batch_sizes[0])
        return (self.num_layers * (2 if self.bidirectional else 1), batch, features)

    def get_expected_hidden_size(self, input, batch_sizes) -> tuple[int, int, int]:
        """The shape of the hidden state for ``input``."""
        return self._state_size(input, batch_sizes, self.proj_size or self.hidden_size)

    def check_hidden_size(
        self, hx, expected_hidden_size, msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Raise unless the state ``hx`` has the expected shape."""
        if tuple(hx.size()) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def check_forward_args(self, input, hidden, batch_sizes) -> None:
        """Raise unless input and hidden state suit the layer."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx, permutation):
        """Reorder the batch of a hidden state; None keeps it."""
        return hx if permutation is None else hx.index_select(1, permutation)

    def _initial_state(self, input, batch_sizes):
        size = self.get_expected_hidden_size(input, batch_sizes)
        return torch.zeros(size, dtype=input.dtype, device=input.device)

    def _check_state_dims(self, hx, batched: bool) -> None:
        dims, word = (3, "batched") if batched else (2, "unbatched")
        if hx.dim() != dims:
            raise RuntimeError(
                f"For {word} {dims}-D input, hx should also be {dims}-D but got {hx.dim()}-D tensor"
            )

    def _map_state(self, function, hx):
        """Apply ``function`` to the hidden state; an LSTM has two tensors."""
        return function(hx)

    def _run(self, input, batch_sizes, hx):
        """Output and final state of the whole stack for a checked batch."""
        return recurrent.run_stack(
            self.mode,
            input,
            batch_sizes,
            hx,
            [[getattr(self, name) for name in names] for names in self._all_weights],
            self.bias,
            self.dropout if self.training else 0.0,
            self.bidirectional,
            self.batch_first,
        )

    def forward(self, input, hx=None):
        """Output for every step, and the final state of every layer and direction."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.dim() not in (2, 3):
            # Only the plain RNN says "got 1D tensor".
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D{self._noun} instead"
            )
        batched = input.dim() == 3
        batch_dim = 0 if self.batch_first else 1
        if hx is not None:
            self._check_state_dims(hx, batched)
        if not batched:
            input = input.unsqueeze(batch_dim)
            hx = None if hx is None else self._map_state(lambda state: state.unsqueeze(1), hx)
        if hx is None:
            hx = self._initial_state(input, None)
        self.check_forward_args(input, hx, None)
        output, hidden = self._run(input, None, hx)
        if batched:
            return output, hidden
        return output.squeeze(batch_dim), self._map_state(lambda state: state.squeeze(1), hidden)

    def _forward_packed(self, packed, hx):
        input, batch_sizes, order, restore = packed
        if hx is None:
            hx = self._initial_state(input, batch_sizes)
        else:
            hx = self.permute_hidden(hx, order)
        self.check_forward_args(input, hx, batch_sizes)
        output, hidden = self._run(input, batch_sizes, hx)
        return PackedSequence(output, batch_sizes, order, restore), self.permute_hidden(hidden, restore)

    _noun: ClassVar[str] = ""

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        neutral = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        parts += [
            f"{name}={getattr(self, name)}" for name, value in neutral.items() if getattr(self, name) != value
        ]
        return ", ".join(parts)

    def __getstate__(self) -> dict:
        state = super().__getstate__()
        if all(name in self._parameters for name in self._flat_weights_names):
            state["_flat_weights"] = self._flat_weights  # PyTorch's modules compute with this list
        return state

    def __setstate__(self, state) -> None:
        super().__setstate__({name: value for name, value in state.items() if name != "_flat_weights"})
        self.__dict__.setdefault("proj_size", 0)


def _check_options(rnn: RNNBase, dropout: Any) -> None:
    """Raise PyTorch's errors for constructor arguments of wrong type or range."""
    number = isinstance(dropout, numbers.Number) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    if dropout > 0 and rnn.num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
            f"num_layers greater than 1, but got dropout={dropout} and num_layers={rnn.num_layers}",
            stacklevel=4,
        )
    for name, kind in (("bias", bool), ("batch_first", bool), ("input_size", int), ("hidden_size", int)):
        value = getattr(rnn, name)
        if not isinstance(value, kind):
            raise TypeError(f"{name} should be of type {kind.__name__}, got: {type(value).__name__}")
        if kind is int and value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if rnn.num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if rnn.proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if rnn.proj_size >= rnn.hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")
    if rnn.mode not in GATES:
        raise ValueError("Unrecognized RNN mode: " + rnn.mode)


class RNN(RNNBase):
    """Elman layers, ``h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)``, or with ReLU."""

    _noun = " tensor"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device=None,
        dtype=None,
        **unsupported,
    ) -> None:
        _refuse_projection(unsupported)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self.nonlinearity = nonlinearity


def _refuse_projection(unsupported) -> None:
    if "proj_size" in unsupported:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
    if unsupported:
        raise TypeError(f"unexpected keyword argument {next(iter(unsupported))!r}")


class LSTM(RNNBase):
    """Layers with input, forget, cell and output gates (Hochreiter and Schmidhuber, 1997); the state is a pair (h,
    c).

    Input (L, N, input_size), or (N, L, input_size) with ``batch_first``, or (L, input_size). The results are the
    output of the last layer at every step, and the last state (h, c), each (num_layers * directions, N, hidden_size).

    >>> layer = torch.nn.LSTM(4, 8, num_layers=2)
    >>> output, (h, c) = layer(torch.zeros(5, 3, 4))
    >>> output.shape, h.shape
    (torch.Size([5, 3, 8]), torch.Size([2, 3, 8]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def get_expected_cell_size(self, input, batch_sizes) -> tuple[int, int, int]:
        """The shape of the cell state for ``input``."""
        return self._state_size(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input, hidden, batch_sizes) -> None:
        """Raise unless input and both states suit the layer."""
        self.check_input(input, batch_sizes)
        expected = self.get_expected_hidden_size(input, batch_sizes)
        self.check_hidden_size(hidden[0], expected, "Expected hidden[0] size {}, got {}")
        expected = self.get_expected_cell_size(input, batch_sizes)
        self.check_hidden_size(hidden[1], expected, "Expected hidden[1] size {}, got {}")

    def permute_hidden(self, hx, permutation):
        """Reorder the batch of a hidden state; None keeps it."""
        if permutation is None:
            return hx
        return hx[0].index_select(1, permutation), hx[1].index_select(1, permutation)

    def _initial_state(self, input, batch_sizes):
        sizes = (
            self.get_expected_hidden_size(input, batch_sizes),
            self.get_expected_cell_size(input, batch_sizes),
        )
        h, c = (torch.zeros(size, dtype=input.dtype, device=input.device) for size in sizes)
        return h, c

    def _check_state_dims(self, hx, batched: bool) -> None:
        dims, word = (3, "batched") if batched else (2, "unbatched")
        if hx[0].dim() != dims or hx[1].dim() != dims:
            raise RuntimeError(
                f"For {word} {dims}-D input, hx and cx should also be {dims}-D but got "
                f"({hx[0].dim()}-D, {hx[1].dim()}-D) tensors"
            )

    def _map_state(self, function, hx):
        return function(hx[0]), function(hx[1])


class GRU(RNNBase):
    """Layers with reset, update and new gates."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device=None,
        dtype=None,
        **unsupported,
    ) -> None:
        _refuse_projection(unsupported)
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )


class RNNCellBase(Module):
    """The weights of one recurrent step of ``num_chunks`` gates."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device=None, dtype=None
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(torch.empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(torch.empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            value = Parameter(torch.empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every weight and bias uniformly from ``+-1/sqrt(hidden_size)``."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.bias is not True:
            parts.append(f"bias={self.bias}")
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            parts.append(f"nonlinearity={self.nonlinearity}")
        return ", ".join(parts)

    def _check_dims(self, tensor, name: str) -> None:
        if tensor.dim() not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected {name} to be 1D or 2D, got {tensor.dim()}D instead"
            )

    def _zeros(self, input):
        return torch.zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)

    def _weights(self):
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _step(self, input, hx, step):
        """One ``step`` of a cell whose state is one tensor; unbatched input gets a batch of one."""
        self._check_dims(input, "input")
        if hx is not None:
            self._check_dims(hx, "hidden")
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
            hx = None if hx is None else hx.unsqueeze(0)
        if hx is None:
            hx = self._zeros(input)
        result = step(input, hx, *self._weights())
        return result if batched else result.squeeze(0)


class RNNCell(RNNCellBase):
    """One Elman step: (N, input_size) or (input_size) input and its hidden state to the next one."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device=None,
        dtype=None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        if self.nonlinearity == "tanh":
            return self._step(input, hx, recurrent.rnn_tanh_cell)
        if self.nonlinearity == "relu":
            return self._step(input, hx, recurrent.rnn_relu_cell)
        raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")


class LSTMCell(RNNCellBase):
    """One LSTM step: input and the pair (h, c) to the next pair."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        self._check_dims(input, "input")
        for place, state in enumerate(() if hx is None else hx):
            self._check_dims(state, f"hx[{place}]")
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
            hx = None if hx is None else (hx[0].unsqueeze(0), hx[1].unsqueeze(0))
        if hx is None:
            zeros = self._zeros(input)
            hx = (zeros, zeros)
        h, c = recurrent.lstm_cell(input, hx, *self._weights())
        return (h, c) if batched else (h.squeeze(0), c.squeeze(0))


class GRUCell(RNNCellBase):
    """One GRU step: (N, input_size) or (input_size) input and its hidden state to the next one."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self._step(input, hx, recurrent.gru_cell)

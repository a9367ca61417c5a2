"""Sequences of different lengths: padded to one tensor, or packed without padding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self

import flowtorch as torch

from ...tensor import Tensor
from ..module_tree import _parse_to

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence_(NamedTuple):
    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(PackedSequence_):
    """A batch of sequences, longest first, stored step by step without padding.

    ``data`` (total steps, *) holds the first steps of all sequences, then the second steps, and so on;
    ``batch_sizes`` says how many sequences have each step. The two index tensors say how the sequences were
    sorted.
    """

    __slots__ = ()

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> Self:
        parts = _packed_sequence_init_args(data, batch_sizes, sorted_indices, unsorted_indices)
        return super().__new__(cls, *parts)

    def pin_memory(self) -> Self:
        """Return the sequence in page-locked memory."""
        pin: Callable[[Tensor], Tensor] = lambda t: t.pin_memory()  # noqa: E731
        return self._with(pin(self.data), pin)

    def _with(self, data: Tensor, move: Callable[[Tensor], Tensor]) -> Self:
        """The same sequence with new ``data`` and its indices moved beside it."""
        return type(self)(
            data, self.batch_sizes, bind(self.sorted_indices, move), bind(self.unsorted_indices, move)
        )

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the sequence with its data moved or cast as ``Tensor.to`` does, or itself."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        _, _, non_blocking, memory_format = _parse_to(*args, **kwargs)
        layout = {} if memory_format is None else {"memory_format": memory_format}
        return self._with(data, lambda t: t.to(data.device, non_blocking=non_blocking, **layout))

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        """Return the sequence on a CUDA device, the current one unless told."""
        return self._to_kind("cuda", args, kwargs)

    def cpu(self, *args: Any, **kwargs: Any) -> Self:
        """Return the sequence on the CPU."""
        return self._to_kind("cpu", args, kwargs)

    def _to_kind(self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Self:
        device = _parse_to(*args, **kwargs)[0] or self.data.device
        if device.type != kind:
            kwargs["device"] = kind
        return self.to(*args, **kwargs)

    def double(self) -> Self:
        """Return the sequence as float64."""
        return self.to(dtype=torch.double)

    def float(self) -> Self:
        """Return the sequence as float32."""
        return self.to(dtype=torch.float)

    def half(self) -> Self:
        """Return the sequence as float16."""
        return self.to(dtype=torch.half)

    def long(self) -> Self:
        """Return the sequence as int64."""
        return self.to(dtype=torch.long)

    def int(self) -> Self:
        """Return the sequence as int32."""
        return self.to(dtype=torch.int)

    def short(self) -> Self:
        """Return the sequence as int16."""
        return self.to(dtype=torch.short)

    def char(self) -> Self:
        """Return the sequence as int8."""
        return self.to(dtype=torch.int8)

    def byte(self) -> Self:
        """Return the sequence as uint8."""
        return self.to(dtype=torch.uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a CUDA device."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data is in page-locked memory."""
        return self.data.is_pinned()


def bind(optional: Any, fn: Callable[[Any], Any]) -> Any:
    """``fn(optional)``, or None for None."""
    return None if optional is None else fn(optional)


def _packed_sequence_init_args(
    data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
) -> tuple[Any, Any, Any, Any]:
    """The four parts of a PackedSequence; ``data`` may also be the pair of data and batch sizes."""
    if unsorted_indices is None:
        unsorted_indices = invert_permutation(sorted_indices)
    if batch_sizes is None:
        if not (isinstance(data, (list, tuple)) and len(data) == 2):
            raise AssertionError("Expected data to be a list or tuple of length 2")
        return data[0], data[1], sorted_indices, unsorted_indices
    if batch_sizes.device.type != "cpu":
        raise ValueError(
            "batch_sizes should always be on CPU. Instances of PackedSequence should never be created "
            "manually. They should be instantiated by functions like pack_sequence and pack_padded_sequences "
            "in nn.utils.rnn. https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence"
        )
    return data, batch_sizes, sorted_indices, unsorted_indices


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Return the permutation that undoes ``permutation``."""
    if permutation is None:
        return None
    positions = torch.arange(permutation.numel(), device=permutation.device, dtype=permutation.dtype)
    return torch.empty_like(permutation).scatter_(0, permutation, positions)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack the sequences of a padded batch (steps, batch, *), or (batch, steps, *) if ``batch_first``.

    ``lengths`` must decrease unless ``enforce_sorted`` is False, in which case the sequences are sorted.
    """
    if isinstance(lengths, Tensor):
        lengths = lengths.to(dtype=torch.int64)
    else:
        lengths = torch.as_tensor(lengths, dtype=torch.int64, device="cpu")
    sorted_indices = None
    if not enforce_sorted:
        lengths, sorted_indices = torch.sort(lengths, descending=True)
        sorted_indices = sorted_indices.to(input.device)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    data, batch_sizes = _pack(input.transpose(0, 1) if batch_first else input, lengths)
    return PackedSequence(data, batch_sizes, sorted_indices, None)


def _pack(input: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The data and batch sizes of the sequences of ``input`` (steps, batch, *), sorted by length."""
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if lengths.dim() != 1 or lengths.device.type != "cpu":
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.dim()}D "
            f"{lengths.device.type} Long tensor"
        )
    steps, batch = input.size(0), input.size(1)
    if lengths.size(0) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {lengths.size(0)} "
            f"(batch_size={batch})"
        )
    if bool((lengths[:-1] < lengths[1:]).any()):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this "
            "requirement if you do not need ONNX exportability."
        )
    if int(lengths[-1]) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    present = torch.arange(int(lengths[0]), device=lengths.device).unsqueeze(1) < lengths
    rows = present[:steps].flatten().nonzero().squeeze(1).to(input.device)
    return input.flatten(0, 1).index_select(0, rows), present.sum(1)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the padded batch (steps, batch, *), or (batch, steps, *) if ``batch_first``, and the lengths.

    ``total_length`` asks for more steps than the longest sequence has.
    """
    data, batch_sizes = sequence.data, sequence.batch_sizes
    steps = batch_sizes.size(0)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    batch = int(batch_sizes[0])
    present = batch_sizes.unsqueeze(1) > torch.arange(batch, device=batch_sizes.device)
    rows = present.flatten().nonzero().squeeze(1).to(data.device)
    padded = data.new_full((steps * batch, *data.shape[1:]), padding_value).index_copy(0, rows, data)
    padded = padded.unflatten(0, (steps, batch))
    if batch_first:
        padded = padded.transpose(0, 1)
    lengths = present.sum(0)
    if sequence.unsorted_indices is None:
        return padded, lengths
    order = sequence.unsorted_indices
    return padded.index_select(0 if batch_first else 1, order), lengths[order.cpu()]


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Stack sequences (steps, *) of different lengths into one padded tensor (steps, batch, *).

    ``batch_first`` gives (batch, steps, *); ``padding_side`` is "left" or "right".
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    for position, sequence in enumerate(sequences):
        if not isinstance(sequence, Tensor):
            raise TypeError(
                f"expected Tensor as element {position} in argument 0, but got {type(sequence).__name__}"
            )
    steps = max(sequence.size(0) for sequence in sequences)
    shape = (len(sequences), steps) if batch_first else (steps, len(sequences))
    padded = sequences[0].new_full((*shape, *sequences[0].shape[1:]), padding_value)
    for position, sequence in enumerate(sequences):
        start = steps - sequence.size(0) if padding_side == "left" else 0
        row = padded.select(0 if batch_first else 1, position)
        row.narrow(0, start, sequence.size(0)).copy_(sequence)
    return padded


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """Return the sequences of a padded batch (steps, batch, *), each with its own length."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    steps = torch.arange(padded_sequences.shape[1], device=lengths.device)
    return [sequence[steps < length] for sequence, length in zip(padded_sequences, lengths, strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences (steps, *); they must get shorter unless ``enforce_sorted`` is False."""
    lengths = torch.as_tensor([sequence.size(0) for sequence in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Return the list of sequences that a PackedSequence holds."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)

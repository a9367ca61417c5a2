"""Sequences of different lengths: padding, packing and back."""

from both import error, program


def padded(torch, **options):
    return torch.arange(24.0).reshape(4, 3, 2).requires_grad_(**options)


@program
def test_packing_and_padding(torch):
    rnn = torch.nn.utils.rnn
    for lengths in ([4, 2, 1], torch.tensor([4, 4, 3]), torch.tensor([1, 1, 1], dtype=torch.int32)):
        x = padded(torch)
        packed = rnn.pack_padded_sequence(x, lengths)
        (packed.data * packed.data).sum().backward()
        yield packed, x.grad, rnn.pad_packed_sequence(packed)
        yield rnn.pad_packed_sequence(packed, batch_first=True, padding_value=-1.0, total_length=6)
    for lengths in ([2, 4, 1], [1, 2, 3]):
        x = padded(torch)
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        back, sizes = rnn.pad_packed_sequence(packed)
        (back * back).sum().backward()
        yield packed, back, sizes, x.grad
        yield rnn.pack_padded_sequence(x.transpose(0, 1), lengths, batch_first=True, enforce_sorted=False)


@program
def test_what_cannot_be_packed(torch):
    rnn, x = torch.nn.utils.rnn, padded(torch)
    for lengths in ([4, 2, 0], [2, 4, 1], [4, 2], torch.tensor([[4, 2, 1]])):
        yield error(rnn.pack_padded_sequence, x, lengths)
    yield error(rnn.pack_padded_sequence, x[:0], []), error(rnn.pack_padded_sequence, x[:, :0], [])
    packed = rnn.pack_padded_sequence(x, [4, 2, 1])
    yield error(rnn.pad_packed_sequence, packed, total_length=3)
    yield error(rnn.PackedSequence, torch.ones(2)), rnn.PackedSequence((torch.ones(2), torch.tensor([2])))


@program
def test_lists_of_sequences(torch):
    rnn = torch.nn.utils.rnn
    sequences = [torch.arange(float(n * 2)).reshape(n, 2).requires_grad_() for n in (2, 4, 1)]
    for options in ({}, {"batch_first": True, "padding_value": -1.0}, {"padding_side": "left"}):
        out = rnn.pad_sequence(sequences, **options)
        out.sum().backward()
        yield out, [s.grad for s in sequences]
    packed = rnn.pack_sequence(sequences, enforce_sorted=False)
    yield packed, rnn.unpack_sequence(packed), error(rnn.pack_sequence, sequences)
    yield rnn.unpad_sequence(rnn.pad_sequence(sequences), torch.tensor([2, 4, 1]))
    yield (
        rnn.pad_sequence(torch.ones(2, 3)),
        rnn.pad_sequence([torch.ones(2), torch.ones(3, dtype=torch.int64)]),
    )
    for wrong in (3, [], [3], [torch.ones(2, 2), torch.ones(3, 3)], [torch.ones(2), torch.ones(3, 3)]):
        yield error(rnn.pad_sequence, wrong)
    yield error(rnn.pad_sequence, sequences, padding_side="middle")


@program
def test_packed_sequences_convert(torch):
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_sequence([torch.ones(2), torch.ones(3)], enforce_sorted=False)
    yield packed.to("cpu") is packed, packed.to(torch.float32) is packed, packed.cpu() is packed
    for name in ("double", "float", "half", "long", "int", "short", "char", "byte"):
        yield getattr(packed, name)().data.dtype
    other = packed.to(torch.float64)
    yield other, other.sorted_indices is not None, packed.is_cuda, packed.is_pinned()
    yield rnn.invert_permutation(torch.tensor([2, 0, 1])), rnn.invert_permutation(None)

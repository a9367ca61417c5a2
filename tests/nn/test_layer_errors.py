"""Bad arguments and bad input: the same exceptions as torch, in the same words."""

import pytest
from both import error, program

# Constructors that raise.
CONSTRUCTORS = [
    "Conv2d(3, 4, 3, groups=2)",
    "Conv2d(4, 3, 3, groups=2)",
    "Conv2d(4, 4, 3, groups=0)",
    "Conv1d(4, 4, 3, 2, padding='same')",
    "ConvTranspose2d(4, 4, 3, padding_mode='reflect')",
    "Bilinear(0, 3, 2)",
    "GroupNorm(3, 4)",
    "Dropout(1.5)",
    "AlphaDropout(-0.1)",
    "Hardtanh(1.0, -1.0)",
    "Embedding(3, 4, padding_idx=3)",
    "Embedding(3, 4, padding_idx=-4)",
    "EmbeddingBag(3, 4, padding_idx=7)",
    "FractionalMaxPool2d(2)",
    "FractionalMaxPool2d(2, output_size=3, output_ratio=0.5)",
    "FractionalMaxPool2d(2, output_ratio=1.5)",
    "FractionalMaxPool3d(0, output_ratio=0.5)",
    "Unflatten(1, 3)",
    "Unflatten(1, (2, 1.5))",
    "AdaptiveLogSoftmaxWithLoss(4, 5, [])",
    "AdaptiveLogSoftmaxWithLoss(4, 5, [3, 2])",
    "AdaptiveLogSoftmaxWithLoss(4, 5, [5])",
    "MultiheadAttention(8, 3)",
    "MultiheadAttention(0, 1)",
    "TransformerEncoderLayer(8, 2, activation='tanh')",
    "LSTM(0, 3)",
    "LSTM(3, 0)",
    "LSTM(3, 3, 0)",
    "LSTM(3.0, 3)",
    "LSTM(3, 3, bias=1)",
    "LSTM(3, 3, batch_first=None)",
    "LSTM(3, 3, dropout=2)",
    "LSTM(3, 3, dropout=True)",
    "LSTM(3, 3, proj_size=3)",
    "LSTM(3, 3, proj_size=-1)",
    "GRU(3, 3, proj_size=2)",
    "RNN(3, 3, nonlinearity='sin')",
    "RNNBase('LTSM', 3, 3)",
    "HuberLoss(delta=None)",
    "MultiMarginLoss(3)",
    "MultiMarginLoss(weight=torch.ones(2, 2))",
    "TripletMarginLoss(margin=0)",
    "TripletMarginWithDistanceLoss(margin=-1)",
    "LinearCrossEntropyLoss(3, 4, weight=torch.ones(3))",
    "LinearCrossEntropyLoss(3, 4, label_smoothing=2.0)",
    "LinearCrossEntropyOptions(batch_chunk_size=0)",
    "LinearCrossEntropyOptions(chunking_method='aspect_ratio:0')",
]

# Calls that raise: a layer, and what it is called on.
CALLS = [
    ("BatchNorm1d(3)", "torch.ones(2, 3, 4, 5)"),
    ("BatchNorm2d(3)", "torch.ones(2, 3)"),
    ("BatchNorm3d(3)", "torch.ones(2, 3)"),
    ("BatchNorm1d(3)", "torch.ones(1, 3)"),
    ("SyncBatchNorm(3)", "torch.ones(3)"),
    ("SyncBatchNorm(3)", "torch.ones(3, 0)"),
    ("InstanceNorm1d(3)", "torch.ones(3)"),
    ("InstanceNorm2d(3, affine=True)", "torch.ones(1, 2, 4, 5)"),
    ("InstanceNorm1d(3)", "torch.ones(2, 3, 1)"),
    ("GroupNorm(2, 2)", "torch.ones(1, 2)"),
    ("LocalResponseNorm(2)", "torch.ones(2, 2)"),
    ("CrossMapLRN2d(2)", "torch.ones(2, 2)"),
    ("CircularPad1d(1)", "torch.ones(2, 2, 2, 2)"),
    ("CircularPad1d(4)", "torch.ones(2, 2, 2)"),
    ("ReflectionPad1d(2)", "torch.ones(2, 2)"),
    ("ReflectionPad2d(2)", "torch.ones(2, 2)"),
    ("Softmax2d()", "torch.ones(2, 2)"),
    ("GLU()", "torch.ones(2, 3)"),
    ("Dropout1d()", "torch.ones(3)"),
    ("PixelShuffle(2)", "torch.ones(3, 2, 2)"),
    ("PixelUnshuffle(2)", "torch.ones(3, 3, 2)"),
    ("ChannelShuffle(2)", "torch.ones(2, 3, 2)"),
    ("LazyConv1d(2, 2)", "torch.ones(2, 2, 2, 2)"),
    ("ConvTranspose1d(2, 2, 2, 2)", "torch.ones(1, 2, 3), output_size=[9]"),
    ("ConvTranspose1d(2, 2, 2, 2)", "torch.ones(1, 2, 3), output_size=[9, 9]"),
    ("LSTM(3, 4)", "torch.ones(3)"),
    ("GRU(3, 4)", "torch.ones(3)"),
    ("RNN(3, 4)", "torch.ones(3)"),
    ("LSTM(3, 4)", "torch.ones(2, 2, 5)"),
    ("LSTM(3, 4)", "torch.ones(2, 2, 3).double()"),
    ("LSTM(3, 4)", "torch.ones(2, 2, 3), (torch.ones(1, 4), torch.ones(1, 4))"),
    ("LSTM(3, 4)", "torch.ones(2, 3), (torch.ones(1, 1, 4), torch.ones(1, 1, 4))"),
    ("LSTM(3, 4)", "torch.ones(2, 2, 3), (torch.ones(1, 3, 4), torch.ones(1, 2, 4))"),
    ("LSTM(3, 4)", "torch.ones(2, 2, 3), (torch.ones(1, 2, 4), torch.ones(2, 2, 4))"),
    ("GRU(3, 4)", "torch.ones(2, 2, 3), torch.ones(2, 4)"),
    ("GRU(3, 4)", "torch.ones(2, 2, 3), torch.ones(1, 2, 5)"),
    ("GRU(3, 4)", "torch.ones(2, 3), torch.ones(1, 2, 5)"),
    ("LSTMCell(3, 4)", "torch.ones(1, 1, 3)"),
    ("LSTMCell(3, 4)", "torch.ones(1, 3), (torch.ones(1, 1, 4), torch.ones(1, 4))"),
    ("GRUCell(3, 4)", "torch.ones(1, 3), torch.ones(1, 1, 4)"),
    ("RNNCell(3, 4)", "torch.ones(1, 1, 3)"),
    ("MultiheadAttention(4, 2)", "torch.ones(4), torch.ones(4), torch.ones(4)"),
    ("MultiheadAttention(4, 2)", "torch.ones(3, 4), torch.ones(3, 1, 4), torch.ones(3, 4)"),
    ("MultiheadAttention(4, 2)", "torch.ones(3, 6), torch.ones(3, 6), torch.ones(3, 6)"),
    ("MultiheadAttention(4, 2)", "torch.ones(3, 4), torch.ones(3, 4), torch.ones(2, 4)"),
    ("MultiheadAttention(4, 2)", "*[torch.ones(3, 4)] * 3, is_causal=True"),
    ("MultiheadAttention(4, 2)", "*[torch.ones(3, 4)] * 3, attn_mask=torch.ones(2, 2)"),
    ("MultiheadAttention(4, 2)", "*[torch.ones(3, 1, 4)] * 3, attn_mask=torch.ones(3, 3, 3)"),
    ("MultiheadAttention(4, 2)", "*[torch.ones(3, 4)] * 3, attn_mask=torch.ones(3)"),
    ("MultiheadAttention(4, 2)", "*[torch.ones(3, 4)] * 3, attn_mask=torch.ones(3, 3).int()"),
    ("MultiheadAttention(4, 2)", "*[torch.ones(3, 4)] * 3, key_padding_mask=torch.ones(3, 3) > 0"),
    ("MultiheadAttention(4, 2)", "*[torch.ones(3, 2, 4)] * 3, key_padding_mask=torch.ones(2, 4) > 0"),
    ("Transformer(4, 2, 1, 1, 4)", "torch.ones(2, 2, 4), torch.ones(2, 3, 4)"),
    ("Transformer(4, 2, 1, 1, 4, batch_first=True)", "torch.ones(2, 2, 4), torch.ones(3, 2, 4)"),
    ("Transformer(4, 2, 1, 1, 4)", "torch.ones(2, 2, 6), torch.ones(2, 2, 6)"),
    ("AdaptiveLogSoftmaxWithLoss(4, 5, [2])", "torch.ones(2, 4), torch.tensor([1, 7])"),
    ("AdaptiveLogSoftmaxWithLoss(4, 5, [2])", "torch.ones(2, 4), torch.tensor([1])"),
    ("AdaptiveLogSoftmaxWithLoss(4, 5, [2])", "torch.ones(1, 2, 4), torch.tensor([1])"),
    ("AdaptiveLogSoftmaxWithLoss(4, 5, [2])", "torch.ones(2, 4), torch.tensor(1)"),
    ("AdaptiveLogSoftmaxWithLoss(4, 5, [2])", "torch.ones(2, 4), torch.tensor([[1]])"),
    ("L1Loss(reduction='average')", "torch.ones(2), torch.ones(2)"),
    ("SmoothL1Loss(beta=-1.0)", "torch.ones(2), torch.ones(2)"),
    ("HuberLoss(delta=0.0)", "torch.ones(2), torch.ones(2)"),
    ("BCELoss()", "torch.ones(2), torch.ones(3)"),
    ("BCELoss()", "torch.tensor([2.0]), torch.ones(1)"),
    ("BCEWithLogitsLoss()", "torch.ones(2), torch.ones(3)"),
    ("GaussianNLLLoss()", "torch.ones(2), torch.ones(2), -torch.ones(2)"),
    ("GaussianNLLLoss()", "torch.ones(2), torch.ones(2), torch.ones(3)"),
    ("CrossEntropyLoss(label_smoothing=2.0)", "torch.ones(2, 3), torch.tensor([0, 1])"),
    ("CrossEntropyLoss(weight=torch.ones(2))", "torch.ones(2, 3), torch.tensor([0, 1])"),
    ("CrossEntropyLoss()", "torch.ones(2, 3), torch.zeros(2, 3).long()"),
    ("CrossEntropyLoss(ignore_index=0)", "torch.ones(2, 3), torch.ones(2, 3)"),
    ("MarginRankingLoss()", "torch.ones(2), torch.ones(2, 1), torch.ones(2)"),
    ("CosineEmbeddingLoss()", "torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 3)"),
    ("CosineEmbeddingLoss()", "torch.ones(3), torch.ones(2, 3), torch.ones(2)"),
    ("MultiMarginLoss()", "torch.ones(2, 3), torch.tensor([1])"),
    ("MultiMarginLoss()", "torch.ones(2, 3), torch.tensor([1, 3])"),
    ("MultiMarginLoss(weight=torch.ones(2))", "torch.ones(2, 3), torch.tensor([1, 2])"),
    ("MultiLabelMarginLoss()", "torch.ones(2, 3), torch.tensor([1, 2])"),
    ("MultiLabelMarginLoss()", "torch.ones(3), torch.tensor([1, 3, 0])"),
    ("TripletMarginLoss()", "torch.ones(2, 3), torch.ones(2, 3), torch.ones(3)"),
    ("LinearCrossEntropyLoss(3, 4)", "torch.ones(1, 2, 3), torch.tensor([1, 2])"),
    ("LinearCrossEntropyLoss(3, 4)", "torch.ones(2, 5), torch.tensor([1, 2])"),
    ("LinearCrossEntropyLoss(3, 4, out_features=(2,))", "torch.ones(3), torch.tensor([1, 2])"),
    ("LinearCrossEntropyLoss(3, 4, ignore_index=1)", "torch.ones(2, 3), torch.ones(2, 4)"),
]


@pytest.mark.parametrize("source", CONSTRUCTORS)
def test_bad_constructor_arguments(source):
    @program
    def compare(torch):
        yield error(eval, source, {**vars(torch.nn), "torch": torch})

    compare()


@pytest.mark.parametrize(("layer", "arguments"), CALLS)
def test_bad_input(layer, arguments):
    @program
    def compare(torch):
        names = {**vars(torch.nn), "torch": torch}
        names["layer"] = eval(layer, names)
        yield error(eval, f"layer({arguments})", names)

    compare()

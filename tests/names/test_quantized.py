"""Quantised tensors and fake quantisation against torch."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from compared import both, run_both

import flowtorch

X = "torch.tensor([[-1.0, 0.26, 2.5], [3.04, -7., 30.]])"
Q = f"torch.quantize_per_tensor({X}, 0.1, 10, torch.quint8)"
C = f"torch.quantize_per_channel({X}, torch.tensor([0.1, 0.05]), torch.tensor([0, 3]), 0, torch.qint8)"
EXPRESSIONS = [
    "{}", "{}.dtype", "{}.layout", "{}.is_quantized", "{}.qscheme()", "{}.int_repr()", "{}.dequantize()", "{}.shape",
    "{}.element_size()", "{}.is_floating_point()", "{}[0]", "{}.clone()", "{}.equal({})", "{} + {}", "{}.cpu()",
    "{}.to('cpu')", "{}.float()", "{}.half()", "{}.detach()", "{}.contiguous()", "{}.stride()", "{}.type()",
    "{}.requires_grad", "{}.numel()", "len({})", "{}.q_scale()", "{}.q_zero_point()", "{}.q_per_channel_scales()",
    "{}.q_per_channel_zero_points()", "{}.q_per_channel_axis()", "{}.tolist()", "{}.numpy()", "torch.dequantize({})",
    "torch.dequantize([{}])", "torch.int_repr({})", "torch.q_scale({})", "{}.t()", "{}.permute(1, 0)", "{}.sum()",
    "{}.is_contiguous()", "{}.reshape(2, 3)", "{}.view(3, 2)", "{}.hash_tensor()",
    "torch.quantize_per_tensor({}, 0.1, 1, torch.quint8)", "{}.relu()",
]  # fmt: skip
OF_A_WHOLE = [
    "[0, 1]", "[0, 0].item()", "[:, 1:]", ".reshape(-1)", ".unsqueeze(0)", ".flatten()", ".transpose(0, 1)",
    ".transpose(0, 1).int_repr().stride()", ".expand(2, 2, 3)", ".narrow(1, 0, 2)", ".select(0, 1)", ".unbind(0)",
    ".chunk(2, 0)", ".split(1)", ".squeeze()", ".index_select(0, torch.tensor([1]))", ".repeat(2, 1)", ".item()",
    ".max()", ".min()", ".sort()", ".topk(2)", ".mean()", ".clamp(0, 1)", " > 0", " == 0.3", ".storage_offset()",
    f".copy_({X} + 1)", ".fill_(0.5)", ".copy_(torch.zeros(3))",
]  # fmt: skip
CALLS = [
    f"torch.cat([{Q}, {Q}])", f"torch.stack([{Q}, {Q}])", f"torch.flip({Q}, [0])", f"F.relu({Q})",
    f"torch.max_pool2d({Q}[None, None], 2)", f"torch.quantized_max_pool1d({Q}, 2)",
    f"torch.quantized_max_pool2d({Q}[None, None], 2)", f"F.adaptive_avg_pool2d({Q}[None, None], 1)",
    f"torch.empty_quantized([2], {Q}).shape",
    f"torch.cat([{Q}, torch.quantize_per_tensor({X}, 0.2, 3, torch.quint8)])",
    *(f"torch.quantize_per_tensor({X}, torch.tensor(0.1), torch.tensor(0), torch.{d})" for d in (
        "qint8", "quint8", "qint32", "float32")),
    f"torch.quantize_per_tensor({X}, 0.1, 300, torch.quint8)", f"torch.quantize_per_tensor({X}, 0.1, -1, torch.quint8)",
    f"torch.quantize_per_tensor({X}.double(), 0.1, 1, torch.quint8)",
    f"torch.quantize_per_tensor([{X}, {X}], torch.tensor([.1, .2]), torch.tensor([0, 1]), torch.quint8)",
    "torch.quantize_per_tensor(torch.empty(0), 0.1, 1, torch.quint8)",
    "torch.quantize_per_tensor(torch.tensor(1.5), 0.1, 1, torch.quint8)",
    f"torch.quantize_per_channel({X}, torch.tensor([.1, .2]), torch.tensor([0, 3]), 1, torch.qint8)",
    *(f"torch.quantize_per_channel({X}, torch.tensor([.1, .2, .3]), torch.tensor([0, 3, 5]), {d}, torch.qint8)"
      for d in (-1, 1)),
    *(f"torch.quantize_per_tensor_dynamic({X}[0], torch.{d}, {r})" for d in ("quint8", "qint8") for r in (True, False)),
    "torch.quantize_per_tensor_dynamic(torch.zeros(2), torch.quint8, False)",
    "torch.quantize_per_tensor_dynamic(torch.tensor([1e-7, 3e-6]), torch.quint8, False)",
    "torch.quantize_per_tensor_dynamic(torch.tensor([-1e-7, 3e-6]), torch.qint8, False)",
    *(f"{X}.{name}()" for name in ("dequantize", "int_repr", "q_scale", "qscheme")),
]  # fmt: skip


@pytest.mark.parametrize("source", [
    *(e.replace("{}", q) for q in (Q, C) for e in EXPRESSIONS), *(Q + e for e in OF_A_WHOLE), *CALLS,
])  # fmt: skip
def test_quantised_tensors(source):
    expected, found = both(source, 12)
    if source == f"{C}.view(3, 2)" or expected.startswith("RuntimeError: Setting"):
        assert found.startswith("RuntimeError")
    else:
        assert found == expected


@pytest.mark.parametrize("make", [pickle.dumps, copy.deepcopy])
def test_quantised_tensors_are_copied_whole(make):
    q = eval(C, {"torch": flowtorch})
    again = pickle.loads(make(q)) if make is pickle.dumps else make(q)
    assert again.equal(q)
    assert again.q_per_channel_scales().equal(q.q_per_channel_scales())


FAKE = "torch.fake_quantize_per_tensor_affine"
CHANNELS = "torch.fake_quantize_per_channel_affine"


@pytest.mark.parametrize("source", [
    f"{FAKE}({X}, 0.1, 10, 0, 255)", f"{FAKE}({X}, torch.tensor(0.1), torch.tensor(10), 0, 255)",
    f"{FAKE}({X}, 0.1, 300, 0, 255)", f"{FAKE}({X}, 0.1, 1, 5, 1)", f"{FAKE}({X}.long(), 0.1, 10, 0, 255)",
    *(f"{FAKE}({X}.{d}(), 0.1, 10, 0, 255)" for d in ("double", "half", "bfloat16")),
    f"{FAKE}(torch.tensor([float('nan'), float('inf'), -float('inf'), 1e30]), 0.1, 10, 0, 255)",
    f"{FAKE}(torch.tensor([0.05, 0.15, 0.25]), 0.1, 0, 0, 255)", f"{FAKE}(torch.empty(0, 2), 0.1, 0, 0, 255)",
    f"{FAKE}(torch.tensor(0.33), 0.1, 0, 0, 255)",
    f"{CHANNELS}({X}, torch.tensor([0.1, 0.2]), torch.tensor([0, 5], dtype=torch.int32), 0, -128, 127)",
    f"{CHANNELS}({X}, torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 5, 1], dtype=torch.int32), 1, -128, 127)",
    f"{CHANNELS}({X}, torch.tensor([0.1, 0.2]), torch.tensor([0., 5]), 0, -128, 127)",
    f"{CHANNELS}({X}, torch.tensor([0.1, 0.2]), torch.tensor([0, 5]), 0, -128, 127)",
    f"{CHANNELS}({X}, torch.tensor([0.1]), torch.tensor([0], dtype=torch.int32), 0, -128, 127)",
    f"{CHANNELS}({X}, torch.tensor([0.1, 0.2]), torch.tensor([0, 500], dtype=torch.int32), 0, -128, 127)",
    f"{CHANNELS}({X}, torch.tensor([0.1, 0.2]), torch.tensor([0, 5], dtype=torch.int32), 2, -128, 127)",
])  # fmt: skip
def test_fake_quantisation(source):
    expected, found = both(source)
    assert found == expected


GRADIENTS = {
    "whole": f"{FAKE}(x, 0.1, 10, 0, 255)",
    "channels": f"{CHANNELS}(x, torch.tensor([0.1, 0.2]), torch.tensor([0, 5], dtype=torch.int32), 0, -128, 127)",
    "infinite": f"{FAKE}(x / 0, 0.1, 10, 0, 255)",
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients_go_straight_through(case):
    program = f"x = {X}.requires_grad_(); (({GRADIENTS[case]}) * torch.arange(6.).reshape(2, 3)).sum().backward()"
    expected, found = run_both(program + "; result = x.grad")
    assert found == expected


OBSERVED = """
rows, options = {rows}, {options}
n = 2 if rows else 1
low, high = torch.full((n,), float("inf")), torch.full((n,), -float("inf"))
scale, point, on = torch.ones(n), torch.zeros(n, dtype=torch.int32), torch.tensor([1])
x = {x}.requires_grad_()
settings = dict(averaging_const=0.01, quant_min=0, quant_max=255, ch_axis=0 if rows else -1, per_row_fake_quant=rows)
settings.update(options)
outs = [torch.fused_moving_avg_obs_fake_quant(x * k, on, {fake}, low, high, scale, point, **settings) for k in (1, 2)]
sum(outs).sum().backward()
result = [o.detach() for o in outs], low, high, scale, point, x.grad
"""


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("options", [
    "{}", "{'symmetric_quant': True}", "{'symmetric_quant': True, 'quant_min': -128, 'quant_max': 127}",
    "{'averaging_const': 1.0, 'quant_max': 15}",
])  # fmt: skip
@pytest.mark.parametrize("fake", ["on", "torch.tensor([0])"])
def test_ranges_are_observed(rows, options, fake):
    expected, found = run_both(OBSERVED.format(rows=rows, options=options, x=X, fake=fake))
    assert found == expected


def test_a_network_learns_to_be_quantised():
    """Training with fake quantised weights brings the loss down though the values are rounded."""
    flowtorch.manual_seed(0)
    x = flowtorch.randn(64, 4)
    y = x @ flowtorch.tensor([[1.0], [-2.0], [0.5], [3.0]])
    w = flowtorch.zeros(4, 1, requires_grad=True)
    losses = []
    for _ in range(60):
        loss = ((x @ flowtorch.fake_quantize_per_tensor_affine(w, 0.25, 0, -16, 15) - y) ** 2).mean()
        loss.backward()
        with flowtorch.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 50


def test_the_rest_is_refused_by_name():
    q = eval(Q, {"torch": flowtorch})
    with pytest.raises(NotImplementedError, match=r"aten::mul.*dequantize"):
        q * 2
    assert isinstance(q, torch.Tensor) is False

"""The names of nodes, which people see wherever a tensor is printed."""

import pytest
import torch

import flowtorch

CALLS = """
x.sum(); x.sum(0); x.mean(0); x.prod(0); x.prod(); x.median(0)[0]; x.max(); x.min(0)[0]; x.amax(); x.squeeze(0)
x.squeeze(); x.squeeze((0, 1)); x**2; x**x; 2**x; 1 / x; x / 2; 1 - x; x - 1; x % 2; x.fmod(x.detach()); x.clamp(0, 1)
x.clamp(x.detach(), x.detach()); x.clamp_min(0); x.lerp(x, 0.5); x.lerp(x, x.detach()); x.sort()[0]; x.split(1)[0]
x.split([1, 1])[0]; x.chunk(2)[1]; x.log1p(); x.square(); x.trace(); x.nansum(); x.aminmax()[0]; t.rsub(x, 1)
t.std_mean(x)[0]; t.dist(x, y); t.special.entr(x); t.special.i0e(x); t.div(x, y, rounding_mode="floor"); x.fill_(1)
F.avg_pool1d(x[None], 2); F.avg_pool2d(i, 2); F.max_pool2d(i, 2); F.adaptive_avg_pool2d(i, 2)
F.adaptive_max_pool2d(i, 2)
F.interpolate(i, scale_factor=2); F.interpolate(i, scale_factor=2, mode="bilinear"); F.pad(i, (1, 1, 1, 1), "reflect")
F.grid_sample(i, t.zeros(1, 2, 2, 2)); F.pixel_shuffle(i, 2); F.batch_norm(i, None, None, training=True)
F.group_norm(i, 2); F.glu(x); F.celu(x); F.binary_cross_entropy(x / 9, y / 9); F.huber_loss(x, y); F.mse_loss(x, y)
F.smooth_l1_loss(x, y); F.binary_cross_entropy_with_logits(x, y); F.cross_entropy(x, t.tensor([0, 1]))
F.nll_loss(i, t.zeros(1, 4, 4, dtype=t.int64)); F.soft_margin_loss(x, y); F.relu(x); F.softmax(x, 0); x @ x; x.exp()
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", [c.strip() for c in CALLS.replace("\n", ";").split(";") if c.strip()])
def test_name_as_pytorch(call):
    def name(t):
        x = t.arange(1.0, 5.0, requires_grad=True).reshape(2, 2) * 1
        i = t.arange(64.0, requires_grad=True).reshape(1, 4, 4, 4) * 1
        result = eval(call, {"t": t, "F": t.nn.functional, "x": x, "y": t.ones(2, 2), "i": i})
        return result.grad_fn.name(), type(result.grad_fn).__name__, str(result).rpartition("grad_fn")[2]

    assert name(flowtorch) == name(torch)


def test_a_name_does_not_change_what_backward_computes():
    x = flowtorch.rand(3, 4, requires_grad=True)
    y = x.sum(0).max()
    assert (y.grad_fn.name(), y.grad_fn.next_functions[0][0].name()) == ("MaxBackward1", "SumBackward1")
    y.backward()
    assert x.grad.sum() == 3

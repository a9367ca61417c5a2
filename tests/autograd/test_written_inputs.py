"""What a derivative keeps survives in-place forms, whatever the layout and whoever made the function."""

import pytest
import torch

import flowtorch

IN_PLACE = {
    "clamp_min": lambda t, y: y.clamp_min_(0.5),
    "clamp_max": lambda t, y: y.clamp_max_(0.5),
    "clamp_min of a tensor": lambda t, y: y.clamp_min_(t.full((3, 3), 0.5, dtype=t.float64)),
    "float_power": lambda t, y: y.float_power_(3),
    "ldexp": lambda t, y: y.ldexp_(t.tensor(2)),
    "logit": lambda t, y: y.logit_(),
    "addr": lambda t, y: y.addr_(y[0].detach().clone(), y[1].detach().clone()),
    "renorm": lambda t, y: y.renorm_(2, 0, 0.7),
    "a view": lambda t, y: y[1].clamp_min_(0.5),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_forms_of_composites_have_gradients(name):
    def gradient(t):
        x = t.tensor([[0.1, 0.5, 0.9], [0.2, 0.6, 0.3], [0.7, 0.4, 0.8]], dtype=t.float64, requires_grad=True)
        y = x * 0.9
        IN_PLACE[name](t, y)
        (y * y).sum().backward()
        return x.grad.tolist()

    assert torch.allclose(torch.tensor(gradient(flowtorch)), torch.tensor(gradient(torch)))


def view_of_all(t, y):
    y.view(-1)[::4] += 3  # a step of the view that only y's own layout allows
    return t.linalg.inv(y)  # whose gradient comes column by column


def view_of_transposed(t, y):
    y = y.t()
    y.t().view(-1)[::4].mul_(y.t().view(-1)[::4].detach().clone())
    return y * t.arange(9, dtype=t.float64).view(3, 3)


def stale_view(t, y):
    y = y.t()
    flat = y.t().view(-1)
    y.mul_(2)
    return flat[:4] * flat[5:]


@pytest.mark.parametrize("change", [view_of_all, view_of_transposed, stale_view])
def test_gradients_of_changed_views_come_in_any_layout(change):
    def gradient(t):
        x = t.arange(9, dtype=t.float64).view(3, 3).div(5).sin().requires_grad_()
        change(t, x * 2).sum().backward()
        return torch.tensor(x.grad.tolist())

    assert torch.allclose(gradient(flowtorch), gradient(torch))


def test_numpy_shares_memory_where_nothing_is_recorded():
    for t in (flowtorch, torch):
        x = t.ones(3, requires_grad=True)
        with t.no_grad():
            x.view(3).numpy()[0] = 5
            assert x.__array__()[0] == 5
        assert x[0].item() == 5
        with pytest.raises(RuntimeError, match="requires grad"):
            x.numpy()

"""Nodes remember the line that made them; errors of backward name it; nan is blamed on who made it."""

import inspect
import sys
import warnings

import pytest

import flowtorch as torch
from flowtorch import overrides
from flowtorch.autograd import provenance
from flowtorch.autograd.provenance import where


@pytest.fixture
def remembered():
    with torch.set_provenance(True):
        yield


def here() -> int:
    """The line of the caller."""
    frame = inspect.currentframe().f_back
    return frame.f_lineno


CALLS = {
    "pointwise": lambda x: x * 2,
    "binary": lambda x: x * x,
    "unary": lambda x: x.exp(),
    "reduction": lambda x: x.sum(),
    "general": lambda x: torch.softmax(x, -1),
    "view": lambda x: x.t(),
    "variadic view": lambda x: x.view(16),
    "matmul": lambda x: x @ x,
    "index": lambda x: x[0],
    "gather": lambda x: x[torch.tensor([0, 2])],
    "cat": lambda x: torch.cat([x, x]),
    "linear": lambda x: torch.nn.functional.linear(x, x),
    "composite": lambda x: torch.nn.functional.mse_loss(x, x * 2),
    "several outputs": lambda x: x.max(dim=0).values,
    "in place": lambda x: (x * 1).add_(1),
    "in place on a view": lambda x: (x * 1)[0].mul_(3),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_path_remembers_the_users_line(name, remembered):
    x = torch.rand(4, 4, requires_grad=True)
    for _ in range(2):  # the first call compiles, the second takes the fast path
        at = where(CALLS[name](x))
        assert at.filename == __file__
        assert at.line == CALLS[name].__code__.co_firstlineno
        assert f'"{name}"' in at.text
        assert at.function == "<lambda>"


def test_off_means_nothing_is_kept():
    x = torch.rand(3, requires_grad=True)
    y = x * 2
    assert type(y.grad_fn.seq) is int and where(y) is None
    with torch.set_provenance(True):
        assert torch.is_provenance_enabled()
        assert where(x * 2).expression == "x * 2"
        with torch.set_provenance(False):
            assert where(x * 2) is None
    assert not torch.is_provenance_enabled()
    assert type((x * 2).grad_fn.seq) is int


def test_order_of_nodes_is_kept_when_switching():
    x = torch.rand(3, dtype=torch.float64, requires_grad=True)
    y = x.sin()
    with torch.set_provenance(True):
        y = (y * y).exp()
    (y * x).sum().backward()
    expected = torch.func.grad(lambda x: ((x.sin() * x.sin()).exp() * x).sum())(x.detach())
    assert torch.allclose(x.grad, expected)


def test_a_stale_value_names_line_variable_and_culprit(remembered):
    x = torch.rand(3, requires_grad=True)
    hidden = x * 2
    loss = (hidden * x).sum()
    forward = here() - 1
    hidden.mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as caught:
        loss.backward()
    text = str(caught.value)
    assert f'line {forward}, in test_a_stale_value' in text
    assert "loss = (hidden * x).sum()" in text and "`hidden` (torch.float32 [3])" in text
    assert f"line {forward + 2}, in" in text and "hidden.mul_(3)" in text


def test_a_stale_result_is_named_after_its_assignment(remembered):
    x = torch.rand(3, requires_grad=True)
    activation = torch.exp(x)
    with torch.no_grad():
        activation += 1
    with pytest.raises(RuntimeError, match=r"ExpBackward0 was recorded by this line(.|\n)*its result, `activation`"):
        activation.sum().backward()


def test_a_stale_result_names_what_changed_it(remembered):
    x = torch.rand(3, requires_grad=True)
    activation = torch.sigmoid(x)
    activation.mul_(2)
    line = here() - 1
    with pytest.raises(RuntimeError, match="its result, `activation`") as caught:
        activation.sum().backward()
    assert f"line {line}, in" in str(caught.value) and "activation.mul_(2)" in str(caught.value)


def test_names_of_parameters(remembered):
    model = torch.nn.Linear(2, 2)
    loss = (model(torch.rand(1, 2)) @ model.weight).sum()
    with torch.no_grad():
        model.weight.add_(1)
    with pytest.raises(RuntimeError, match=r"`model\.weight`"):
        loss.backward()


def test_errors_of_user_functions(remembered):
    class Odd(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            raise KeyError("not here")

    x = torch.rand(3, requires_grad=True)
    y = Odd.apply(x)
    with pytest.raises(KeyError) as caught:
        y.sum().backward()
    assert caught.value.args == ("not here",)
    assert "y = Odd.apply(x)" in "".join(caught.value.__notes__)


def test_nodes_of_a_double_backward_stand_for_the_forward_line(remembered):
    x = torch.rand(3, requires_grad=True)
    y = x.exp().sum()
    line = here() - 1
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    assert where(g).line == line


@pytest.mark.skipif(bool(overrides.active), reason="the complete path makes many calls")
def test_a_node_costs_one_more_call():
    # No wall time is asserted (the machine may be busy): the number of Python calls a node costs is.
    x = torch.rand(3, requires_grad=True)
    x * 2
    with torch.set_provenance(True):
        x * 2
        calls = []
        sys.setprofile(lambda frame, event, arg: calls.append(frame.f_code.co_name) if event == "call" else None)
        x * 2
        sys.setprofile(None)
    assert calls.count("_numbered") == 1 and "_search" not in calls and len(calls) <= 3


def test_frames_are_not_kept(remembered):
    import weakref

    class Big:
        pass

    def forward(x):
        local = Big()
        refs.append(weakref.ref(local))
        return (x * 2).sum()

    refs = []
    y = forward(torch.rand(3, requires_grad=True))
    assert refs[0]() is None and where(y).function.endswith("forward")


# ---------------------------------------------------------------- anomaly mode


@pytest.fixture
def anomaly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly():
            yield


def test_nan_of_the_forward_pass_is_not_blamed_on_its_consumer(anomaly):
    x = torch.tensor([-1.0, 2.0])
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    logs = torch.log(x)
    line = here() - 1
    with pytest.raises(RuntimeError, match="Function 'MulBackward0' returned nan values in its 1th output") as caught:
        ((logs + 1) * w).sum().backward()
    text = str(caught.value)
    assert "first made by 'log' in the forward pass" in text and f"line {line}, in" in text
    assert "values from -1 to 2" in text


def test_nan_of_a_derivative_names_its_forward_line(anomaly):
    x = torch.tensor([0.0, 2.0], requires_grad=True)
    root = x.sqrt()
    line = here() - 1
    with pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values in its 0th output") as caught:
        (root * torch.tensor([0.0, 1.0])).sum().backward()
    text = str(caught.value)
    assert "in the derivative computed by SqrtBackward0" in text and f"line {line}, in" in text


def test_nan_given_as_data(anomaly):
    x = torch.tensor([float("nan"), 2.0])
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"already in an operand of 'mul', which was given it in the forward pass"):
        (x * w).sum().backward()


def test_nan_written_in_place_and_seen_through_a_view(anomaly):
    a = torch.zeros(4)
    a[1:3].div_(0.0)
    line = here() - 1
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="first made by 'true_divide'") as caught:
        (a.view(2, 2)[0] * w).sum().backward()
    assert f"line {line}, in" in str(caught.value)


def test_nan_given_to_backward(anomaly):
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"returned nan values in its 0th output(.|\n)*had nan already"):
        (x * 2).backward(torch.tensor([float("nan"), 1.0]))


def test_without_check_nan_nothing_is_raised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly(check_nan=False):
            x = torch.tensor([-1.0], requires_grad=True)
            y = x.log()
            assert where(y).expression == "x.log()"
            (y * 0).sum().backward()
    assert not torch.is_provenance_enabled() and provenance._holders == 0

"""What stands between brackets, and the views and copies that come of it."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from against_torch import same

import flowtorch

SETUP = """
x=torch.arange(24.).reshape(2,3,4)
v=torch.arange(5.)
z=torch.tensor(3.)
"""

CASES = [
    "x[[0, 1]]",
    "x[[0, 1], [1, 2]]",
    "x[[[0, 1], [1, 2]]]",
    "x[[0, slice(None)]]",
    "x[[None, 0]]",
    "x[[torch.tensor(0), torch.tensor(1)]]",
    "x[[]]",
    "x[[True, False]]",
    "x[[True, False], 0]",
    "x[np.array([0, 1])]",
    "x[np.int64(1)]",
    "x[np.array(1)]",
    "x[torch.tensor(1)]",
    "x[torch.tensor(1), torch.tensor(1)]",
    "x[torch.tensor(True)]",
    "x[torch.tensor(1, dtype=torch.uint8)]",
    "x[True]",
    "x[False]",
    "x[True, False]",
    "x[0, True]",
    "x[None]",
    "x[:, None]",
    "x[...]",
    "x[:]",
    "x[..., 0]",
    "x[..., None]",
    "x[0, 0, 0]",
    "x[::2]",
    "x[::-1]",
    "x[::0]",
    "x[5]",
    "x[0, 5]",
    "x[-3]",
    "x[0, 0, 0, 0]",
    "x[0, 0, 0, :]",
    "x[..., ...]",
    "z[0]",
    "z[...]",
    "z[()]",
    "x[()]",
    "z[None]",
    "z[:]",
    "z[True]",
    "z[torch.tensor(True)]",
    "x[1.0]",
    'x["a"]',
    "x[torch.tensor([0.5])]",
    "x[torch.tensor([5])]",
    "x[torch.tensor([-5])]",
    "x[:, torch.tensor([5])]",
    "x[torch.tensor([True])]",
    "x[:, torch.ones(2, dtype=torch.bool)]",
    "x[torch.ones(2, 3, dtype=torch.bool)]",
    "x[torch.ones(2, 3, 4, 1, dtype=torch.bool)]",
    "x[torch.ones(2, dtype=torch.uint8)]",
    "x[torch.tensor([0, 1]), torch.tensor([0, 1, 2])]",
    "x[torch.tensor([0]), :, torch.tensor([0, 1])]",
    "x[0, :, torch.tensor([0, 1])]",
    "x[:, 0, torch.tensor([0, 1])]",
    "x[torch.tensor([0, 1]), None, torch.tensor([0, 1])]",
    "x[1:1]",
    "x[5:]",
    "x[1:1, ::2]",
    "x[2:1:3]",
    "x[slice(torch.tensor(0), torch.tensor(1))]",
    "x[0:1.5]",
    "x[(0, [1, 2])]",
    "x[range(2)]",
    "x[(i for i in range(2))]",
    "x[torch.tensor([0, 1], dtype=torch.int32)]",
    "x[torch.tensor([0, 1], dtype=torch.int16)]",
    "x[torch.tensor([0, 1], dtype=torch.int8)]",
    "x.transpose(0, 2)[[0, 1]]",
    "x.transpose(0, 2)[:, [0, 1]]",
    "x.permute(1, 2, 0)[[0, 1]]",
    "x.permute(1, 2, 0)[[0, 1], :, [0, 1]]",
    "x.t()",
    "x.expand(5, 2, 3, 4)[[0]]",
    "x.expand(5, 2, 3, 4)[:, [0]]",
    "x[torch.tensor([[0, 1], [1, 0]]).t()]",
    "x[:, torch.tensor([[0, 1], [1, 0]]).t()]",
    "x[torch.empty(0, dtype=torch.long)]",
    "torch.empty(0, 3)[torch.tensor([0])]",
    "torch.empty(0, 3)[0]",
    "x[{0}]",
    "x[1, {0}]",
    "x[object()]",
    "x[2**70]",
    "x[torch.tensor(5)]",
    "x[[0.5]]",
    'x[["a"]]',
    'x[0,["a"]]',
    "x[True, [0, 1]]",
    "x[torch.tensor(2.)]",
    "x[0, torch.tensor([True, False, True])]",
    "x[torch.tensor([True, False]), torch.tensor([1])]",
    "x[torch.tensor([[True, False, False], [False, True, True]]), torch.tensor([1, 2, 3])]",
    "x[[[]]]",
    "x[[], :]",
    "x[0, []]",
    "x[([0, 1], [0, 1])]",
    "x[[[0, 1], [0, 1]], [[0], [1]]]",
    "x[[0, torch.tensor(1)]]",
    "x[[np.int64(0), 1]]",
    "x[[torch.tensor([0, 1]), torch.tensor([1, 1])]]",
    "v[torch.tensor([[0, 1], [2, 3]])]",
    "v[-1]",
    "v[-2:]",
    "v[[True, False, True, False, True]]",
    "v[np.array([True, False, True, False, True])]",
    "v[v>2]",
    "x[1, ..., 1, ...]",
    "x[:, :, :, :]",
    "x[0, None, True, 1]",
    "x[torch.tensor([0, 1], dtype=torch.float64)]",
    "x[torch.tensor([0, 1], dtype=torch.uint16)]",
    "x[np.array([0.5])]",
    'x[np.array(["a"])]',
    "x[np.bool_(True)]",
    "x[np.array(True)]",
    "x[0, np.bool_(True)]",
    "x[[[0]]*33]",
    "x[..., 0, ...]",
    "x[..., 0, ..., 0]",
    "x[torch.tensor([[0]]), :, :, 0]",
    "x[:, :, :, 0, 0]",
    "x[:, torch.zeros(2, 2, dtype=torch.bool)]",
    "x[0:1, ..., torch.zeros(3, dtype=torch.bool)]",
    "x[True, torch.zeros(3, dtype=torch.bool)]",
    "x[-5:1]",
    "x[0, None, ..., None].stride()",
    "x[..., None, None].stride()",
    "torch.zeros(0, 3)[:, None].stride()",
    "torch.zeros(3, 0)[None].stride()",
    "x[None, None].stride()",
    "x.transpose(0, 1)[:, None].stride()",
    "x[1:2, :, None].stride()",
    "x[:, :, 1:2][:, None].stride()",
    'x["abc":]',
    "x[1.5:]",
    "x[None:torch.tensor(2)]",
    "x[torch.tensor(1.5):]",
    "x[torch.tensor([1, 2]):]",
    "x[0][0][0][0]",
    "x[(0, )]",
    "x[((0, 1), )]",
    "x[(0, 1), ]",
    "x[(0, 1), (0, 1)]",
    "x[[(0, 1), (0, 1)]]",
    "x[torch.tensor([])]",
    "x[[1.5, 0.5]]",
    "x[[True, 0]]",
    "x[[1, True]]",
    "x[[torch.tensor(1), 0]]",
    "x[[[torch.tensor(1), 0]]]",
    "x[([torch.tensor(1), 0], )]",
    "x[2**40]",
    "x[0, [True, False, True]]",
    "x[0, 1:2, [0, 1]]",
    "x[..., [0, 1], :]",
    "x[[0, 1], ..., [0, 1]]",
    "x[:, [0, 1], [0, 1]].stride()",
    "x[[0], :, [[0], [1]]].shape",
    "x[torch.tensor([0, -1])]",
    'x["a",0]',
    'x[b"a"]',
    "x[1j]",
    "x[torch.tensor(1j)]",
    "x[type]",
    "x[None, ..., None, 0:1]",
    "x.index_put((torch.tensor([0]), ), torch.tensor(1.))",
    "x.index_put((torch.tensor([0]), None, torch.tensor([0])), torch.tensor(1.)).shape",
    "x.index_put([torch.tensor([0])], torch.tensor(1.), True).shape",
    "x.index_put(torch.tensor([0]), torch.tensor(1.))",
    "x.index_put((torch.tensor([0]), ), 1.)",
    "torch.index_put(x, (torch.tensor([0]), ), torch.tensor(1.)).shape",
    "x.index_put((torch.tensor([0]), ), torch.tensor([1., 2, 3]))",
    "x.index_put((torch.tensor([0]), )*4, torch.tensor([1., 2, 3]))",
    "x.index_put((torch.tensor([5]), ), torch.tensor(1.))",
    "x.index_put((torch.tensor([0, 1, 0]), ), torch.tensor(1.), accumulate=True)[:, 0, 0]",
    "x.index_put((torch.tensor([True, False]), ), torch.tensor(1.))[:, 0, 0]",
    "x.index_put((torch.tensor([0.5]), ), torch.tensor(1.))",
    "x.index_put((torch.tensor([0], dtype=torch.int32), ), torch.tensor(1.)).shape",
]

SAME_KIND_OF_ERROR = [
    'x[torch.device("cpu")]',
]


@pytest.mark.parametrize("source", CASES)
def test_same(source):
    same(source, SETUP)


@pytest.mark.parametrize("source", SAME_KIND_OF_ERROR)
def test_same_kind_of_error(source):
    same(source, SETUP, message=False)


ASSIGNMENTS = {
    "an array beside None": lambda t, y: y[np.array([1, 0]), None],
    "all by a number": lambda t, y: y.__setitem__(slice(None), 3.0),
    "all by a tensor": lambda t, y: y.__setitem__(..., t.zeros(2, 3)),
    "a part": lambda t, y: y.__setitem__(slice(1, None), 3.0),
    "rows beside a full slice": lambda t, y: y.__setitem__((t.tensor([0, 0]), slice(0, None)), 3.0),
    "another dtype at indices beyond": lambda t, y: y.__setitem__(t.tensor([7]), t.tensor([1])),
    "no elements of another shape": lambda t, y: y.__setitem__((t.tensor([], dtype=t.int64),), t.ones(2, 2)),
    "a list at an index beyond": lambda t, y: y.__setitem__(7, [1]),
    "a mask of bytes": lambda t, y: y.__setitem__(t.tensor([1, 0], dtype=t.uint8), 3.0),
}


@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_history_and_errors_of_assignments(name):
    def outcome(t):
        y = t.arange(6.0, requires_grad=True).reshape(2, 3) * 1
        try:
            out = ASSIGNMENTS[name](t, y)
        except (IndexError, RuntimeError, TypeError) as error:
            return type(error).__name__, str(error).replace("flowtorch", "torch")[:40]
        return y.tolist(), type(y.grad_fn).__name__, None if out is None else out.tolist()

    assert outcome(flowtorch) == outcome(torch)


def test_views_after_a_change_of_their_base():
    def outcome(t):
        y = t.ones(4, 3, requires_grad=True) * 1
        views = [y[0], y.t()[1][1:], y.view(-1), y.expand(2, 4, 3)]
        y.mul_(2)
        return [(v.sum().item(), t.autograd.grad((v * v).sum(), y, retain_graph=True)[0].tolist()) for v in views], [
            type(v.grad_fn).__name__ for v in views[:3]]

    assert outcome(flowtorch) == outcome(torch)

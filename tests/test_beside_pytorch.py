"""Tensors of a PyTorch loaded beside flowtorch: a TypeError that says so, whichever library is asked first."""

import pytest
import torch

import flowtorch

THEIRS, OURS = torch.ones(2), flowtorch.ones(2)
MIXED = {
    "operator": lambda: OURS + THEIRS,
    "reflected operator": lambda: THEIRS + OURS,
    "comparison": lambda: OURS == THEIRS,
    "function": lambda: flowtorch.add(OURS, THEIRS),
    "their function": lambda: torch.add(THEIRS, OURS),
    "in place": lambda: OURS.clone().add_(THEIRS),
    "list": lambda: flowtorch.cat([OURS, THEIRS]),
    "their list": lambda: torch.cat([THEIRS, OURS]),
    "index": lambda: OURS[THEIRS.long()],
    "assignment": lambda: OURS.clone().__setitem__(0, THEIRS[0]),
    "composite": lambda: flowtorch.nn.functional.mse_loss(OURS, THEIRS),
    "module": lambda: flowtorch.nn.Linear(2, 2)(THEIRS),
    "their module": lambda: torch.nn.Linear(2, 2)(OURS),
    "theirs alone": lambda: flowtorch.exp(THEIRS),
    "ours alone": lambda: torch.exp(OURS),
    "their parameter": lambda: OURS * torch.nn.Parameter(THEIRS),
    "our parameter": lambda: THEIRS * flowtorch.nn.Parameter(OURS),
    "their subclass": lambda: OURS * THEIRS.as_subclass(type("Kind", (torch.Tensor,), {})),
    "our subclass": lambda: THEIRS * OURS.as_subclass(type("Kind", (flowtorch.Tensor,), {})),
}


@pytest.mark.parametrize("case", MIXED)
@pytest.mark.filterwarnings("ignore:Defining your")
def test_the_two_do_not_mix(case):
    with pytest.raises(TypeError, match=r"loaded beside flowtorch|handlers returned NotImplemented|can't assign"):
        MIXED[case]()


def test_data_goes_over():
    assert flowtorch.tensor(THEIRS).tolist() == [1.0, 1.0]
    assert torch.from_dlpack(OURS).tolist() == flowtorch.from_dlpack(THEIRS).tolist() == [1.0, 1.0]


def test_subclasses_are_served_beside_pytorch():
    kind = type("Kind", (flowtorch.Tensor,), {})
    result = OURS.as_subclass(kind) + OURS
    assert type(result) is kind
    with flowtorch._C.DisableTorchFunctionSubclass():
        assert type(OURS.as_subclass(kind) + OURS) is flowtorch.Tensor

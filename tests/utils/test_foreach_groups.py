"""Grouping lists of tensors by device and dtype, as optimisers outside PyTorch do."""

import pytest
import torch
from torch.utils._foreach_utils import _group_tensors_by_device_and_dtype as theirs

import flowtorch
from flowtorch.utils._foreach_utils import _group_tensors_by_device_and_dtype as ours


def lists(t):
    a = [t.ones(1), t.ones(2, dtype=t.float64), t.ones(3)]
    return [a, [t.zeros(1), None, t.zeros(3)], []]


@pytest.mark.parametrize("with_indices", [False, True])
def test_same_groups(with_indices):
    def shown(t, group):
        groups = group(lists(t), with_indices)
        return {
            str(dtype): ([[x if x is None else x.tolist() for x in part] for part in parts], places)
            for (_, dtype), (parts, places) in groups.items()
        }

    assert shown(flowtorch, ours) == shown(torch, theirs)


def test_unequal_lists_are_refused():
    for group, t in ((ours, flowtorch), (theirs, torch)):
        with pytest.raises(RuntimeError):
            group([[t.ones(1)], lists(t)[0]])
        with pytest.raises(RuntimeError):
            group([[]])

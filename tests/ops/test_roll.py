"""roll where there is nothing to roll, and without dimensions."""

import pytest
import torch

import flowtorch


@pytest.mark.parametrize("shape", [(), (2, 3), (0,), (0, 2)])
@pytest.mark.parametrize("options", [
    {"shifts": 2, "dims": None}, {"shifts": 2}, {"shifts": (2,), "dims": ()}, {"shifts": 2, "dims": 5},
    {"shifts": (0,), "dims": (5,)}, {"shifts": (), "dims": (0,)}, {"shifts": (1, 2), "dims": (0, 0)},
])  # fmt: skip
def test_same_as_torch(shape, options):
    def outcome(t):
        try:
            return t.roll(t.arange(6)[: t.Size(shape).numel()].reshape(shape), **options).tolist()
        except Exception as error:
            return type(error).__name__

    assert outcome(flowtorch) == outcome(torch)

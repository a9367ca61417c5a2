"""Parameters and buffers out of TorchScript archives that PyTorch wrote."""

import pickle
import warnings
import zipfile

import pytest
import torch

import flowtorch


class Inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(3, 4)
        self.register_buffer("scale", torch.full((4,), 2.0, dtype=torch.float64))
        self.sizes = [1, 2]

    def forward(self, x):
        return self.lin(x) * self.scale.float()


def archive(tmp_path, module, traced=None):
    warnings.simplefilter("ignore")
    path = tmp_path / "m.pt"
    (torch.jit.script(module) if traced is None else torch.jit.trace(module, traced)).save(str(path))
    return path


@pytest.mark.parametrize("traced", [False, True])
def test_the_state_dict_is_the_modules(tmp_path, traced):
    module = torch.nn.Sequential(
        Inner(), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2, bias=False).half().float()
    ).eval()
    path = archive(tmp_path, module, torch.ones(2, 3) if traced else None)
    found = flowtorch.serialization.script_state_dict(path)
    wanted = module.state_dict()
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert str(found[name].dtype) == str(value.dtype) and found[name].tolist() == value.tolist()
    with open(path, "rb") as file:
        assert list(flowtorch.serialization.script_state_dict(file, map_location="cpu")) == list(found)


def test_running_one_is_refused_with_the_way_out(tmp_path):
    path = archive(tmp_path, torch.nn.Linear(1, 1))
    for use in (flowtorch.jit.load, flowtorch.load, lambda p: flowtorch.load(p, weights_only=False)):
        with pytest.raises((NotImplementedError, RuntimeError), match="script_state_dict"):
            use(path)
    plain = tmp_path / "plain.pt"
    flowtorch.save(flowtorch.ones(1), plain)
    with pytest.raises(ValueError, match="no TorchScript archive"):
        flowtorch.serialization.script_state_dict(plain)


def test_nothing_else_can_be_called(tmp_path):
    path = tmp_path / "evil.pt"

    class Evil:
        def __reduce__(self):
            return print, ("called",)

    with zipfile.ZipFile(path, "w") as out:
        out.writestr("m/constants.pkl", pickle.dumps(()))
        out.writestr("m/version", "3")
        out.writestr("m/data.pkl", pickle.dumps(Evil(), protocol=2))
    with pytest.raises(pickle.UnpicklingError, match="may not call"):
        flowtorch.serialization.script_state_dict(path)

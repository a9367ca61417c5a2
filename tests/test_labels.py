"""Classes and functions name PyTorch's modules under ``run`` and ``install``; pickles are read both ways."""

import importlib.util
import pickle
import subprocess
import sys

import pytest

MAKE = """
import collections, pickle, sys
import torch
from torch import nn
import torch.distributions as D
import torch.nn.functional as F

def things():
    t = torch.arange(6.0).reshape(2, 3).t()
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding="same"), nn.LSTM(4, 3, 2), nn.BatchNorm1d(3), nn.MultiheadAttention(4, 2),
        nn.TransformerEncoderLayer(4, 2, 8, activation=F.gelu), nn.Embedding(5, 4), nn.LayerNorm(4),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    return {
        "t": t, "parameter": nn.Parameter(t), "bfloat16": t.bfloat16(), "float8": t.to(torch.float8_e4m3fn),
        "sparse": t.to_sparse(), "complex": t.to(torch.complex64), "dtype": torch.int16, "size": t.shape,
        "device": torch.device("cpu"), "layout": [torch.strided], "storage": t.untyped_storage(), "max": t.max(0),
        "relu": F.relu, "exp": torch.exp, "class": nn.Linear, "model": model, "optimizer": optimizer,
        "state": optimizer.state_dict(), "normal": D.Normal(t, 1.0), "transform": D.ExpTransform(),
        "data": torch.utils.data.TensorDataset(t), "ordered": collections.OrderedDict(a=t),
    }

def use(found):
    t = torch.arange(6.0).reshape(2, 3).t()
    for name in ("t", "parameter", "bfloat16", "float8", "sparse", "complex"):
        value = found[name]
        value = (value.to_dense() if value.is_sparse else value).to(torch.float32)
        assert torch.equal(value, t) and found["t"].stride() == t.stride(), name
    assert (found["dtype"], found["size"], found["device"]) == (torch.int16, t.shape, torch.device("cpu"))
    assert found["layout"] == [torch.strided] and found["class"] is nn.Linear
    assert torch.equal(found["max"].values, t.max(0).values) and type(found["max"]) is torch.return_types.max
    assert torch.equal(found["relu"](-t), F.relu(-t)) and torch.equal(found["exp"](t), t.exp())
    model = found["model"]
    assert model[0](torch.ones(1, 1, 4, 4)).shape == (1, 3, 4, 4) and "LSTM(4, 3, num_layers=2)" in repr(model)
    model[1](torch.ones(2, 1, 4))[0].sum().backward()
    assert model[4](torch.ones(2, 1, 4)).shape == (2, 1, 4)
    found["optimizer"].step()
    assert found["normal"].log_prob(t).shape == t.shape and found["transform"](t).shape == t.shape
    assert torch.equal(found["data"][1][0], t[1]) and torch.equal(found["ordered"]["a"], t)
    print("used", len(found))

if sys.argv[1] == "write":
    values = things()
    with open(sys.argv[2], "wb") as file:
        pickle.dump({p: {k: pickle.dumps(v, p) for k, v in values.items()} for p in (2, 5)}, file)
else:
    for found in pickle.load(open(sys.argv[2], "rb")).values():
        use({k: pickle.loads(v) for k, v in found.items()})
"""


def python(*arguments):
    done = subprocess.run([sys.executable, "-W", "ignore", *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch itself")
def test_pickles_are_read_by_the_other_library(tmp_path):
    script, ours, theirs = tmp_path / "make.py", str(tmp_path / "ours"), str(tmp_path / "theirs")
    script.write_text(MAKE)
    run = ["-m", "flowtorch", "run"]
    python(*run, str(script), "write", ours)
    python(str(script), "write", theirs)
    assert python(str(script), "read", ours).split() == ["used", "22"] * 2
    assert python(*run, str(script), "read", theirs).split() == ["used", "22"] * 2


def test_labels_are_pytorchs_while_it_is_installed_and_only_then():
    said = python(
        "-c",
        "import flowtorch, pickle\n"
        "before = flowtorch.Tensor.__module__, flowtorch.nn.Linear.__module__\n"
        "with flowtorch.as_torch():\n"
        "    import torch.distributions as D\n"
        "    print(flowtorch.Tensor, flowtorch.nn.Linear, flowtorch.optim.Adam, D.ExpTransform.__module__)\n"
        "    from flowtorch import add, linalg, nn, ones\n"
        "    print(nn.functional.relu.__module__, add.__module__, linalg.inv.__module__)\n"
        "    held = pickle.dumps([ones(2), nn.Linear(2, 2), D.ExpTransform(), ones(2).max(0)])\n"
        "    assert b'flowtorch' not in held\n"
        "after = flowtorch.Tensor.__module__, flowtorch.nn.Linear.__module__\n"
        "assert before == after == ('flowtorch', 'flowtorch.nn.modules.linear'), (before, after)\n"
        "again = pickle.dumps([ones(2), nn.Linear(2, 2), ones(2).max(0), add])\n"
        "assert pickle.loads(again)[2].values == 1\n",
    )
    assert said.splitlines() == [
        "<class 'torch.Tensor'> <class 'torch.nn.modules.linear.Linear'> <class 'torch.optim.adam.Adam'> "
        "torch.distributions.transforms",
        "torch.nn.functional torch torch.linalg",
    ]


def test_functions_pickle_under_the_name_that_leads_to_them():
    import flowtorch

    spaces = [flowtorch, flowtorch.nn.functional, flowtorch.linalg, flowtorch.special, flowtorch.fft]
    for space in spaces:
        for name in ("relu", "gelu", "cross_entropy", "exp", "inv", "svd", "erf", "rfft", "softmax", "norm", "sum"):
            function = vars(space).get(name)
            if function is not None:
                assert pickle.loads(pickle.dumps(function)) is function, (space.__name__, name)


def test_a_module_loaded_later_is_labelled_and_known_by_its_label():
    said = python(
        "-m", "flowtorch", "run", "-c",
        "import sys, typing, inspect\n"
        "assert 'flowtorch.distributions' not in sys.modules\n"
        "import torch\n"
        "cls = torch.distributions.Dirichlet\n"
        "print(cls.__module__, cls.__module__ in sys.modules, inspect.getsource(cls)[:15], sep='|')\n",
    )  # fmt: skip
    assert said == "torch.distributions.dirichlet|True|class Dirichlet\n"
    said = python(
        "-m", "flowtorch", "run", "-c",
        "import sys, typing, inspect, torch\n"
        "for cls in (torch.nn.Linear, torch.nn.GRU, torch.optim.Adam, torch.utils.data.DataLoader, torch.Tensor):\n"
        "    assert cls.__module__ in sys.modules, cls\n"
        "    typing.get_type_hints(cls.__init__)\n"
        "for cls in (torch.nn.Module, torch.nn.Linear, torch.distributions.ExpTransform, torch.optim.Adam):\n"
        "    typing.get_type_hints(cls)\n"
        "print(inspect.getsource(torch.nn.Linear)[:12], inspect.getmodule(torch.nn.Conv2d) is torch.nn.modules.conv)\n",
    )  # fmt: skip
    assert said == "class Linear True\n"

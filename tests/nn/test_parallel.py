"""The parts of data parallelism, with the CPU in the place of every GPU."""

from typing import NamedTuple

import pytest
import torch as real
from both import error, program

import flowtorch
from flowtorch import nn
from flowtorch.nn.parallel import comm, gather, parallel_apply, replicate, scatter
from flowtorch.nn.parallel.scatter_gather import scatter_kwargs

CPUS = ["cpu", "cpu"]


class Pair(NamedTuple):
    a: object
    b: object


@program
def test_without_a_gpu_the_module_is_called(torch):
    if torch is real and real.cuda.is_available():
        pytest.skip("the reference would split the batch over GPUs")
    net = torch.nn.DataParallel(torch.nn.Linear(2, 3))
    yield net(torch.ones(4, 2)), net.device_ids, list(net.state_dict()), repr(net)
    yield error(torch.nn.parallel.DistributedDataParallel, net)[0]


def test_scattering_and_gathering_nested_values():
    x = flowtorch.arange(6.0).reshape(3, 2).requires_grad_()
    given = {"x": [x, 5], "pair": Pair(x, (x, "text")), "nothing": [], "none": None}
    first, second = scatter(given, CPUS)
    assert first["x"][0].tolist() == [[0, 1], [2, 3]] and second["x"][0].tolist() == [[4, 5]]
    assert type(second["pair"]) is Pair and second["pair"].b[1] == "text" and first["nothing"] == []
    out = [{"y": part["pair"].a * 2, "z": (part["x"][0], None)} for part in (first, second)]
    joined = gather(out, "cpu")
    assert joined["y"].tolist() == (x * 2).tolist() and joined["z"][1] is None
    joined["y"].sum().backward()
    assert x.grad.tolist() == [[2, 2]] * 3
    with pytest.raises(ValueError, match="same number of keys"):
        gather([{"a": x}, {}], "cpu")
    with pytest.warns(UserWarning, match="scalars"):
        assert gather([x.sum(), x.sum()], "cpu").shape == (2,)


def test_scattering_keyword_arguments():
    x = flowtorch.ones(2, 1)
    args, kwargs = scatter_kwargs((x,), None, CPUS)
    assert len(args) == len(kwargs) == 2 and kwargs == ({}, {})
    args, kwargs = scatter_kwargs((), {"x": x, "flag": True}, CPUS)
    assert args == ((), ()) and kwargs[1]["flag"] and kwargs[1]["x"].shape == (1, 1)


def test_replicas_share_the_gradients():
    net = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    net.tied = net[0]
    one, two = replicate(net, CPUS)
    assert one.tied is one[0] and list(one.parameters()) == [] and one[0].weight is not net[0]._parameters
    x = flowtorch.ones(3, 2)
    (one[0](x).sum() + two[0](x).sum()).backward()
    assert net[0].weight.grad.tolist() == [[6, 6]] and one._is_replica and not hasattr(net, "_is_replica")
    detached = replicate(net, ["cpu"], detach=True)[0]
    assert not detached[0].weight.requires_grad


def test_applying_in_parallel():
    nets, x = [nn.Linear(1, 1) for _ in range(3)], flowtorch.ones(1, 1)
    results = parallel_apply(nets, [x, (x,), [x]])
    assert [r.tolist() for r in results] == [net(x).tolist() for net in nets]
    with flowtorch.no_grad():
        assert not parallel_apply(nets[:2], [x, x])[1].requires_grad
    with pytest.raises(AssertionError, match="number of inputs"):
        parallel_apply(nets, [x])
    with pytest.raises(RuntimeError, match="in replica 1, no device"):
        parallel_apply(nets[:2], [x, 3])


def test_sums_over_devices():
    x = flowtorch.ones(2)
    assert comm.reduce_add([x, x, x], "cpu").tolist() == [3, 3]
    assert [t.tolist() for t in comm.reduce_add_coalesced([[x, x], [x, x * 4]], "cpu")] == [[2, 2], [5, 5]]
    assert len(comm.broadcast(x, CPUS)) == 2 and len(comm.broadcast_coalesced([x], CPUS)) == 2
    assert [t.tolist() for t in comm.scatter(flowtorch.arange(3), CPUS, [1, 2])] == [[0], [1, 2]]
    with pytest.raises(ValueError, match="invalid size"):
        comm.reduce_add([x, flowtorch.ones(3)])

"""Parameters, buffers, tensors without shapes, and lazy modules."""

import copy
import pickle

from both import error, program

import flowtorch
from flowtorch import nn


@program
def test_parameters(torch):
    data = torch.ones(2, 3)
    param = torch.nn.Parameter(data)
    yield param, param.data_ptr() == data.data_ptr(), param.is_leaf, isinstance(param, torch.Tensor)
    yield torch.nn.Parameter(data, requires_grad=False), torch.nn.Parameter(), repr(param)
    with torch.no_grad():
        yield torch.nn.Parameter(data).requires_grad, torch.nn.Parameter(param * 2).grad_fn
    yield type(param * 2).__name__, type(param.data).__name__, type(param.detach()).__name__
    yield type(param.view(-1)).__name__, type(torch.nn.Parameter(param)).__name__
    yield error(torch.nn.Parameter, torch.ones(2, dtype=torch.int64)), error(torch.nn.Parameter, 3)[0]
    yield torch.nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)


@program
def test_tensors_of_other_classes_as_parameters(torch):
    class Mine(torch.Tensor):
        pass

    class Forgetful(torch.Tensor):
        def detach(self):
            return torch.ones(2)

    param = torch.nn.Parameter(torch.ones(2).as_subclass(Mine))
    yield type(param).__name__, isinstance(param, torch.nn.Parameter), param.requires_grad
    yield isinstance(torch.ones(2).as_subclass(Mine), torch.nn.Parameter)
    net = torch.nn.Module()
    net.weight = param
    yield list(net._parameters), isinstance(param, torch.nn.Buffer)
    yield error(torch.nn.Parameter, torch.ones(2).as_subclass(Forgetful))[0]


@program
def test_copies_of_parameters(torch):
    param = torch.nn.Parameter(torch.ones(2))
    param.note = "lost in copies"
    (param * 3).sum().backward()
    copied = copy.deepcopy(param)
    yield copied, type(copied).__name__, copied.grad, hasattr(copied, "note")
    pair = copy.deepcopy([param, param])
    yield pair[0] is pair[1], copied.data_ptr() != param.data_ptr()


def test_pickles_of_parameters():
    param = nn.Parameter(flowtorch.ones(2), requires_grad=False)
    assert type(pickle.loads(pickle.dumps(param))) is nn.Parameter
    assert not pickle.loads(pickle.dumps(param)).requires_grad
    param.note = "kept"
    assert pickle.loads(pickle.dumps(param)).note == "kept"


@program
def test_buffers(torch):
    buffer = torch.nn.Buffer(torch.ones(2), persistent=False)
    yield buffer, type(buffer).__name__, isinstance(buffer, torch.nn.Buffer), buffer.persistent
    yield isinstance(torch.ones(2), torch.nn.Buffer), torch.nn.Buffer().shape, torch.nn.Buffer().persistent


@program
def test_tensors_without_shapes(torch):
    kinds = torch.nn.UninitializedParameter, torch.nn.UninitializedBuffer
    for kind in kinds:
        tensor = kind(dtype=torch.float64)
        yield repr(tensor), tensor.dtype, tensor.device, tensor.requires_grad, tensor.is_leaf
        yield isinstance(tensor, torch.nn.Parameter), torch.nn.parameter.is_lazy(tensor)
        yield error(lambda t=tensor: t.shape), error(lambda t=tensor: t + 1)[0], error(tensor.share_memory_)
        yield error(torch.exp, tensor)[0], error(tensor.view, -1)[0], error(tensor.sum)[0]
        yield (
            tensor.float().dtype,
            tensor.to("cpu").dtype,
            tensor.is_floating_point(),
            isinstance(hash(tensor), int),
        )
        yield type(pickle.loads(pickle.dumps(tensor))).__name__, error(copy.deepcopy, tensor) == "no error"
        same = tensor
        tensor.materialize((2, 3))
        yield (
            same is tensor,
            type(tensor).__name__,
            tensor.shape,
            tensor.dtype,
            torch.nn.parameter.is_lazy(tensor),
        )
        tensor.data.fill_(1.0)
        yield (tensor * 2).sum(), type(tensor * 2).__name__
    late = torch.nn.UninitializedParameter(requires_grad=False)
    late.materialize((1,), dtype=torch.float16)
    yield late.dtype, late.requires_grad


def lazy_layer(torch):
    """A layer that learns its width from its input."""

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x * self.weight

    class LazyLayer(torch.nn.modules.lazy.LazyModuleMixin, Layer):
        cls_to_become = Layer

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.UninitializedParameter()
            self.register_buffer("seen", torch.nn.UninitializedBuffer())

        def initialize_parameters(self, x):
            if not self.has_uninitialized_params():
                return
            with torch.no_grad():
                self.weight.materialize(x.shape[-1:])
                self.weight.fill_(2.0)
                self.seen.materialize((1,))
                self.seen.fill_(0.0)

    return LazyLayer()


@program
def test_lazy_modules(torch):
    net = lazy_layer(torch)
    yield net.has_uninitialized_params(), type(net).__name__, net.double().weight.dtype
    yield [type(value).__name__ for value in net.state_dict().values()]
    yield error(net._replicate_for_data_parallel), error(net.share_memory)
    yield net(torch.ones(2, 4, dtype=torch.float64)), type(net).__name__, len(net._forward_pre_hooks)
    yield len(net._load_state_dict_pre_hooks), hasattr(net, "_load_hook"), net.state_dict()
    yield error(net, torch.ones(2, 5))[0]


@program
def test_loading_into_lazy_modules(torch):
    ready = lazy_layer(torch)
    ready(torch.ones(5))
    net, other = lazy_layer(torch), lazy_layer(torch)
    net.load_state_dict(ready.state_dict())
    yield net.weight, net.has_uninitialized_params(), net(torch.ones(5))
    other.load_state_dict(lazy_layer(torch).state_dict())
    yield other.has_uninitialized_params()
    yield error(ready.load_state_dict, lazy_layer(torch).state_dict())[0]


@program
def test_lazy_modules_that_stay_lazy(torch):
    class Never(torch.nn.modules.lazy.LazyModuleMixin, torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.UninitializedParameter()

    net = Never()
    yield error(net, 1)
    net.initialize_parameters = lambda *args: None
    yield error(net, 1)

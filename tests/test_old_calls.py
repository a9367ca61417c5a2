"""What programs of PyTorch's first years write: numbers before tensors, and Variable."""

import importlib
import itertools

import pytest
import torch

import flowtorch


def results(lib):
    def t(*shape):
        return lib.arange(1.0, 1.0 + lib.ones(shape).numel()).reshape(shape)

    m, v, b = t(2, 2), t(2), t(1, 2, 2)
    return {
        "add": m.add(2, m + 1),
        "add_": t(2, 2).add_(0.5, m),
        "add_ of numbers": t(2).add_(2, 3),
        "torch.add": lib.add(m, 2, m),
        "sub": m.sub(2, m + 1),
        "sub_": t(2, 2).sub_(0.5, m),
        "torch.sub": lib.sub(m, 2, m),
        "addcmul": m.addcmul(0.5, m, m),
        "addcmul_": t(2, 2).addcmul_(-0.5, m, m),
        "addcdiv_": t(2, 2).addcdiv_(-0.5, m, m + 1),
        "torch.addcdiv": lib.addcdiv(m, 2, m, m),
        "out": lib.addcmul(m, 0.5, m, m, out=lib.zeros(2, 2)),
        "addmm": lib.addmm(2, m, 3, m, m),
        "addmm of one number": lib.addmm(2, m, m, m),
        "method addmm": m.addmm(2, 3, m, m),
        "method addmm_": t(2, 2).addmm_(2, m, m),
        "addmv": lib.addmv(2, v, 3, m, v),
        "addbmm": lib.addbmm(2, m, 3, b, b),
        "addbmm_": t(2, 2).addbmm_(2, b, b),
        "baddbmm": lib.baddbmm(2, b, 3, b, b),
        "addr": lib.addr(2, m, 3, v, v),
        "addr_": t(2, 2).addr_(2, v, v),
    }


@pytest.mark.filterwarnings("ignore:This overload")
def test_numbers_before_tensors():
    ours, theirs = results(flowtorch), results(torch)
    assert {k: r.tolist() for k, r in ours.items()} == {k: r.tolist() for k, r in theirs.items()}


@pytest.mark.filterwarnings("ignore:This overload")
def test_gradients_of_the_old_order():
    x, y = (flowtorch.ones(2, requires_grad=True) for _ in range(2))
    x.add(3, y).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([1.0, 1.0], [3.0, 3.0])


@pytest.mark.parametrize("lib", [torch, flowtorch], ids=["torch", "flowtorch"])
def test_other_excess_is_refused(lib):
    t = lib.ones(2)
    for call in (lambda: t.add(t, t), lambda: t.mul_(2, t), lambda: t.add(2, t, alpha=3), lambda: lib.addmm(t, t, t, t),
                 lambda: t.addr(2, 3, 4, t)):  # fmt: skip
        with pytest.raises(TypeError):
            call()


def variables(lib):
    x = lib.ones(2, requires_grad=True)
    y = x * 2
    made = [
        lib.autograd.Variable(x.data, requires_grad=True),
        lib.autograd.Variable(x.data, True),
        lib.autograd.Variable(y),
        lib.autograd.Variable(data=x),
        lib.autograd.Variable(lib.nn.Parameter(x.data)),
        lib.autograd.Variable(),
    ]
    made[0].mul(3).sum().backward()
    kinds = [isinstance(x, lib.autograd.Variable), isinstance(3, lib.autograd.Variable)]
    seen = [(v.tolist(), v.requires_grad, v.is_leaf, type(v) is lib.Tensor) for v in made]
    return seen, made[0].grad.tolist(), made[2].data_ptr() == y.data_ptr(), kinds


def test_variable():
    assert variables(flowtorch) == variables(torch)


@pytest.mark.parametrize("lib", [torch, flowtorch], ids=["torch", "flowtorch"])
def test_variable_refuses(lib):
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got list"):
        lib.autograd.Variable([1.0])
    with pytest.raises(TypeError):
        lib.autograd.Variable(lib.ones(1), kind=2)
    with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype"):
        lib.autograd.Variable(lib.ones(1).long(), requires_grad=True)
    with pytest.warns(UserWarning, match="volatile was removed"):
        lib.autograd.Variable(lib.ones(1), volatile=True)


@pytest.mark.parametrize("kind", ["Tensor", "FloatTensor", "LongTensor", "DoubleTensor"])
def test_types_convert(kind):
    for given in (lambda lib: getattr(lib, kind), lambda lib: f"torch.{kind}"):
        ours, theirs = (lib.tensor([True, False]).type(given(lib)) for lib in (flowtorch, torch))
        assert (str(ours.dtype), ours.tolist()) == (str(theirs.dtype), theirs.tolist())


@pytest.mark.parametrize("lib", [torch, flowtorch], ids=["torch", "flowtorch"])
def test_other_types_are_refused(lib):
    with pytest.raises(ValueError, match="invalid type: 'Parameter'"):
        lib.ones(1).type(lib.nn.Parameter)
    with pytest.raises(TypeError, match="dtype must be a type, str, or dtype object"):
        lib.ones(1).type(lib.ones(1))


def reductions(lib):
    names = importlib.import_module(f"{lib.__name__}.nn._reduction")
    pairs = list(itertools.product((None, True, False), repeat=2))
    numbers = [names.get_enum(n) for n in ("none", "mean", "sum")]
    return numbers, [(names.legacy_get_string(*p), names.legacy_get_enum(*p, emit_warning=False)) for p in pairs]


@pytest.mark.filterwarnings("ignore:size_average")
def test_reductions_by_number():
    assert reductions(flowtorch) == reductions(torch)
    with pytest.raises(ValueError, match="bad is not a valid value for reduction"):
        importlib.import_module("flowtorch.nn._reduction").get_enum("bad")


def test_copies_of_a_layer():
    layer = flowtorch.nn.Linear(2, 2)
    copies = flowtorch.nn.modules.transformer._get_clones(layer, 2)
    assert isinstance(copies, flowtorch.nn.ModuleList)
    assert copies[0].weight is not copies[1].weight
    assert copies[1].weight.tolist() == layer.weight.tolist()


def jacobian_parts(lib):
    f = importlib.import_module(f"{lib.__name__}.autograd.functional")
    x, y = lib.ones(2, requires_grad=True), lib.ones(3, dtype=lib.float64)
    basis = [(str(b.dtype), b.tolist()) for b in f._construct_standard_basis_for((x, y), (2, 3))]
    one, two = f._grad_postprocess(((x * 2, y), (y,)), create_graph=False)
    kept = f._grad_postprocess((x * 2,), create_graph=True)
    flags = itertools.product((True, False), repeat=2)
    nested = [f._tuple_postprocess(((1, 2), (3, 4)), pair) for pair in flags]
    plain = [f._tuple_postprocess((1, 2), flag) for flag in (True, False)]
    return basis, one[0].requires_grad, one[1].tolist(), two[0].tolist(), kept[0].requires_grad, nested, plain


def test_parts_of_a_jacobian():
    assert jacobian_parts(flowtorch) == jacobian_parts(torch)


@pytest.mark.parametrize("step", [0.01, 1.0, 20.0])
def test_line_search_by_itself(step):
    def search(lib):
        lbfgs = importlib.import_module(f"{lib.__name__}.optim.lbfgs")
        x, target = lib.zeros(3, dtype=lib.float64), lib.arange(1.0, 4.0, dtype=lib.float64)

        def objective(x, t, d):
            y = x + t * d
            return float(((y - target) ** 4).sum()), 4 * (y - target) ** 3

        loss, gradient = objective(x, 0, x)
        d = -gradient / gradient.norm()
        found = lbfgs._strong_wolfe(objective, x, step, d, loss, gradient, gradient.dot(d))
        slopes = [lib.tensor(v, dtype=lib.float64) for v in (-2.0, 1.0)]
        between = lbfgs._cubic_interpolate(0.0, 3.0, slopes[0], 2.0, 1.0, slopes[1], bounds=(0.5, 1.9))
        return [float(found[0]), *found[1].tolist(), float(found[2]), found[3], float(between)]

    assert search(flowtorch) == pytest.approx(search(torch), rel=1e-9)


def test_vmap_of_old():
    vmap = importlib.import_module("flowtorch._vmap_internals")._vmap
    assert vmap(lambda x: x.sum())(flowtorch.ones(2, 3)).tolist() == [3.0, 3.0]
    with pytest.raises(NotImplementedError):
        vmap(lambda x: x, allow_none_pass_through=True)

"""Functions and methods of tensors that few programs call: sparse products, old names, parts of larger functions."""

from __future__ import annotations

import pytest
import torch
from compared import both, run_both

import flowtorch

COO = "torch.tensor([[0., 1, 0], [2, 0, 3]]).to_sparse()"
CSR = "torch.tensor([[0., 1, 0], [2, 0, 3]]).to_sparse_csr()"
CSC = "torch.ones(2, 3).to_sparse_csc()"
DENSE = "torch.arange(6.).reshape(3, 2)"
EYE = "torch.eye(2).to_sparse()"
COPIES = [f"{kind}_copy" for kind in (
    "values", "indices", "crow_indices", "col_indices", "ccol_indices", "row_indices")]  # fmt: skip


@pytest.mark.parametrize("source", [
    *(f"torch.{name}({a}, {DENSE})" for name in ("spmm", "dsmm", "hsmm", "hspmm")
      for a in (COO, CSR, "torch.ones(2, 3)")),
    f"torch.smm({COO}, {DENSE})", f"{COO}.smm({DENSE})", f"torch.smm(torch.zeros(2, 3).to_sparse(), {DENSE})",
    f"torch.sspaddmm({EYE}, {COO}, {DENSE})", f"{EYE}.sspaddmm({COO}, {DENSE}, beta=2, alpha=3)",
    f"torch.saddmm({EYE}, {COO}, {DENSE})", f"torch.sspaddmm(torch.ones(3, 3).to_sparse(), {COO}, {DENSE})",
    *(f"torch.{name}({x})" for name in COPIES for x in (COO, CSR, CSC, "torch.ones(2)")),
    *(f"torch.{name}({x}).data_ptr() == 0" for name, x in (("values_copy", CSR), ("row_indices_copy", CSC))),
    "torch.native_norm(torch.tensor([[3., 0], [0, 4]]).to_sparse())",
    "torch.native_norm(torch.tensor([[3., 0], [0, 4]]).to_sparse(), 1)",
    "torch.native_norm(torch.tensor([[3., 0], [0, 4]]).to_sparse(), 2, [0, 1], False, None)",
    "torch.native_norm(torch.tensor([[3., 0], [0, 4]]).to_sparse(), 2, [0], False, None)",
    "torch.native_norm(torch.ones(2))",
])  # fmt: skip
def test_sparse_functions(source):
    expected, found = both(source)
    assert found == expected


def test_sparse_products_have_gradients():
    """PyTorch records none for smm and sspaddmm; here they are those of the dense product."""
    a = flowtorch.tensor([[0.0, 1, 0], [2, 0, 3]]).to_sparse().requires_grad_()
    b = flowtorch.arange(6.0).reshape(3, 2).requires_grad_()
    c = flowtorch.eye(2).to_sparse().requires_grad_()
    flowtorch.sspaddmm(c, a, b, beta=2, alpha=3).to_dense().sum().backward()
    assert b.grad.equal(3 * a.detach().to_dense().t() @ flowtorch.ones(2, 2))
    assert c.grad.to_dense().equal(2 * flowtorch.eye(2))


@pytest.mark.parametrize("source", [
    "torch.ones(3).__div__(2)", "torch.ones(3).__idiv__(2)", "torch.tensor(3.7).__long__()",
    "torch.tensor(0.).__nonzero__()", "torch.ones(3).__nonzero__()", "torch.ones(3).volatile",
    "setattr(torch.ones(3), 'volatile', True)", "torch.ones(2, 3).resize(3, 2)", "torch.ones(2, 3).resize(3)",
    "torch.ones(2, 3).resize_as(torch.ones(6))", "torch.ones(2, 3).is_distributed()", "torch.ones(3).reinforce(1)",
    *(f"torch.{name}(torch.eye(2), torch.eye(2))" for name in ("solve", "lstsq", "eig", "symeig", "matrix_rank")),
    *(f"torch.eye(2).{name}(1)" for name in ("solve", "lstsq", "eig", "symeig")),
    "torch.ones(2).chalf()", "torch.ones(2).xpu()", "torch.ones(2).mtia()", "torch.ones(2).ipu()",
    "torch.ones(2).index(1)",
    "torch.arange(4.).map2_(torch.ones(4), torch.ones(1) * 2, lambda a, b, c: a + b * c)",
    "torch.arange(4.).map2_(torch.ones(4).long(), torch.ones(4), lambda a, b, c: a)",
    "torch.ones(2, requires_grad=True).map2_(torch.ones(2), torch.ones(2), lambda a, b, c: a)",
    "torch.arange(6.)[2:4].slice_inverse(torch.ones(2), 0, 0, 2)",
    "F.assert_int_or_pair(3, 'size', 'bad {}')", "F.assert_int_or_pair([1, 2, 3], 'size', 'bad {}')",
])  # fmt: skip
def test_old_names(source):
    expected, found = both(source)
    assert found == expected


def test_onednns_layout_is_refused():
    with pytest.raises(RuntimeError, match="to_mkldnn: MKL-DNN"):
        flowtorch.ones(2).to_mkldnn()


GRAD_DTYPE = {
    "own": "x.grad_dtype",
    "set": "x.grad_dtype = torch.float64; (x * 2).sum().backward(); result = x.grad, x.grad_dtype",
    "twice": "x.grad_dtype = torch.float64\nfor _ in range(2): (x * 2).sum().backward()\nresult = x.grad",
    "grad": "x.grad_dtype = torch.float64; result = torch.autograd.grad((x * 2).sum(), x)",
    "any": "x.grad_dtype = None; x.grad = torch.ones(2, dtype=torch.float16); result = x.grad, x.grad_dtype",
    "assigned": "x.grad_dtype = torch.float64; x.grad = torch.ones(2, dtype=torch.float64); result = x.grad",
    "back": "x.grad_dtype = torch.float64; x.grad_dtype = torch.float32; (x * 2).sum().backward(); result = x.grad",
    "others": "y = torch.ones(2, requires_grad=True); x.grad_dtype = torch.float64; (x * y).sum().backward(); "
    "result = x.grad, y.grad",
}


@pytest.mark.parametrize("case", GRAD_DTYPE)
def test_gradients_take_the_dtype_that_the_leaf_wants(case):
    program = GRAD_DTYPE[case]
    program = program if "result" in program else f"result = {program}"
    expected, found = run_both(f"x = torch.ones(2, requires_grad=True)\n{program}")
    assert found == expected


@pytest.mark.parametrize("source", [
    "(torch.ones(2, requires_grad=True) * 2).grad_dtype",
    "setattr(torch.ones(2, requires_grad=True) * 2, 'grad_dtype', torch.float16)",
    "setattr(torch.ones(2), 'grad_dtype', 3)", "setattr(torch.ones(2), 'grad_dtype', torch.int64)",
])  # fmt: skip
def test_grad_dtype_refuses(source):
    expected, found = both(source)
    assert found == expected


SCALED = """
torch.manual_seed(0)
a, b = (torch.randn(16, 32).to(torch.float8_e4m3fn) for _ in range(2))
one, S = torch.tensor(2.0), F.ScalingType
tall, wide = torch.linspace(0.5, 2, 16).reshape(16, 1), torch.linspace(1, 3, 16).reshape(1, 16)
def call(*args, **kwargs):
    try:
        return F.scaled_mm(*args, **kwargs).float()
    except (ValueError, NotImplementedError) as error:
        return type(error), str(error)[:35]
"""


@pytest.mark.parametrize("source", [
    "a, b.t(), one, S.TensorWise, one, S.TensorWise", "a, b.t(), [one], [S.TensorWise], [one], [S.TensorWise]",
    "a, b.t(), one, S.TensorWise, one, S.TensorWise, output_dtype=torch.float32",
    "a, b.t(), tall, S.RowWise, wide, S.RowWise, output_dtype=torch.float32",
    "a, b.t(), tall, S.RowWise, wide, S.RowWise, bias=torch.ones(16).bfloat16(), output_dtype=torch.float32",
    "a, b.t(), tall[:15], S.RowWise, wide, S.RowWise", "a, b.t(), tall, S.RowWise, one, S.TensorWise",
    "a, b, one, S.TensorWise, one, S.TensorWise", "a.float(), b.t().float(), one, S.TensorWise, one, S.TensorWise",
    "a, b.t(), tall.repeat(1, 2), S.BlockWise1x16, tall.repeat(1, 2), S.BlockWise1x16",
])  # fmt: skip
def test_products_of_scaled_float8(source):
    scopes = []
    for library in (torch, flowtorch):
        scope = {"torch": library, "F": library.nn.functional}
        exec(SCALED + f"result = call({source})", scope)
        scopes.append(scope["result"])
    expected, found = scopes
    if isinstance(expected, tuple):
        assert found == expected
    else:
        torch.testing.assert_close(torch.from_numpy(found.numpy()), expected)


def test_refused_functions_say_what_to_use():
    from flowtorch import refusals

    for name in (*refusals.INSTEAD, *refusals.TORCHSCRIPT):
        assert hasattr(torch, name), f"{name} is no name of PyTorch's"
        with pytest.raises(NotImplementedError, match=f"{name}.*[Uu]se|{name}.*Call"):
            getattr(flowtorch, name)(flowtorch.ones(2))


def test_functions_of_one_backend():
    x, w = flowtorch.randn(1, 2, 5, 5), flowtorch.randn(3, 2, 3, 3)
    found = flowtorch.mkldnn_convolution(x, w, None, [1, 1], [1, 1], [1, 1], 1)
    assert found.equal(flowtorch.nn.functional.conv2d(x, w, padding=1))
    assert flowtorch.cudnn_is_acceptable(x) is False

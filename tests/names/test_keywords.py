"""Arguments by name: every name that PyTorch's parser takes is taken, and means the same."""

from __future__ import annotations

import inspect
import re

import pytest
import torch
from compared import both

import flowtorch
from flowtorch.ops.op import pytorch_names

BEFORE = "(lambda I, P, x: {})(torch.eye(3), 2 * torch.eye(3), torch.ones(3))"
# fmt: off
CALLS = [
    "torch.as_strided_(input=torch.ones(4),size=(2,2),stride=(2,1))", "torch.broadcast_to(input=x,size=(2,3))",
    "torch.cholesky_inverse(input=P)", "torch.cholesky_solve(input=I,input2=P)", "torch.complex(real=x,imag=x)",
    "torch.dsplit(input=torch.ones(2,2,2),indices=[1])", "torch.dsplit(input=torch.ones(2,2,2),sections=2)",
    "torch.hsplit(torch.ones(2,2),indices=[1])", "torch.vsplit(torch.ones(2,2),sections=2)",
    "torch.hsplit(torch.ones(2,2),sections=2)", "torch.vsplit(torch.ones(2,2),indices=[1])",
    "torch.isin(elements=x,test_element=1)", "torch.isin(element=1,test_elements=x)",
    "torch.lu_solve(input=I,LU_data=P,LU_pivots=torch.tensor([1,2,3],dtype=torch.int32))",
    "torch.matrix_exp(input=I)", "torch.orgqr(input=I,input2=x)", "torch.ormqr(input=I,input2=x,input3=I)",
    "torch.result_type(tensor=x,other=x)", "torch.smm(input=P.to_sparse(),mat2=I)",
    "torch.tensor_split(x,sections=2)", "torch.tensor_split(x,indices=[1])",
    "torch.tensor_split(x,tensor_indices_or_sections=torch.tensor(2))", "torch.triangular_solve(input=I,A=P)",
    "torch.linalg.cholesky(input=P)", "torch.linalg.cond(input=P)", "torch.linalg.eig(input=P)",
    "torch.linalg.eigh(input=P)", "torch.linalg.householder_product(input=I,tau=x)",
    "torch.linalg.ldl_factor(input=P)", "torch.linalg.matrix_exp(input=P)", "torch.linalg.matrix_norm(input=P)",
    "torch.linalg.matrix_power(input=P,n=2)", "torch.linalg.matrix_rank(input=P)", "torch.linalg.pinv(input=P)",
    "torch.linalg.solve_triangular(input=P,B=I,upper=True)", "torch.linalg.tensorinv(input=P.reshape(3,3),ind=1)",
    "torch.linalg.tensorsolve(input=P,other=x)", "torch.linalg.vector_norm(input=x)",
    "torch.linalg.vector_norm(x=x)", "torch.linalg.solve(A=P,B=I)", "torch.linalg.inv(A=P)", "torch.linalg.det(A=P)",
    "torch.linalg.svd(A=P)", "torch.linalg.qr(A=P)", "torch.linalg.lu(A=P)", "torch.linalg.norm(input=x)",
    "torch.linalg.slogdet(A=P)", "x.broadcast_to(size=(2,3))", "x.clone().copy_(other=x)", "I.orgqr(input2=x)",
    "I.ormqr(input2=x,input3=I)", "x.clone().random_(to=3)", "x.clone().random_(**{'from':1,'to':3})",
    "x.clone().uniform_(**{'from':1,'to':3})", "x.clone().resize_(size=(2,))",
    "x.clone().resize_as_(the_template=x)", "P.to_sparse().smm(mat2=I)", "x.tensor_split(indices=[1])",
    "x.tensor_split(sections=2)", "x.view(dtype=torch.int32)", "x.where(condition=x>0,other=x)", "I.mul(other=2)",
    "I.div(other=2)", "x.dot(tensor=x)", "I.narrow(dim=0,start=0,length=1)", "x.type_as(other=x)",
    "x.take(index=torch.tensor([0]))", "torch.searchsorted(x,input=x)", "torch.true_divide(input=x,other=x)",
    "torch.unsafe_split(input=x,split_size=2)", "x.masked_scatter(mask=x>0,source=x)",
    "x.index_copy(dim=0,index=torch.tensor([0]),source=x[:1])", "I.matmul(other=I)", "x.fmod(other=2)",
    "torch.softmax(input=x,dim=0)", "x.split(split_size=2)", "x.split(split_size=[1,2],dim=0)",
    "torch.addmm(I,I,I,beta=1,alpha=2)", "x.repeat(repeats=(2,))", "x.expand(size=(2,3))", "I.permute(dims=(1,0))",
    "I.reshape(shape=(9,))", "I.view(size=(9,))", "torch.permute(input=I,dims=(1,0))",
    "torch.reshape(input=I,shape=(9,))", "torch.flatten(input=I,start_dim=0,end_dim=-1)",
    "torch.unflatten(input=x,dim=0,sizes=(3,1))", "torch.tile(input=x,dims=(2,))",
    "torch.roll(input=x,shifts=1,dims=0)", "torch.flip(input=x,dims=(0,))",
    "torch.movedim(input=I,source=0,destination=1)", "torch.repeat_interleave(input=x,repeats=2)",
    "torch.gather(input=x,dim=0,index=torch.tensor([0]))",
    "torch.index_select(input=x,dim=0,index=torch.tensor([0]))", "torch.masked_select(input=x,mask=x>0)",
    "torch.stack(tensors=[x,x])", "torch.cat(tensors=[x,x])", "torch.einsum('i->',x)",
    "torch.where(condition=x>0,input=x,other=x)", "torch.clamp(input=x,min=0,max=1)",
    "torch.isclose(input=x,other=x)", "torch.topk(input=x,k=1)", "torch.chunk(input=x,chunks=3)",
    "torch.split(tensor=x,split_size_or_sections=1)", "torch.norm(input=x)", "torch.dist(input=x,other=x)",
    "torch.cdist(x1=I,x2=I)", "torch.meshgrid(x,x,indexing='ij')", "torch.full(size=(2,),fill_value=1)",
    "torch.full_like(input=x,fill_value=1)", "torch.zeros(size=(2,))", "torch.randint(low=0,high=2,size=(2,))",
    "torch.randn(size=(2,))", "torch.eye(n=2,m=3)", "torch.arange(start=0,end=3,step=1)",
    "torch.linspace(start=0,end=1,steps=3)", "torch.tensor(data=[1])", "torch.as_tensor(data=[1])",
    "torch.bernoulli(input=x)", "torch.multinomial(input=x,num_samples=1)", "torch.normal(mean=0.,std=1.,size=(2,))",
]
# fmt: on


@pytest.mark.parametrize("call", CALLS)
def test_calls_by_name(call):
    # LAPACK and the row operations here leave other signs on zeros, and so other padding.
    expected, found = (re.sub(r"-0\.", "0.", text).replace(" ", "") for text in both(BEFORE.format(call)))
    assert found == expected
    assert "TypeError" not in expected


@pytest.mark.parametrize("call", [
    "torch.mul(x, wrong=2)", "torch.cholesky_inverse(P, wrong=2)", "torch.linalg.eigh(wrong=P)",
    "torch.matrix_exp(I, input=I)", "torch.tensor_split(x, 2, sections=2)", "torch.smm(I, I, mat2=I)",
])  # fmt: skip
def test_names_that_nobody_has_are_refused(call):
    expected, found = both(BEFORE.format(call))
    assert expected.startswith("TypeError")
    assert found.startswith("TypeError")


# What the operator library's schemas say beyond what the parser takes, or for devices alone.
BEYOND = {
    ("addmm", "out_dtype"), ("baddbmm", "out_dtype"), ("bmm", "out_dtype"), ("mm", "out_dtype"),
    ("dequantize", "tensors"), ("dequantize", "qtensor"), ("dequantize", "qtensors"), ("detach_", "input"),
    ("quantize_per_tensor", "tensors"), ("quantize_per_tensor", "scales"), ("quantize_per_tensor", "zero_points"),
    ("select", "list"), ("select", "idx"), ("ldexp", "i"), ("result_type", "scalar"), ("result_type", "scalar1"),
    ("result_type", "scalar2"), ("gradient", "spacing"), ("searchsorted", "input"),
}  # fmt: skip
IGNORED = {"layout", "pin_memory", "names", "memory_format", "generator", "dtype", "device", "requires_grad"}


def schemas(name):
    """Yield the argument names of each overload of an operator that takes tensors and no ``out``."""
    packet = getattr(torch.ops.aten, name, None)
    for overload in packet.overloads() if packet is not None else ():
        schema = getattr(packet, overload)._schema
        arguments = schema.arguments
        tensors = any("Tensor" in str(a.type) for a in arguments)
        if not tensors or any(a.is_out or "Dimname" in str(a.type) for a in arguments):
            continue
        if not {"a", "b", "l", "reverse"} & {a.name for a in arguments}:  # TorchScript's own, of numbers and lists
            yield ["input" if a.name == "self" else a.name for a in arguments]


def missing(prefix, name, function):
    """Yield the names of PyTorch's arguments that a function does not know."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for arguments in schemas(prefix + name):
        for argument in arguments:
            known = argument in parameters or argument in IGNORED or (name, argument) in BEYOND
            if not known and next(iter(pytorch_names({argument: 0}, tuple(parameters)))) not in parameters:
                yield argument


@pytest.mark.parametrize("space", ["torch", "linalg", "fft", "special"])
def test_every_argument_of_the_operator_library_has_its_name(space):
    reference, library = (t if space == "torch" else getattr(t, space) for t in (torch, flowtorch))
    prefix = "" if space == "torch" else f"{space}_"
    found, seen = {}, 0
    for name in dir(reference):
        function = getattr(library, name, None)
        if name.startswith("_") or not inspect.isbuiltin(getattr(reference, name)) or not callable(function):
            continue
        seen += 1
        lacking = set(missing(prefix, name, function))
        if lacking:
            found[name] = lacking
    assert seen > 15
    assert not found


def test_the_test_of_names_sees_a_wrong_one():
    assert set(missing("", "mul", lambda input, factor: None)) == {"other"}

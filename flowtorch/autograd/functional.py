"""Jacobians, Hessians and their products with vectors, of functions of tensors (torch.autograd.functional)."""
from __future__ import annotations

from typing import Any

import flowtorch as torch
from flowtorch.autograd.engine import grad as _grad
from flowtorch.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _as_tuple(x: Any, what: str, function: str) -> tuple[bool, tuple]:
    if isinstance(x, Tensor):
        return False, (x,)
    if not isinstance(x, tuple):
        raise TypeError(f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the given "
                        f"{what} "
                        f"has type {type(x)}.")
    for i, t in enumerate(x):
        if not isinstance(t, Tensor):
            raise TypeError(f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the "
                            "value at index "
                            f"{i} has type {type(t)}.")
    return True, x


def _watch(inputs: tuple, create_graph: bool) -> tuple:
    """Inputs to differentiate in: connected to their history for ``create_graph``, else new leaves."""
    return tuple((t.view_as(t) if t.requires_grad else t.clone().requires_grad_()) if create_graph   # type: ignore[attr-defined]
                 else t.detach().requires_grad_() for t in inputs)       # type: ignore[attr-defined]


def _outputs(func: Any, inputs: tuple, function: str, strict: bool) -> tuple[bool, tuple]:
    many, outputs = _as_tuple(func(*inputs), "outputs of the user-provided function", function)
    if strict:
        for i, o in enumerate(outputs):
            if not o.requires_grad:
                raise RuntimeError(f"Output {i} of the user-provided function does not require gradients. The outputs "
                                   "must be computed in a differentiable manner from the input when running in "
                                   "strict mode.")
    return many, outputs


def _gradients(outputs: tuple, inputs: tuple, weights: tuple, create_graph: bool, retain: bool = True) -> tuple:
    pairs = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    return _grad([o for o, _ in pairs], inputs, [w for _, w in pairs], retain_graph=retain, create_graph=create_graph,
                 allow_unused=True)


def _filled(grads: tuple, inputs: tuple, strict: bool, create_graph: bool, function: str) -> tuple:
    result = []
    for i, (g, t) in enumerate(zip(grads, inputs, strict=True)):
        if g is None:
            if strict:
                raise RuntimeError(f"The output of the user-provided function is independent of input {i}. This is "
                                   "not allowed in "
                                   "strict mode.")
            g = torch.zeros_like(t)
        elif strict and create_graph and not g.requires_grad:
            raise RuntimeError(f"The jacobian of the user-provided function is independent of input {i}. This is not "
                               "allowed in "
                               "strict mode when create_graph=True.")
        result.append(g)
    return tuple(result)


def _finish(values: Any, many: bool, create_graph: bool) -> Any:
    values = tuple(v if create_graph else v.detach() for v in values)
    return values if many else values[0]


def _vector(v: Any, like: tuple, many: bool, what: str, function: str) -> tuple:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"The vector v can only be None if the {what} " + (
                "is a single Tensor with a single element" if what == "input to the user-provided function" else
                "of the user-provided function is a single Tensor with a single element") + ".")
        return (torch.ones_like(like[0]),)
    _, vs = _as_tuple(v, "v", function)
    if len(vs) != len(like):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vs)}.")
    for i, (a, b) in enumerate(zip(vs, like, strict=True)):
        if a.shape != b.shape:
            raise RuntimeError(f"Entry {i} in v has invalid size: should be {b.shape} but got {a.shape}.")
    return vs


def vjp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(outputs, v^T J): the product of a vector with the Jacobian of ``func`` at ``inputs``."""
    with torch.enable_grad():
        many_in, given = _as_tuple(inputs, "inputs", "vjp")
        watched = _watch(given, create_graph)
        many_out, outputs = _outputs(func, watched, "vjp", strict)
        vs = _vector(v, outputs, many_out, "output", "vjp")
        grads = _filled(_gradients(outputs, watched, vs, create_graph), watched, strict, create_graph, "vjp")
    return _finish(outputs, many_out, create_graph), _finish(grads, many_in, create_graph)


def jvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(outputs, J v): the product of the Jacobian of ``func`` at ``inputs`` with a vector."""
    with torch.enable_grad():
        many_in, given = _as_tuple(inputs, "inputs", "jvp")
        watched = _watch(given, create_graph)
        vs = _vector(v, watched, many_in, "input to the user-provided function", "jvp")
        many_out, outputs = _outputs(func, watched, "jvp", strict)
        probes = tuple(torch.zeros_like(o).requires_grad_() for o in outputs)
        pulled = _filled(_gradients(outputs, watched, probes, True), watched, strict, True, "jvp")
        products = _filled(_gradients(pulled, probes, vs, create_graph), outputs, strict, create_graph, "jvp")
    return _finish(outputs, many_out, create_graph), _finish(products, many_out, create_graph)


def jacobian(func: Any, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode") -> Any:
    """The Jacobian of ``func``: for every output and input a tensor of shape output.shape + input.shape.

    ``vectorize`` and ``strategy="forward-mode"`` give the same values.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function '
                             'has more '
                             'outputs than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to '
                             'use '
                             '"reverse-mode".')
    if strategy == "forward-mode" and create_graph:
        raise NotImplementedError("torch.autograd.functional.jacobian: `create_graph=True` and "
                                  "`strategy=\"forward-mode\"` are not "
                                  "supported together (yet). Please either set `create_graph=False` or "
                                  "`strategy=\"reverse-mode\"`.")
    with torch.enable_grad():
        many_in, given = _as_tuple(inputs, "inputs", "jacobian")
        watched = _watch(given, create_graph)
        many_out, outputs = _outputs(func, watched, "jacobian", strict)
        rows = []
        for o in outputs:
            parts: list[list[Any]] = [[] for _ in watched]
            for j in range(o.numel()):
                one = torch.zeros_like(o).view(-1)
                one[j] = 1
                grads = _gradients((o,), watched, (one.view(o.shape),), create_graph)
                for k, g in enumerate(_filled(grads, watched, strict, create_graph, "jacobian")):
                    parts[k].append(g)
            rows.append(tuple(
                torch.stack(p).view((*o.shape, *t.shape)) if p else t.new_zeros((*o.shape, *t.shape))   # type: ignore[attr-defined]
                for p, t in zip(parts, watched, strict=True)))
    rows = [tuple(r if create_graph else r.detach() for r in row) for row in rows]
    if many_in and many_out:
        return tuple(rows)
    if many_out:
        return tuple(row[0] for row in rows)
    return rows[0] if many_in else rows[0][0]


def _scalar(func: Any, function: str) -> Any:
    def checked(*args: Any) -> Any:
        out = func(*args)
        many, outputs = _as_tuple(out, "outputs of the user-provided function", function)
        if many or outputs[0].numel() != 1:
            raise RuntimeError("The function given to " + function + " should return a single Tensor" if many else
                               f"The Tensor returned by the function given to {function} should contain a single "
                               "element")
        return outputs[0].reshape(())                                    # type: ignore[attr-defined]
    return checked


def hessian(func: Any, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode") -> Any:
    """The second derivatives of a scalar ``func``: for every pair of inputs a tensor of both shapes."""
    many, _ = _as_tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    scalar = _scalar(func, "hessian")

    def gradient(*args: Any) -> Any:
        g = jacobian(scalar, args, create_graph=True, strict=strict)
        return tuple(g)
    if many:
        return jacobian(gradient, inputs, create_graph=create_graph, strict=strict)
    return jacobian(lambda x: gradient(x)[0], inputs, create_graph=create_graph, strict=strict)


def vhp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(output, v^T H) of a scalar ``func``."""
    return _hessian_product(func, inputs, v, create_graph, strict, "vhp")


def hvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(output, H v) of a scalar ``func``."""
    return _hessian_product(func, inputs, v, create_graph, strict, "hvp")


def _hessian_product(func: Any, inputs: Any, v: Any, create_graph: bool, strict: bool, function: str) -> tuple:
    with torch.enable_grad():
        many, given = _as_tuple(inputs, "inputs", function)
        watched = _watch(given, create_graph)
        vs = _vector(v, watched, many, "input to the user-provided function", function)
        output = _scalar(func, function)(*watched)
        first = _filled(
            _gradients((output,), watched, (torch.ones_like(output),), True), watched, strict, True, function
        )
        second = _filled(_gradients(first, watched, vs, create_graph), watched, strict, create_graph, function)
    return output if create_graph else output.detach(), _finish(second, many, create_graph)


# ---------------------------------------------------------------- by PyTorch's names, for other libraries


def _construct_standard_basis_for(tensors: tuple, tensor_numels: tuple) -> tuple:
    """For each tensor the columns of the identity that are its elements': ``(sum of numels, numel)``, in its dtype."""
    total, before, parts = sum(tensor_numels), 0, []
    for t, n in zip(tensors, tensor_numels, strict=True):
        part = t.new_zeros(total, n)
        part.diagonal(-before).fill_(1)
        parts.append(part)
        before += n
    return tuple(parts)


def _grad_postprocess(inputs: tuple, create_graph: bool) -> tuple:
    """Gradients, in tuples of any depth, without their history unless ``create_graph``."""
    if create_graph:
        return inputs
    return tuple(g.detach() if isinstance(g, Tensor) else _grad_postprocess(g, False) for g in inputs)


def _tuple_postprocess(res: tuple, to_unpack: Any) -> Any:
    """Undo ``_as_tuple``: of the results, or of results per output and input, where a single tensor was given."""
    if not isinstance(to_unpack, tuple):
        return res if to_unpack else res[0]
    many_outputs, many_inputs = to_unpack
    rows = res if many_inputs else tuple(row[0] for row in res)
    return rows if many_outputs else rows[0]

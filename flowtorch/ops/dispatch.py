"""From a public call to a kernel: ``interpret``, the complete path, and the fast closures for the common case.

A fast closure handles plain tensors of one dtype and device (or a Python number beside one). Whatever else it meets,
and whatever goes wrong in it, it hands to ``interpret``, which does the same thing step by step: bind arguments,
interposition (``__torch_function__``, modes, transforms), promotion, kernel, recording, ``out=``. With
``FLOWTORCH_FAST_PATH=0`` only ``interpret`` runs.
"""
from __future__ import annotations

import warnings
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from flowtorch import dtypes, overrides
from flowtorch.array.place import store
from flowtorch.array.tensortype import TensorType, tensor_type
from flowtorch.autograd import anomaly
from flowtorch.autograd.mode import grad_enabled, grad_mode
from flowtorch.autograd.node import Output, edge, kept, next_seq, node_hooks, save, save_output
from flowtorch.dtypes import can_cast
from flowtorch.native import calls
from flowtorch.ops import overlap
from flowtorch.ops.op import REGISTRY, Op, home_of
from flowtorch.tensor import Tensor, shared_counter, view_of, wrap

active = overrides.active
_new: Any = object.__new__
_ndarray = np.ndarray
_asarray = np.asarray

# numpy warns where IEEE arithmetic makes inf or nan; PyTorch does not. Only warnings raised from these modules are
# silenced, never the user's own; under -W error `interpret` runs the op again with numpy's error state off.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"flowtorch\.")


# ---------------------------------------------------------------- the complete path

def interpret(op: Op, args: tuple, kwargs: dict) -> Any:
    """Run ``op`` with every rule applied, one step after the other."""
    if overrides.symbolic and (taken := overrides.symbolic[-1](op.public, args, kwargs)) is not NotImplemented:
        return taken
    out = None
    if kwargs:
        kwargs = dict(kwargs)
        out = kwargs.pop("out", None)
        if out is not None and not op.out:
            raise TypeError(f"{op.name}() got an unexpected keyword argument 'out'")
    values = op.bind(args, kwargs)
    if out is not None and op.out == "dtype":
        sum_in_out(op, values, out)
    if (special := find_special(op, values, out)) or overrides.state.modes:
        result = interpose(op, values, out, special)
        if result is not NotImplemented:
            return result
    if overrides.state.autocast is not None and out is None:
        values = overrides.state.autocast(op.name, values) or values
    if out is not None:
        overlap.check_out(op, out, flat_inputs(op, values))
    result = compute(op, values)
    if grad_mode.enabled and op.differentiable:
        record(op, values, result)
    if out is not None:
        return write_out(op, out, result)
    return result


def compute(op: Op, values: list, inplace: bool = False) -> Any:
    """The results of the op as new tensors without history. Errors of kernels are turned into PyTorch's."""
    if overrides.state.below:
        return overrides.see_below(compute, op, values, inplace)
    if overrides.dispatch_classes and (special := [t for t in flat_inputs(op, values)
                                                   if type(t) in overrides.dispatch_classes]):
        from flowtorch.utils._python_dispatch import handle_subclass

        return handle_subclass(special, op, values, inplace)
    try:
        with np.errstate(all="ignore"):
            result = op.family.compute(op, values)
    except Exception as error:
        from flowtorch.errors import explain

        raise explain(op, values, error) from None
    if grad_mode.inference:
        mark_inference(result)
    return result


def mark_inference(result: Any) -> None:
    for t in result if isinstance(result, (tuple, list)) else (result,):
        if t._view is None or t._view[0]._type.inference:
            t._type = tensor_type(t._type.dtype, t._type.device, t._type.plain, True)


def find_special(op: Op, values: list, out: Any) -> list:
    """The tensors among the arguments that need more than the plain path."""
    found = []
    for i in op.tensor_index:
        v = values[i]
        if isinstance(v, Tensor):
            if not v._type.plain:
                found.append(v)
        elif isinstance(v, (list, tuple)):
            found.extend(t for t in v if (
                not t._type.plain if isinstance(t, Tensor) else hasattr(type(t), "__torch_function__")))
        elif v is not None and hasattr(type(v), "__torch_function__"):
            found.append(v)
    if isinstance(out, Tensor) and not out._type.plain:
        found.append(out)
    return found


def interpose(op: Op, values: list, out: Any, special: list) -> Any:
    """Offer the call to ``__torch_function__`` and to transforms. NotImplemented if nobody handles it."""
    if overrides.has_torch_function(special):
        kwargs = {} if out is None else {"out": out}
        args, kwargs = as_call(op, values, kwargs)
        return overrides.handle_torch_function(op.public, special, *args, **kwargs)
    transformed = [t for t in special if hasattr(t, "__flowtorch_interpret__")]
    if transformed:
        top = max(transformed, key=lambda t: t.level)
        return top.__flowtorch_interpret__(op, values, out)
    return NotImplemented


def as_call(op: Op, values: list, kwargs: dict) -> tuple[tuple, dict]:
    """(args, kwargs) of a call with these values; parameters at their defaults are left out."""
    args = list(values[:op.positional])
    while args and op.names[len(args) - 1] in op.defaults and args[-1] is op.defaults[op.names[len(args) - 1]]:
        args.pop()
    for n, v in zip(op.names[op.positional:], values[op.positional:], strict=True):
        if v is not op.defaults.get(n, interpose):
            kwargs[n] = v
    return tuple(args), kwargs


def flat_inputs(op: Op, values: list) -> list:
    """The values of the tensor parameters, lists of tensors spread out."""
    inputs: list = []
    for i in op.tensor_index:
        v = values[i]
        if isinstance(v, (list, tuple)):
            inputs.extend(v)
        else:
            inputs.append(v)
    return inputs


def record(op: Op, values: list, result: Any, self_copy: Any = None) -> Any:
    """Put a node behind ``result`` if an input needs a gradient, and return the node, else None.

    ``self_copy`` stands in for the first input where an in-place op has overwritten it.
    """
    inputs = flat_inputs(op, values)
    edges = tuple([edge(t) if isinstance(t, Tensor) else None for t in inputs])
    if not any(e is not None for e in edges):
        return None
    node = make_node(op, values, inputs, edges, self_copy)
    if isinstance(result, Tensor):
        if result._type.dtype.rank < 2:
            return None
        node.shape, node.type = result._array.shape, result._type
        if op.wants_out and any(edges[j] is not None for j in op.out_savers):
            save_output(node, result)
        result._node = node
        result._requires_grad = True
        return node
    node.shape = tuple([t._array.shape for t in result])
    node.type = tuple([t._type for t in result])
    if op.wants_out:
        node.out = tuple([(kept(t), c := shared_counter(t), c[0]) for t in result])
    for k, t in enumerate(result):
        if t._type.dtype.rank >= 2:
            t._node = Output(node, k)
            t._requires_grad = True
    return node


def make_node(op: Op, values: list, inputs: list, edges: tuple, self_copy: Any = None) -> Any:
    """A node with everything that the derivative asks for, except the output."""
    node = _new(op.node_class)
    node.seq = next_seq()
    node.edges = edges
    node.hooks = None
    if anomaly.state.enabled:
        anomaly.note_origin(node)
    if op.many:
        last = len(op.savers) - 1
        kept = [t if op.savers[min(i, last)] else None for i, t in enumerate(inputs)]
    elif len(inputs) == len(op.tensors):
        kept = []
        for i, (t, users) in enumerate(zip(inputs, op.savers, strict=True)):
            keep = any(edges[j] is not None for j in users) or (t.__class__ is int or t.__class__ is float)
            kept.append((self_copy if i == 0 and self_copy is not None else t) if keep else None)
    else:                                                        # a list of tensors: all or none
        kept = list(inputs) if any(op.savers) else []
    save(node, tuple(kept))
    if op.wants_params:
        node.params = dict(zip(op.names, values, strict=True))
        for n in op.tensors:
            del node.params[n]
    if op.wants_shapes:
        node.shapes = [(t._array.shape, t._type.dtype) if isinstance(t, Tensor) else ((), None) for t in inputs]
    return node


def write_out(op: Any, out: Any, result: Any) -> Any:
    """Copy ``result`` into the tensors given as ``out=``, resized where PyTorch allows it."""
    if isinstance(result, (tuple, list)):
        if not isinstance(out, (tuple, list)) or len(out) != len(result):
            raise TypeError(f"{op.name}(): argument 'out' must be a tuple of {len(result)} Tensors")
        filled = [write_out(op, o, r) for o, r in zip(out, result, strict=True)]
        return type(result)(filled) if hasattr(result, "_fields") else tuple(filled)
    if not isinstance(out, Tensor):
        raise TypeError(f"{op.name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if grad_mode.enabled and (out.requires_grad or result._requires_grad):
        raise RuntimeError(f"{op.name}(): functions with out=... arguments don't support automatic differentiation, "
                           "but one of the arguments requires grad.")
    if out._type.device != result._type.device:
        raise RuntimeError(f"Expected out tensor to have device {result._type.device}, but got {out._type.device} "
                           "instead")
    if out._type.dtype is not result._type.dtype:
        check_out_dtype(op, result._type.dtype, out._type.dtype)
    if overlap.has_internal_overlap(out._array):
        overlap.raise_overlap()
    if out._array.shape != result._array.shape:
        resize_output(op, out, result._array)
    if out._type.device.type != "meta":
        store(out._array, result._array)
    out._bump_version()
    return out


class OutRule:
    """A name and a rule for ``write_out``, for functions without a record that take ``out=`` themselves."""

    __slots__ = ("name", "namespace", "out")

    def __init__(self, name: str, out: Any = True, namespace: str = "torch") -> None:
        self.name, self.out, self.namespace = name, out, namespace


def sum_in_out(op: Op, values: list, out: Any) -> None:
    """Sums and products are computed in the dtype of ``out=``, and take it only together with a dimension."""
    if values[op.names.index("dim")] is None:
        raise TypeError(f"{op.name}() received an invalid combination of arguments - got (Tensor, out=Tensor)")
    i = op.names.index("dtype")
    if values[i] is None and isinstance(out, Tensor):
        values[i] = out._type.dtype


def check_out_dtype(op: Any, result: dtypes.dtype, out: dtypes.dtype) -> None:
    """Raise what PyTorch raises where ``out=`` of another dtype than the result's is refused."""
    if callable(op.out):
        op.out(op.name, out, result)
        return
    from flowtorch.ops.out_rules import refusal

    message = refusal(getattr(op, "namespace", "torch"), op.name, result, out)
    if message:
        raise RuntimeError(message)
    if not can_cast(result, out):
        raise RuntimeError(f"result type {result.label} can't be cast to the desired output type {out.label}")


def resize_output(op: Any, out: Tensor, result: np.ndarray) -> None:
    """Give ``out`` the shape and strides of ``result``; a non-empty one is warned about, as PyTorch does."""
    shape, had_elements = result.shape, out._array.size > 0
    if out._array.size:
        warnings.warn(f"An output with one or more elements was resized since it had shape {list(out._array.shape)}, "
                      f"which does not match the required output shape {list(shape)}. This behavior is deprecated, and "
                      "in a future PyTorch release outputs will not be resized unless they have zero elements. You can "
                      "explicitly reuse an out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
                      stacklevel=4)
    out.resize_(shape)                                                  # type: ignore[attr-defined]
    if not result.flags.c_contiguous and overlap.is_dense(result):
        from flowtorch.ops.out_rules import resized_to_rows

        if resized_to_rows(getattr(op, "namespace", "torch"), op.name, had_elements):
            return
        order = sorted(range(len(shape)), key=lambda d: -result.strides[d])
        inverse = sorted(range(len(shape)), key=order.__getitem__)
        out._array = out._array.reshape([shape[d] for d in order]).transpose(inverse)


# ---------------------------------------------------------------- in-place

def interpret_inplace(op: Op, args: tuple, kwargs: dict) -> Any:
    """Run ``op``, write its result into the first argument, and update the history and version of that tensor."""
    values = op.bind(args, kwargs)
    if (special := find_special(op, values, None)) or overrides.state.modes:
        if overrides.has_torch_function(special):
            args, kwargs = as_call(op, values, {})
            return overrides.handle_torch_function(op.public_inplace, special, *args, **kwargs)
        for t in special:
            if hasattr(t, "__flowtorch_interpret__"):
                return max((t for t in special if hasattr(t, "__flowtorch_interpret__")),
                           key=lambda t: t.level).__flowtorch_interpret__(op, values, None, inplace=True)
    target = values[op.tensor_index[0]]
    if not isinstance(target, Tensor):
        raise TypeError(f"{op.name}_(): argument 'self' must be Tensor, not {type(target).__name__}")
    recording = grad_mode.enabled and any(isinstance(t, Tensor) and t.requires_grad for t in flat_inputs(op, values))
    check_inplace(target, recording)
    overlap.check_written(op, target, flat_inputs(op, values)[1:])
    if op.promote == "real" and target._type.dtype.is_complex:
        raise RuntimeError(f"In-place {op.name} is not supported for complex tensors.")
    try:
        result = compute(op, values, True)
    except NotImplementedError:
        check_fits(op, target, values)
        raise
    check_stored(target, result)
    node = None
    if recording and target._type.dtype.rank >= 2:
        copy = None
        if op.differentiable and op.savers and any(edge(t) is not None for t in flat_inputs(op, values)[:len(op.savers)]
                                                   if isinstance(t, Tensor)) and op.savers[0]:
            copy = wrap(target._array.copy(), target._type)
            copy._node, copy._requires_grad = target._node, target._requires_grad
        inputs = flat_inputs(op, values)
        edges = tuple([edge(t) if isinstance(t, Tensor) else None for t in inputs])
        if op.differentiable:
            node = make_node(op, values, inputs, edges, copy)
            node.shape, node.type = target._array.shape, target._type
    if target._type.device.type != "meta":
        store(target._array, result._array)
    target._bump_version()
    if node is not None:
        if op.wants_out:
            save_output(node, target)
        rebase_history(target, node)
    elif recording and not op.differentiable and target._type.dtype.rank >= 2:
        # e.g. x.floor_(), x.eq_(y): the result no longer depends on what was there
        from flowtorch.autograd.copy_slices import cut_history

        cut_history(target)
    return target


def check_inplace(target: Tensor, recording: bool, writes: bool = True) -> None:
    """Refuse what PyTorch refuses to write: leaves and certain views under grad mode, overlapping memory.

    ``writes``: False where the elements stay as they are, and only the view of them changes.
    """
    if writes and overlap.has_internal_overlap(target._array):
        overlap.raise_overlap()
    if target._type.inference and not grad_mode.inference:
        raise RuntimeError("Inplace update to inference tensor outside InferenceMode is not allowed."
                           "You can make a clone to get a normal tensor before doing inplace update."
                           "See https://github.com/pytorch/rfcs/pull/17 for more details.")
    if not recording or not grad_mode.enabled:
        return
    view = view_of(target)
    if target._requires_grad and target._node is None and (view is None or view.origin is None):
        raise RuntimeError(f"a {'leaf Variable' if view is None else 'view of a leaf Variable'} that requires grad is "
                           "being used in an in-place operation. Change it under torch.no_grad(), or change a clone.")
    if view is not None:
        if view.origin is not None:
            refuse_view(target, view.origin)
        if view.base._requires_grad and view.base._node is None:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation. "
                               "Change it under torch.no_grad(), or change a clone.")


def refuse_view(target: Tensor, origin: str) -> None:
    """Raise for an in-place change of a view that ``origin`` says must not be changed."""
    why = {
        "multi_output": "This view is the output of a function that returns multiple views. Such functions do not "
                        "allow the output views to be modified inplace. You should replace the inplace operation by an "
                        "out-of-place one.",
        "custom": "This view was created inside a custom Function (or because an input was returned as-is) and the "
                  "autograd logic to handle view+inplace would override the custom backward associated with the custom "
                  "Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning "
                  "the output of the custom Function.",
    }.get(origin)
    if why is not None and target._node is not None:
        e = target._node
        name = (e.node if type(e) is Output else e).name().partition("Backward")[0]
        raise RuntimeError(f"Output {e.index if type(e) is Output else 0} of {name} is a view and is being modified "
                           f"inplace. {why}")
    block, normal = ("inference mode", "in normal mode") if origin == "inference" else (
        "no_grad mode", "with grad mode enabled")
    raise RuntimeError(f"A view was created in {block} and is being modified inplace {normal}. Whether the change is "
                       "to be tracked is not clear: make the view and change it either both inside of the block (not "
                       "tracked) or both outside of it (tracked).")


def check_stored(target: Tensor, result: Tensor) -> None:
    if not can_cast(result._type.dtype, target._type.dtype):
        raise RuntimeError(f"result type {result._type.dtype.label} can't be cast to the desired output type "
                           f"{target._type.dtype.label}")
    if result._array.shape != target._array.shape:
        raise RuntimeError(f"output with shape {list(target._array.shape)} doesn't match the broadcast shape "
                           f"{list(result._array.shape)}")


def check_fits(op: Op, target: Tensor, values: list) -> None:
    """Refuse a pointwise result that has another shape than ``target``. PyTorch checks shapes before dtypes."""
    if op.family.name == "pointwise":
        shape = np.broadcast_shapes(*[values[i]._array.shape for i in op.tensor_index if isinstance(values[i], Tensor)])
        if shape != target._array.shape:
            raise RuntimeError(f"output with shape {list(target._array.shape)} doesn't match the broadcast shape "
                               f"{list(shape)}") from None


def _keep_retaining(target: Tensor, old: Any, node: Any) -> None:
    """Make ``target`` retain the gradient of its new value, not of the value that the in-place op has replaced."""
    for index, ref in tuple(old.retain.items()):
        if ref() is target:
            del old.retain[index]
            node_hooks(node).retain[0] = ref


def rebase_history(target: Tensor, node: Any) -> None:
    """Make ``node`` the history of ``target`` after an in-place op; of its base too if it is a view."""
    old = getattr(target._node, "hooks", None)
    if old is not None and old.retain:
        _keep_retaining(target, old, node)
    if target._view is None:
        target._node = node
        target._requires_grad = True
    else:
        from flowtorch.autograd.copy_slices import rebase_view

        rebase_view(target, node)


def inplace(op: Op) -> Callable:
    """The in-place form of a pointwise op: ``add_``."""
    plans, float_plans, int_plans = op.plans, op.float_plans, op.int_plans
    arity = len(op.tensors)

    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        # Fast: a tensor that is no view and needs no gradient, with operands alike.
        try:
            tx = input._type
            if not active and not kwargs and input._view is None and (
                    not input._requires_grad or not grad_enabled()):
                if arity == 1 and not args:
                    plan = plans.get(tx)
                    if plan is not None and plan[3] is not None and plan[1] is tx:
                        a = input._array
                        plan[3](a, a)
                        input._bump_version()
                        return input
                elif arity == 2 and len(args) == 1:
                    other = args[0]
                    kind = type(other)
                    if kind is float or kind is int:
                        plan = (float_plans if kind is float else int_plans).get(tx)
                        b = (tx.scalars.get(other) if other else None) if plan is not None else None
                        if b is None:
                            b = tx.scalar(other)
                    else:
                        plan = plans.get(tx) if other._type is tx else None
                        if plan is not None:
                            b = other._array
                            if not (b.base is None and input._array.base is None) and overlap.shares(input._array, b):
                                plan = None
                            if (other._requires_grad or other._view is not None) and grad_enabled():
                                plan = None
                    if plan is not None and plan[3] is not None and plan[1] is tx:
                        a = input._array
                        if a.shape == b.shape or b.ndim == 0:
                            plan[3](a, b, a)
                            input._bump_version()
                            return input
        except (AttributeError, KeyError, TypeError):
            pass  # the complete path does it again, and says what is wrong
        return interpret_inplace(op, (input, *args), kwargs)

    name_function(call, op, op.name + "_")
    quick = calls.pointwise("inplace", op, call) if arity <= 2 else call
    return calls.ternary(op, quick, inplace=True)


# ---------------------------------------------------------------- public functions

def name_function(call: Any, op: Op, name: str | None = None) -> None:
    call.__name__ = call.__qualname__ = name or op.name
    call.__doc__ = op.doc
    call.__module__ = home_of(op)
    call.op = op


def general(op: Op) -> Callable:
    """The public function of an op with no special fast path."""
    def call(*args: Any, **kwargs: Any) -> Any:
        return interpret(op, args, kwargs)

    name_function(call, op)
    attach_signature(call, op)
    return call


def attach_signature(call: Any, op: Op) -> None:
    """Show the op's parameters (and ``out``) to ``inspect.signature``, which sees only ``*args`` otherwise."""
    params = [Parameter(n, Parameter.POSITIONAL_OR_KEYWORD if i < op.positional else Parameter.KEYWORD_ONLY,
                        default=op.defaults.get(n, Parameter.empty)) for i, n in enumerate(op.names)]
    if op.out:
        params.append(Parameter("out", Parameter.KEYWORD_ONLY, default=None))
    call.__signature__ = Signature(params, __validate_parameters__=False)


# ---------------------------------------------------------------- plans

def forget_plans() -> None:
    """Drop all cached plans: what they were built from (the default dtype, a kernel provider) has changed."""
    for op in REGISTRY.values():
        op.plans.clear()
        op.int_plans.clear()
        op.float_plans.clear()
    calls.forget_plans()


dtypes._on_default_change.append(forget_plans)


# device type -> functions (op, TensorType) -> (fast kernel, full kernel) or None, asked in order
kernel_providers: dict[str, list[Callable[[Op, TensorType], Any]]] = {"cpu": [], "cuda": [], "meta": []}

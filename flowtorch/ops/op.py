"""The op record, the registry of ops, and what composites need.

A primitive is a ``def`` under one of the decorators; the record carries all that the rest derives from it: the fast
call path, ``interpret``, the method, the in-place and ``out=`` variants, the operators, the derivative, the samples.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch import overrides
from flowtorch.array.memory_format import following
from flowtorch.autograd.node import Node, Output, fetch, fetch_output
from flowtorch.dtypes import as_dtype
from flowtorch.tensor import Tensor

REGISTRY: dict[str, Op] = {}
COMPOSITES: dict[str, Composite] = {}
REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "REQUIRED"})()


def parameters(f: Callable) -> tuple[tuple[str, ...], dict[str, Any], int]:
    """(names, defaults, number of positional names) of a function, from its code object: that is fast at import."""
    code = f.__code__                                                  # type: ignore[attr-defined]
    n = code.co_argcount
    names = code.co_varnames[:n + code.co_kwonlyargcount]
    defaults = dict(zip(names[n - len(f.__defaults__ or ()):n], f.__defaults__ or (), strict=True))   # type: ignore[attr-defined]
    defaults.update(f.__kwdefaults__ or {})                            # type: ignore[attr-defined]
    return names, defaults, n


class Op:
    """A primitive: its kernels, derivative, family rules and documentation in one record.

    ``tensors``   names of the parameters that hold tensors (or lists of them)
    ``names``     all parameters in order; ``defaults``; ``positional`` how many may be given by position
    ``body``      the ``def``: the CPU kernel on numpy arrays (None for ops that name a ufunc)
    ``ufunc``     the numpy ufunc that is the kernel when every parameter has its default
    ``expr``      the scalar expression of a pointwise op, as text (codegen parses it on first use)
    ``family``    the Family that supplies promotion, shape and batching rules
    ``vjps``      per input: (function, names it wants) or None
    ``joint``     the one function that gives all gradients (instead of ``vjps``), with the names it wants
    ``linear``    the output is linear in these inputs together: forward mode applies the op to the tangents
    ``many``      the last tensor parameter is a list of tensors: a derivative that names it gets the whole list
    ``out``       whether ``out=`` is taken: True by the table of ``out_rules``, "dtype" of any dtype, which is then the
                  op's ``dtype``; or a function (name, out dtype, result dtype) that raises what is refused
    ``follows``   inputs whose channels-last order in memory the results take
    ``rejects``   kinds of dtype that PyTorch refuses ("bool", "complex", "float", "integer", "inexact"), or kind ->
                  message of a RuntimeError (None: NotImplementedError)
    """

    def __init__(
        self,
        name: str,
        family: Family,
        body: Callable,
        *,
        ufunc: Any = None,
        expr: str | None = None,
        vjp: Any = None,
        tensors: tuple[str, ...] | None = None,
        promote: str = "same",
        linear: bool | tuple[str, ...] = False,
        rejects: tuple[str, ...] | dict[str, str | None] = (),
        method: Any = True,
        inplace: bool = False,
        out: Any = True,
        namespace: str = "torch",
        dunder: str | None = None,
        outputs: tuple[str, ...] | None = None,
        cuda: Any = None,
        node: str | None = None,
        low: str = "upcast",
        batch: Any = None,
        precise: bool = False,
        variadic: str | None = None,
        numbers: tuple[str, ...] | None = None,
        changes_type: bool = False,
        many: bool = False,
        check: Any = None,
        follows: tuple[str, ...] = (),
    ) -> None:
        self.name, self.family, self.body, self.ufunc, self.expr = name, family, body, ufunc, expr
        self.doc = body.__doc__
        self.names, self.defaults, self.positional = parameters(body)
        if follows:
            self.body = following(self, body, follows)
        self.tensors = tensors if tensors is not None else tuple(
            n for n in self.names[:self.positional] if n not in self.defaults)
        self.tensor_index = tuple(self.names.index(n) for n in self.tensors)
        self.params = tuple(n for n in self.names if n not in self.tensors)
        self.scalar_index = tuple(self.names.index(n) for n in self.params) if family.name == "pointwise" else ()
        self.promote, self.rejects, self.low, self.precise = promote, rejects, low, precise
        self.linear = self.tensors if linear is True else (linear or ())
        self.method, self.inplace, self.out, self.namespace, self.dunder = method, inplace, out, namespace, dunder
        self.outputs = outputs
        self.cuda = cuda
        self.batch = batch
        self.numbers = self.tensors[1:] if numbers is None else numbers      # operands that may be Python numbers
        self.check = check                   # raises what PyTorch refuses, given (operands, common dtype)
        self.changes_type = changes_type     # a view op whose result has another dtype, or several results
        self.variadic = variadic        # the last positional parameter may be spread: x.view(2, 3)
        self.many = many                # the last tensor parameter is a list of tensors
        self.jvp_rule: Any = None
        self.plans: dict = {}
        self.int_plans: dict = {}
        self.float_plans: dict = {}
        self.joint: Any = None
        self.vjps: tuple = ()
        self.public: Any = None
        self.closure: Any = None             # see fast_general
        self.public_inplace: Any = None
        self.recorder: Any = None            # compiled by fast_record when the first call is recorded
        self.node_class = type(node or _node_name(name), (Node,), {"__slots__": (), "op": self,
                                                                   "__module__": "flowtorch.autograd"})
        self.set_derivatives(vjp)
        if name in REGISTRY:
            raise ValueError(f"op {name!r} is defined twice")
        REGISTRY[name] = self

    # ---- derivatives
    def set_derivatives(self, vjp: Any) -> None:
        """Read the derivative functions: the names of their parameters say what is kept for backward."""
        if vjp is None:
            self.vjps = (None,) * len(self.tensors)
        else:
            if callable(vjp):
                vjp = (vjp,)
            self.vjps = tuple(None if f is None else (f, self._wants(f)) for f in vjp)
            if len(self.vjps) != len(self.tensors):
                raise ValueError(f"op {self.name!r}: {len(self.vjps)} derivatives for {len(self.tensors)} tensors")
        wants = [w for v in self.vjps if v is not None for w in v[1]]
        self._note_wants(wants)

    def _wants(self, f: Callable) -> tuple[tuple[str, Any], ...]:
        """(what, which) for each parameter of a derivative after ``g``; ``value`` says what the pairs mean."""
        f = getattr(f, "__wrapped__", f)                                # see ``single.in_single``
        names = f.__code__.co_varnames[:f.__code__.co_argcount]         # type: ignore[attr-defined]
        defaults = len(f.__defaults__ or ())                            # type: ignore[attr-defined]
        wants: list[tuple[str, Any]] = []
        for n in names[1:len(names) - defaults]:
            if n == "needs":
                wants.append(("needs", None))
            elif n == "out":
                wants.append(("out", None))
            elif n in self.tensors:
                wants.append(("input", self.tensors.index(n)))
            elif n.endswith("_shape") and n[:-6] in self.tensors:
                wants.append(("shape", self.tensors.index(n[:-6])))
            elif n.endswith("_dtype") and n[:-6] in self.tensors:
                wants.append(("dtype", self.tensors.index(n[:-6])))
            elif n in self.names:
                wants.append(("param", n))
            else:
                raise ValueError(f"op {self.name!r}: derivative wants unknown name {n!r}")
        return tuple(wants)

    def _note_wants(self, wants: Any) -> None:
        self.differentiable = self.joint is not None or any(v is not None for v in self.vjps)
        self.wants_out = any(w == "out" for w, _ in wants)
        self.wants_params = any(w == "param" for w, _ in wants)
        self.wants_shapes = any(w in ("shape", "dtype") for w, _ in wants)
        # savers[i]: which inputs' gradients need input i kept
        self.savers = tuple(tuple(j for j, v in enumerate(self.vjps) if v is not None and ("input", i) in v[1])
                            for i in range(len(self.tensors)))
        self.out_savers = tuple(j for j, v in enumerate(self.vjps) if v is not None and ("out", None) in v[1])
        if self.joint is not None:
            every = tuple(range(len(self.tensors)))
            self.savers = tuple(every if ("input", i) in self.joint[1] else () for i in every)
            self.out_savers = every if self.wants_out else ()
        if not overrides.active:                          # FLOWTORCH_FAST_PATH=0 leaves Node.apply, and so ``backward``
            self.node_class.apply = _first_apply  # type: ignore[attr-defined]

    def derivative(self, f: Callable) -> Callable:
        """Decorator: ``f(g, ..., needs)`` gives the gradients of all inputs as a tuple (None where not needed)."""
        self.joint = (f, self._wants(f))
        self._note_wants(self.joint[1])
        return f

    def jvp(self, f: Callable) -> Callable:
        """Decorator: ``f(tangents, *values)`` gives the tangent(s) of the output(s)."""
        self.jvp_rule = f
        return f

    def value(self, node: Node, want: tuple[str, Any]) -> Any:
        """One argument of a derivative function, fetched from the node."""
        what, which = want
        if self.many and what in ("input", "shape") and which == len(self.tensors) - 1:
            every = range(which, len(node.edges))
            return [fetch(node, i) if what == "input" else node.shapes[i][0] for i in every]
        if what == "input":
            return fetch(node, which)
        if what == "out":
            return fetch_output(node) if not isinstance(node.type, tuple) else SavedOutputs(node)
        if what == "param":
            params = node.params
            if type(params) is tuple:  # positional arguments after the tensor, as a fast closure got them
                i = self.names.index(which) - len(self.tensors)
                return params[i] if i < len(params) else self.defaults[which]
            return params[which] if params is not None else self.defaults[which]
        if what == "shape":
            return node.shapes[which][0]
        if what == "dtype":
            return node.shapes[which][1]
        return tuple(e is not None for e in node.edges)

    def backward(self, node: Node, g: Any) -> tuple:
        """Gradients of the recorded call's inputs, in edge order."""
        if self.joint is not None:
            f, wants = self.joint
            return tuple(f(g, *[self.value(node, w) for w in wants]))
        grads = []
        for e, v in zip(node.edges, self.vjps, strict=False):
            if e is None or v is None:
                grads.append(None)
                continue
            f, wants = v
            grads.append(f(g, *[self.value(node, w) for w in wants]) if wants else f(g))
        return tuple(grads)

    def saved_attribute(self, node: Node, name: str) -> Any:
        name = {"self": self.tensors[0] if self.tensors else "self", "result": "out"}.get(name, name)
        if name == "out":
            return self.value(node, ("out", None))
        if name in self.tensors:
            return fetch(node, self.tensors.index(name))
        if name in self.names:
            return self.value(node, ("param", name))
        raise AttributeError(f"'{node.name()}' object has no attribute '_saved_{name}'")

    # ---- arguments
    def bind(self, args: tuple, kwargs: dict) -> list:
        """The value of every parameter, in order. TypeError, in PyTorch's words, if the arguments do not fit."""
        names = self.names
        n = len(args)
        if kwargs and any(k not in names for k in kwargs):
            kwargs = pytorch_names(kwargs, names)
        if n > self.positional:
            from flowtorch.ops.old_orders import reorder

            reordered = reorder(self.name, args, kwargs)
            if reordered is not None:
                return self.bind(*reordered)
            raise TypeError(f"{self.name}() takes {self.positional} positional arguments but {n} were given")
        values = list(args)
        used = 0
        for name in names[n:]:
            if kwargs and name in kwargs:
                values.append(kwargs[name])
                used += 1
            elif name in self.defaults:
                values.append(self.defaults[name])
            elif name == self.names[0] and kwargs and "self" in kwargs:
                values.append(kwargs["self"])
                used += 1
            else:
                missing = [m for m in names[n:] if m not in self.defaults and m not in kwargs]
                raise TypeError(f"{self.name}() missing {len(missing)} required positional arguments: "
                                + ", ".join(f'"{m}"' for m in missing))
        if any(v is MISSING for v in values):
            missing = [m for m, v in zip(names, values, strict=False) if v is MISSING]
            raise TypeError(f"{self.name}() missing {len(missing)} required positional arguments: "
                            + ", ".join(f'"{m}"' for m in missing))
        if used != len(kwargs):
            for k in kwargs:
                if k in names[:n]:
                    raise TypeError(f"{self.name}() got multiple values for argument '{k}'")
                if k not in names:
                    raise TypeError(f"{self.name}() got an unexpected keyword argument '{k}'")
        if "dtype" in names:
            i = names.index("dtype")
            values[i] = as_dtype(values[i])
        for i in self.scalar_index:
            if isinstance(values[i], Tensor) and values[i]._type.plain and values[i].dim() == 0:
                values[i] = values[i].item()         # PyTorch takes tensors of one number where it wants a number
        return values

    def __repr__(self) -> str:
        return f"<op {self.name}: {self.family.name}>"


class _Missing:
    def __repr__(self) -> str:
        return "<required>"


# Stands for a required argument in compiled signatures that also take it under numpy's name.
MISSING = _Missing()
# What numpy calls PyTorch's parameters: both names are taken wherever an operator has the parameter.
NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x1": "input", "x2": "other"}
# What PyTorch's own parser calls parameters that its documentation, and so the definitions here, name otherwise. An
# int says which parameter is meant, whatever its name.
PARSER_NAMES: dict[str, tuple[str, ...] | int] = {
    "input": 0, "input2": 1, "input3": 2, "indices": ("indices_or_sections",), "sections": ("indices_or_sections",),
    "tensor_indices_or_sections": ("indices_or_sections",), "element": ("elements",), "size": ("shape",),
    "test_element": ("test_elements",), "tensor": ("tensor1",), "other": ("tensor2", "B"), "mat2": ("mat",),
}


def pytorch_names(kwargs: dict, names: Any) -> dict:
    """Keyword arguments in which numpy's names are replaced, if ``names`` has only PyTorch's."""
    return {k if k in names else _meant(k, names): v for k, v in kwargs.items()}


def _meant(name: str, names: Any) -> str:
    if name in NUMPY_NAMES and NUMPY_NAMES[name] in names:
        return NUMPY_NAMES[name]
    found = PARSER_NAMES.get(name, ())
    if isinstance(found, int):
        return names[found] if found < len(names) else name
    return next((other for other in found if other in names), name)


def _first_apply(node: Node, g: Any) -> tuple:
    """The ``apply`` of a node before the derivative of its op is compiled: compiles it, and calls the result."""
    from flowtorch.ops.fast_backward import compiled

    op = node.op
    op.node_class.apply = compiled(op)
    return op.node_class.apply(node, g)


class SavedOutputs:
    """The saved results of a node with several outputs. Each is fetched, and its version checked, when it is asked
    for."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def __len__(self) -> int:
        return len(self.node.out)

    def __getitem__(self, k: int) -> Tensor:
        from flowtorch.autograd.node import raise_stale, restored

        node = self.node
        array, counter, version = node.out[k]
        if counter[0] != version:
            raise_stale(array.shape, node.type[k], node, counter[0], version)
        t = restored(array, node.type[k])
        t._counter = counter
        if t._type.dtype.rank >= 2:
            t._node, t._requires_grad = Output(node, k), True
        return t


fetch_outputs = SavedOutputs


_NODE_NAMES = {
    "matmul": "MmBackward0", "reshape": "ViewBackward0", "getitem": "SelectBackward0", "log1p": "Log1PBackward0",
    "deg2rad": "Deg2RadBackward0", "rad2deg": "Rad2DegBackward0", "square": "PowBackward0", "real": "SelectBackward0",
    "imag": "SelectBackward0", "entr": "SpecialEntrBackward0", "erfcx": "SpecialErfcxBackward0",
    "i0e": "SpecialI0EBackward0", "i1": "SpecialI1Backward0", "i1e": "SpecialI1EBackward0",
    "log_ndtr": "SpecialLogNdtrBackward0", "ndtri": "SpecialNdtriBackward0", "xlog1py": "SpecialXlog1PyBackward0",
    "zeta": "SpecialZetaBackward0",
}


def _node_name(op_name: str) -> str:
    """PyTorch's node name for an op: ``log_softmax`` -> ``LogSoftmaxBackward0``."""
    return _NODE_NAMES.get(op_name) or "".join(p[:1].upper() + p[1:] for p in op_name.split("_")) + "Backward0"


class Family:
    """What ops of one kind share: promotion, kernels, shapes, batching. ``compute`` runs a call, unrecorded."""

    name = "op"

    def compute(self, op: Op, values: list) -> Any:
        raise NotImplementedError

    def fast(self, op: Op) -> Callable:
        """The public function: the fast path of this family for this op."""
        raise NotImplementedError


class Composite:
    """A public function that is made of other public functions: it has no kernel and no rules of its own."""

    def __init__(self, function: Callable, namespace: str, method: Any, inplace: bool, out: Any) -> None:
        self.name = function.__name__
        self.function, self.namespace, self.method, self.inplace, self.out = function, namespace, method, inplace, out
        self.doc = function.__doc__
        self.public: Any = function


def composite(function: Callable | None = None, *, namespace: str = "torch", method: Any = False,
              inplace: bool = False, out: Any = False, name: str | None = None) -> Any:
    """Register a function on tensors that only calls other ops.

    ``method``: attach it to Tensor (True, or the method's name). ``inplace``: also derive ``name_``. ``out``: also
    accept ``out=`` (see ``Op``). ``namespace``:
    "torch", "nn.functional", "linalg", "special", "fft", "Tensor" (method only), ...
    """
    def register(f: Callable) -> Callable:
        from flowtorch.ops.compose import compose

        record = Composite(f, namespace, method, inplace, out)
        record.name = name or f.__name__
        key = f"{namespace}.{record.name}" if namespace != "torch" else record.name
        COMPOSITES[key] = record
        return compose(record)
    return register if function is None else register(function)


def home_of(record: Op | Composite) -> str:
    """The module in which users find the function of a record; pickles use it too."""
    return "flowtorch" if record.namespace in ("torch", "Tensor") else f"flowtorch.{record.namespace}"


def is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)

"""Tracing: a module or function is run on proxies, and what it does becomes a graph."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import flowtorch as torch
from flowtorch.nn.container import Sequential
from flowtorch.nn.module import Module
from flowtorch.nn.shortcuts import ParameterShortcut, Shortcut
from flowtorch.utils import _pytree as pytree

from ._codegen import _PyTreeCodeGen, _PyTreeInfo
from ._compatibility import compatibility as compatibility
from ._patching import Patcher, _wrapped_fns_to_patch
from ._recording import find_proxy, watching
from ._trace_parts import ScriptObject as ScriptObject
from ._trace_parts import _autowrap_check as _autowrap_check
from ._trace_parts import _orig_module_call as _orig_module_call
from ._trace_parts import _orig_module_getattr as _orig_module_getattr
from ._trace_parts import _patch_wrapped_functions as _patch_wrapped_functions
from ._trace_parts import _Patcher as _Patcher
from .graph import Graph
from .graph_module import GraphModule
from .node import Node, base_types
from .proxy import ParameterProxy, Proxy, Scope, ScopeContextManager, TracerBase

__all__ = ["PHBase", "PHWithMeta", "ProxyableClassMeta", "Tracer", "is_fx_symbolic_tracing", "is_fx_tracing",
           "symbolic_trace", "wrap"]  # fmt: skip

HAS_VARSTUFF = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_proxyable_classes: dict[type, None] = {}
_tracing = False


def is_fx_tracing() -> bool:
    """Whether a trace is being recorded."""
    return _tracing


is_fx_symbolic_tracing = is_fx_tracing


class ProxyableClassMeta(type):
    """Metaclass of classes whose making becomes a node where proxies are among the arguments."""

    def __init__(cls, name: str, bases: tuple, attrs: dict) -> None:
        _proxyable_classes.setdefault(cls)
        super().__init__(name, bases, attrs)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        proxy = find_proxy((args, kwargs)) if _tracing else None
        if proxy is not None:
            return proxy.tracer.create_proxy("call_function", cls, args, kwargs)
        return super().__call__(*args, **kwargs)


class PHBase:
    """In ``concrete_args``: this value is an input, not a constant."""

    def __repr__(self) -> str:
        return "PH"


PH = PHBase()


class PHWithMeta(PHBase):
    """As ``PH``; its attributes become those of the input's node."""

    def __init__(self, ph_key: str | None = None) -> None:
        super().__init__()
        self.ph_key = ph_key


class Tracer(TracerBase):
    """Makes graphs of modules and functions. Subclasses say which modules are looked into, and more.

    ``autowrap_modules`` and ``autowrap_functions`` become nodes wherever they are called with proxies;
    ``param_shapes_constant`` lets the shapes of parameters be numbers rather than values of the graph.
    """

    def __init__(
        self, autowrap_modules: tuple[ModuleType, ...] = (math,), autowrap_functions: tuple[Callable, ...] = (),
        param_shapes_constant: bool = False,
    ) -> None:  # fmt: skip
        found = [v for m in autowrap_modules for k, v in vars(m).items() if not k.startswith("_") and callable(v)]
        self._autowrap_function_ids = {id(f) for f in (*found, *autowrap_functions)}
        self._autowrap_search = list(autowrap_modules)
        self.param_shapes_constant = param_shapes_constant
        self.submodule_paths: dict[Any, str] | None = None
        self.root_module_name = ""
        self.scope = Scope("", None)
        self.module_stack = OrderedDict()
        self.num_calls: dict[str, int] = {}
        self.node_name_to_scope = {}
        self.root: Any = None
        self.tensor_attrs: dict[Any, str] = {}

    # --- values

    def get_fresh_qualname(self, prefix: str) -> str:
        """A name for a new attribute of the root."""
        number = 0
        while hasattr(self.root, f"{prefix}{number}"):
            number += 1
        return f"{prefix}{number}"

    def create_arg(self, a: Any) -> Any:
        """An argument as nodes have it; tensors and modules become nodes that fetch them from the root."""
        if isinstance(a, torch.nn.Parameter):
            name = _name_of(a, self.root.named_parameters())
            if name is None:
                raise NameError("parameter is not a member of this module")
            return self.create_node("get_attr", name, (), {})
        if isinstance(a, (torch.Tensor, Module)):
            held = self.root.named_buffers() if isinstance(a, torch.Tensor) else self.root.named_modules()
            name = _name_of(a, held)
            if name is not None:
                return self.create_node("get_attr", name, (), {})
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return self.create_node("call_function", type(a), tuple(map(self.create_arg, a)), {})
        if isinstance(a, (torch.Tensor, pytree.TreeSpec)):
            return self._constant(a, "_tensor_constant" if isinstance(a, torch.Tensor) else "_tree_spec_constant")
        if type(a) in _proxyable_classes:
            return self._held(a, f"_{type(a).__name__}_constant_")
        return super().create_arg(a)

    def _constant(self, a: Any, prefix: str) -> Node:
        name = self.tensor_attrs.get(a)
        if name is None:
            node = self._held(a, prefix)
            self.tensor_attrs[a] = str(node.target)
            return node
        return self.create_node("get_attr", name, (), {})

    def _held(self, a: Any, prefix: str) -> Node:
        name = self.get_fresh_qualname(prefix)
        setattr(self.root, name, a)
        return self.create_node("get_attr", name, (), {})

    # --- modules

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether calls of a module become one node; by default those of ``torch.nn`` but Sequential."""
        home = m.__module__.replace("flowtorch", "torch", 1)
        return home.startswith(("torch.nn", "torch.ao.nn")) and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        """The dotted name of a module in the root."""
        found = self.submodule_paths.get(mod) if self.submodule_paths else _name_of(mod, self.root.named_modules())
        if found is None:
            raise NameError("module is not installed as a submodule")
        return found

    def call_module(self, m: Module, forward: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Called for every call of a module: a node for a leaf; others run, so that their parts become nodes."""
        path = self.path_of_module(m)
        with ScopeContextManager(self.scope, Scope(path, type(m))):
            calls = self.num_calls.get(path, 0)
            key = f"{path}@{calls}" if calls else path
            self.module_stack[key] = (path, type(m))
            self.num_calls[path] = calls + 1
            if self.is_leaf_module(m, path):
                result: Any = self.create_proxy("call_module", path, args, kwargs)
            else:
                result = forward(*args, **kwargs)
            self.module_stack.popitem(last=True)
        return result

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Called for attributes of modules: parameters become nodes, each one the first time it is read."""
        if isinstance(attr_val, torch.nn.Parameter):
            held = self.root.named_parameters()
        elif self.proxy_buffer_attributes and isinstance(attr_val, torch.Tensor):
            held = self.root.named_buffers()
        else:
            return attr_val
        name = _name_of(attr_val, held)
        if name is None:
            return attr_val
        if name not in parameter_proxy_cache:
            options: dict[str, Any] = {}
            if self.param_shapes_constant and isinstance(attr_val, torch.nn.Parameter):
                options["proxy_factory_fn"] = lambda node: ParameterProxy(self, node, name, attr_val)
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {}, **options)
        return parameter_proxy_cache[name]

    # --- inputs

    def create_args_for_root(
        self, root_fn: Callable, is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable, list]:
        """The function to run and its arguments: inputs of the graph, or the values of ``concrete_args``."""
        analysed = inspect.unwrap(root_fn)
        code = analysed.__code__
        total = code.co_argcount + code.co_kwonlyargcount
        if is_module and total == 0:
            raise RuntimeError("``self`` argument cannot be part of *args expansion!")
        args: list[Any] = [self.root] if is_module else []
        names = list(code.co_varnames[len(args) : total])
        if isinstance(concrete_args, tuple):
            if concrete_args and code.co_flags & HAS_VARSTUFF and total == 1:
                return root_fn, args + [self._numbered_input(i, a) for i, a in enumerate(concrete_args)]
            if len(names) != len(concrete_args):
                raise RuntimeError(
                    f"Tracing expected {len(names)} arguments but got {len(concrete_args)} concrete arguments"
                )
            concrete_args = dict(zip(names, concrete_args, strict=True))
        parameters = inspect.signature(analysed).parameters
        args += [self._input(name, concrete_args, parameters, analysed) for name in names]
        rest = iter(code.co_varnames[total:])
        for flag, stars in ((inspect.CO_VARARGS, "*"), (inspect.CO_VARKEYWORDS, "**")):
            if code.co_flags & flag:
                args.append(self._input(stars + next(rest), concrete_args, parameters, analysed))
        if code.co_kwonlyargcount or code.co_flags & HAS_VARSTUFF:
            root_fn = _all_positional(root_fn, len(args))
        flat, in_spec = pytree.tree_flatten(tuple(args))
        if all(child.is_leaf() for child in in_spec.children()):
            return root_fn, args
        return self._nested(root_fn, list(code.co_varnames[:total]), in_spec), flat

    def _nested(self, root_fn: Callable, names: list[str], in_spec: Any) -> Callable:
        """``root_fn`` for flat arguments; the graph's code nests them."""
        codegen = self.graph._codegen = _PyTreeCodeGen(_PyTreeInfo(names, in_spec, None))

        def flat_function(*args: Any) -> Any:
            result = root_fn(*pytree.tree_unflatten(list(args), in_spec))
            leaves, out_spec = pytree.tree_flatten(result)
            codegen.pytree_info = codegen.pytree_info._replace(out_spec=out_spec)
            return leaves

        flat_function.__annotations__.clear()  # those of the traced function do not hold for flat results
        return flat_function

    def _numbered_input(self, number: int, concrete: Any) -> Proxy:
        proxy = self.create_proxy("placeholder", f"input_{number}", (), {})
        _hand_over(concrete, proxy.node)
        return proxy

    def _input(self, name: str, concrete_args: Any, parameters: Any, function: Callable) -> Any:
        empty = inspect.Parameter.empty
        default = empty if name.startswith("*") else parameters[name].default
        args = () if default is empty else (default,)
        if concrete_args is None or name not in concrete_args:
            kind = function.__annotations__.get(name)
            return self.create_proxy("placeholder", name, args, {}, type_expr=kind)
        count = 0

        def constant(value: Any) -> Any:
            nonlocal count
            count += 1
            proxy = self.create_proxy("placeholder", f"{name}_{count}", args, {})
            if isinstance(value, PHBase):
                _hand_over(value, proxy.node)
                return proxy
            self._hold_to(name, value, proxy)
            return value

        return pytree.tree_map(constant, concrete_args[name])

    def _hold_to(self, name: str, value: Any, proxy: Proxy) -> None:
        """Let the graph check that an input has the value that the trace was made for."""
        start = f"{name} has been specialized to have value"
        if value is None:
            args = (proxy, f"{start} None but got another value")
            self.create_proxy("call_function", _assert_is_none, args, {})
        elif type(value) in base_types and not isinstance(value, torch.Tensor):
            args = (proxy == value, f"{start} {value} but got another value")
            self.create_proxy("call_function", torch._assert, args, {})
        else:
            warnings.warn(
                f"Was not able to add assertion to guarantee correct input {name} to specialized function: values of "
                f"type {type(value).__name__} are not compared. The trace is right for the value given alone.",
                stacklevel=2,
            )

    # --- the trace

    def trace(self, root: Module | Callable, concrete_args: Any = None) -> Graph:
        """The graph of a module's ``forward`` or of a function.

        ``concrete_args`` names arguments that are constants: their values, nested as the arguments are.
        """
        global _tracing
        before, _tracing = _tracing, True
        try:
            is_module = isinstance(root, Module)
            function = self._begin(root)
            self.graph = Graph(tracer_cls=type(self))
            code = getattr(function, "__code__", None)
            if code is not None:
                origin = {k: getattr(code, k) for k in ("co_name", "co_filename", "co_firstlineno")}
                self.graph._co_fields = origin
            self._note_constants(self.root, "")
            run, args = self.create_args_for_root(function, is_module, concrete_args)
            with Patcher() as patcher, watching():
                self._patch(patcher, function)
                result = self.create_arg(run(*args))
                returns = inspect.get_annotations(inspect.unwrap(run)).get("return")
                self.create_node("output", "output", (result,), {}, type_expr=returns)
            self.submodule_paths = None
        finally:
            _tracing = before
        return self.graph

    def _begin(self, root: Any) -> Callable:
        """Take the root in; the function to trace."""
        if not isinstance(root, Module):
            self.root = Module()
            assert isinstance(root, FunctionType), f"Expected FunctionType, got {type(root)}"
            return root
        self.root = root
        self.root_module_name = root._get_name()
        self.submodule_paths = {module: name for name, module in root.named_modules()}
        function = getattr(type(root), self.traced_func_name, None)
        assert function is not None, f"traced_func_name={self.traced_func_name} doesn't exist in {type(root).__name__}"
        return function

    def _note_constants(self, module: Any, prefix: str) -> None:
        """Note the tensors that modules hold as plain attributes."""
        if not prefix:
            self.tensor_attrs = {}
        for name, value in vars(module).items():
            if isinstance(value, (torch.Tensor, pytree.TreeSpec)):
                self.tensor_attrs[value] = prefix + name
        for name, child in module.named_children():
            self._note_constants(child, f"{prefix}{name}.")

    def _patch(self, patcher: Patcher, function: Any) -> None:
        cache: dict[str, Any] = {}
        own_call, own_getattr = Module.__call__, Module.__getattr__

        @functools.wraps(own_getattr)
        def read(module: Any, name: str) -> Any:
            return self.getattr(name, own_getattr(module, name), cache)

        @functools.wraps(own_call)
        def call(module: Any, *args: Any, **kwargs: Any) -> Any:
            names = getattr(getattr(module, "forward", module), "__globals__", {})
            patcher.autowrap(names, self._autowrap_function_ids)
            return self.call_module(module, functools.partial(own_call, module), args, kwargs)

        patcher.patch_method(Module, "__getattr__", read)
        patcher.patch_method(Module, "__call__", call)
        see_attributes(patcher)
        patcher.patch_wrapped()
        for names in (getattr(function, "__globals__", {}), *map(vars, self._autowrap_search)):
            patcher.autowrap(names, self._autowrap_function_ids)

    def __deepcopy__(self, memo: dict) -> Tracer:
        copied = object.__new__(Tracer)
        for key, value in self.__dict__.items():
            copied.__dict__[key] = copy.copy(value) if key == "_autowrap_search" else copy.deepcopy(value, memo)
        return copied


def _name_of(value: Any, named: Iterator[tuple[str, Any]]) -> str | None:
    return next((name for name, held in named if held is value), None)


def see_attributes(patcher: Patcher) -> None:
    """Let ``Module.__getattr__`` see the parameters that modules hand out without it."""
    for kind in _shortcut_kinds():
        patcher.patch_method(kind, "__get__", _without_shortcut(kind.__get__))


def _shortcut_kinds() -> list[Any]:
    return [kind for kind in Shortcut.__subclasses__() if kind.__name__ != "ModuleShortcut"] or [ParameterShortcut]


def _without_shortcut(get: Callable) -> Callable:
    """A shortcut that finds nothing in a module, so that ``__getattr__`` sees the attribute."""

    def look(shortcut: Any, module: Any, cls: type) -> Any:
        if module is None:
            return get(shortcut, module, cls)
        raise shortcut.missing(cls)

    return look


def _hand_over(given: Any, node: Node) -> None:
    """Give a node the attributes of the placeholder that stands for it in ``concrete_args``."""
    if not isinstance(given, PHBase) or given is PH:
        return
    for name in dir(given):
        value = getattr(given, name)
        if not callable(value) and not name.startswith("__") and not hasattr(node, name):
            setattr(node, name, value)


def _all_positional(function: Any, count: int) -> FunctionType:
    """``function`` with all its parameters, ``*args`` and ``**kwargs`` too, as positional ones."""
    code: CodeType = function.__code__
    flags = code.co_flags & ~HAS_VARSTUFF
    code = code.replace(co_argcount=count, co_posonlyargcount=0, co_kwonlyargcount=0, co_flags=flags)
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)


def symbolic_trace(root: Module | Callable, concrete_args: Any = None) -> GraphModule:
    """A GraphModule that computes what ``root``, a module or function, does when it is run on proxies.

    ``concrete_args`` gives arguments that are constants: a dict by name, or a tuple of all.
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else root.__name__
    return GraphModule(tracer.root, graph, name)


def wrap(fn_or_name: str | Callable) -> str | Callable:
    """Mark a global function, by itself or by name, as one whose calls become nodes. Returns its argument.

    Called at the top level of the module that calls the function; also a decorator.
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    caller = frame.f_back
    if caller.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    _wrapped_fns_to_patch[id(caller.f_globals), name] = caller.f_globals
    return fn_or_name


@wrap
def _assert_is_none(value: Any, msg: str) -> None:
    if value is not None:
        raise AssertionError(msg)

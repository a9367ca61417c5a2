"""GraphModule: a module whose ``forward`` is generated from a graph."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from flowtorch.nn.module import Module, _addindent

from ._attributes import _assign_attr as _assign_attr
from ._attributes import _copy_attr as _copy_attr
from ._attributes import _del_attr as _del_attr
from ._attributes import _get_attr as _get_attr
from ._attributes import _has_attr as _has_attr
from ._codegen import PythonCode, _BoxedCodeGen, _PyTreeCodeGen
from ._generated import explain, run_source
from ._names import CUSTOM_BUILTINS
from .graph import Graph

__all__ = ["GraphModule", "reduce_graph_module", "reduce_package_graph_module"]

_HOOKS = ("_replace_hooks", "_create_node_hooks", "_erase_node_hooks", "_deepcopy_hooks")
_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"


class _CodeOnlyModule(Module):
    """What is left of a GraphModule without its graph: state and code, to be traced anew."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__()
        self.__dict__ = body


class _WrappedCall:
    """The call of a GraphModule's class; errors in generated code are shown with the line they come from."""

    def __init__(self, cls: type, cls_call: Callable | None) -> None:
        self.cls, self.cls_call = cls, cls_call

    def __call__(self, obj: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            if self.cls_call is not None:
                return self.cls_call(obj, *args, **kwargs)
            return super(self.cls, obj).__call__(*args, **kwargs)  # type: ignore[misc, arg-type]
        except Exception as error:
            if explain(error):
                raise error.with_traceback(None)  # noqa: B904
            raise


class GraphModule(Module):
    """A module whose ``forward`` is generated from a graph: ``graph`` holds it, ``code`` shows it.

    ``root`` is a module, or a dict from dotted names, with what the graph refers to: that is copied into this module.
    After changes of the graph, ``recompile`` makes the code anew.
    """

    _graph: Graph
    _code: str

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # Each instance has a class of its own, because ``forward`` must be found on the class.
        base = next(c for c in cls.__mro__ if c.__qualname__.rpartition(".")[2] != "GraphModuleImpl")
        own = type("GraphModuleImpl", (base,), {"__module__": base.__module__})
        return super().__new__(own)

    def __init__(self, root: Any, graph: Graph, class_name: str = "GraphModule") -> None:
        super().__init__()
        type(self).__name__ = class_name
        targets = [str(node.target) for node in graph.nodes if node.op in ("get_attr", "call_module")]
        if isinstance(root, Module):
            self.training = getattr(root, "training", self.training)
            if isinstance(root, _CodeOnlyModule):
                held = (root.named_children(), root.named_buffers(), root.named_parameters())
                targets = [name for part in held for name, _ in part] + targets
            for target in targets:
                _copy_attr(root, self, target)
        elif isinstance(root, dict):
            self._take(root, graph, targets)
        else:
            raise RuntimeError(f"Unsupported type {root} passed for root!")
        self.graph = graph
        tracer = graph._tracer_cls
        self._tracer_cls = tracer if tracer is not None and "<locals>" not in tracer.__qualname__ else None
        self._tracer_extras = graph._tracer_extras or {}
        self.meta: dict[str, Any] = {}
        for name in _HOOKS:
            setattr(self, name, [])
        self.shape_env: Any = None

    def _take(self, root: dict[str, Any], graph: Graph, targets: list[str]) -> None:
        for node in graph.nodes:
            if node.op in ("get_attr", "call_module") and node.target not in root:
                raise RuntimeError(
                    f"Node {node} referenced target {node.target} but that target was not provided in ``root``!"
                )
        for target in sorted(targets, key=lambda t: t.count(".")):  # modules before what is in them
            _assign_attr(root[target], self, target)

    # --- the graph and its code

    @property
    def graph(self) -> Graph:
        """The graph; assigning another one makes its code this module's ``forward``."""
        return self._graph

    @graph.setter
    def graph(self, g: Graph) -> None:
        assert isinstance(g, Graph), f"Expected a Graph instance, but got {type(g)}"
        self._graph = g
        g.owning_module = self
        self.recompile()

    @property
    def code(self) -> str:
        """The source of ``forward``."""
        return self._code

    @property
    def _boxed_call(self) -> bool:
        return isinstance(self._graph._codegen, _BoxedCodeGen)

    def recompile(self) -> PythonCode:
        """Make ``forward`` of the graph as it is now; to be called after changing it."""
        codegen = self._graph._codegen
        if isinstance(codegen, _PyTreeCodeGen):
            self._in_spec, self._out_spec = codegen.pytree_info.in_spec, codegen.pytree_info.out_spec
        python_code = self._graph.python_code(root_module="self")
        self._code = python_code.src
        self._lineno_map, self._prologue_start = python_code._lineno_map, python_code._prologue_start
        cls: Any = type(self)
        space = run_source(self._code, python_code.globals, self._graph._co_fields)
        cls.forward = space.pop(codegen._func_name)
        if "_wrapped_call" not in vars(cls):
            cls._wrapped_call = _WrappedCall(cls, vars(cls).get("__call__"))
        for child in self.children():
            if isinstance(child, GraphModule):
                child.recompile()
        cls.__call__ = _call_wrapped
        return python_code

    # --- submodules

    def add_submodule(self, target: str, m: Module) -> bool:
        """Add a submodule under a dotted name; False if something on the way is no module."""
        *path, name = target.split(".")
        module: Any = self
        for part in path:
            if getattr(module, part, None) is None:
                setattr(module, part, Module())
            module = getattr(module, part)
            if not isinstance(module, Module):
                return False
        module.add_module(name, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Delete the submodule with a dotted name; False if there is none."""
        *path, name = target.split(".")
        module: Any = self
        for part in path:
            module = getattr(module, part, None)
            if not isinstance(module, Module):
                return False
        if not isinstance(getattr(module, name, None), Module):
            return False
        delattr(module, name)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Delete the submodules that the graph neither calls nor reads."""
        used = {""}
        for node in self.graph.nodes:
            if node.op not in ("call_module", "get_attr"):
                continue
            target = str(node.target)
            used.update(itertools.accumulate(target.split("."), "{}.{}".format))
            if node.op == "call_module":
                with contextlib.suppress(AttributeError):
                    inside = self.get_submodule(target).named_modules()
                    used.update(f"{target}.{name}" for name, _ in inside if name)
        for name in [name for name, _ in self.named_modules() if name not in used]:
            self.delete_submodule(name)

    # --- saving and copying

    def to_folder(self, folder: Any, module_name: str = "FxModule") -> None:
        """Write the module as a Python package: its code as the class ``module_name``, and its state."""
        from ._to_folder import write

        write(self, folder, module_name)

    def __reduce__(self) -> tuple:
        body = {k: v for k, v in self.__dict__.items() if k != "_graph"}
        return reduce_graph_module, (body, _imports(self.recompile().globals))

    def __reduce_package__(self, exporter: Any) -> tuple:
        body = {k: v for k, v in self.__dict__.items() if k != "_graph"}
        body["_graphmodule_cls_name"] = type(self).__name__
        name = f"fx-generated._{exporter.get_unique_id()}"
        exporter.save_source_string(name, _imports(self.recompile().globals) + self.code)
        return reduce_package_graph_module, (body, name)

    def __deepcopy__(self, memo: dict) -> GraphModule:
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        body = _CodeOnlyModule(copy.deepcopy(self.__dict__, memo))
        GraphModule.__init__(copied, body, body.__dict__["_graph"], type(self).__name__)
        for name in ("_state_dict_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks", *_HOOKS):
            if name in self.__dict__:
                setattr(copied, name, copy.deepcopy(self.__dict__[name], memo))
        copied.meta = copy.deepcopy(getattr(self, "meta", {}), memo)
        for name, value in copied.meta.get(_USER_PRESERVED_ATTRIBUTES_KEY, {}).items():
            setattr(copied, name, value)
        for hook in self._deepcopy_hooks:
            hook(copied)
        return copied

    def __copy__(self) -> GraphModule:
        copied = GraphModule(self, self.graph)
        copied.meta = getattr(self, "meta", {})
        return copied

    def _replicate_for_data_parallel(self) -> Module:
        copied = self.__copy__()
        copied.__dict__["_is_replica"] = True
        return copied

    # --- text

    def print_readable(
        self, print_output: bool = True, include_stride: bool = False, include_device: bool = False,
        colored: bool = False, *, fast_sympy_print: bool = False, expanded_def: bool = False,
        additional_meta: list[str] | None = None,
    ) -> str:  # fmt: skip
        """The code of this module and of the GraphModules in it, with what is known of each value. Prints it too."""
        options = {"include_stride": include_stride, "include_device": include_device, "colored": colored}
        text = _readable(self, self._get_name(), {**options, "additional_meta": additional_meta}, expanded_def)
        if print_output:
            print(text)
        return text

    def __str__(self) -> str:
        reminder = "# To see more debug info, please use `graph_module.print_readable()`"
        return "\n".join([super().__str__(), self._code, reminder])

    # --- hooks

    @contextlib.contextmanager
    def _set_replace_hook(self, f: Callable) -> Iterator[None]:
        self._register_replace_node_hook(f)
        try:
            yield
        finally:
            self._unregister_replace_node_hook(f)


def _hook_methods(kind: str) -> tuple[Callable, Callable]:
    """The methods that add and remove a hook of one kind."""
    name = f"_{kind.removesuffix('_node')}_hooks" if kind == "replace_node" else f"_{kind}_hooks"

    def register(self: GraphModule, f: Callable) -> None:
        assert callable(f), f"{kind} hook must be a callable."
        getattr(self, name).append(f)

    def unregister(self: GraphModule, f: Callable) -> None:
        getattr(self, name).remove(f)

    return register, unregister


for _kind in ("replace_node", "create_node", "erase_node", "deepcopy"):
    _register, _unregister = _hook_methods(_kind)
    setattr(GraphModule, f"_register_{_kind}_hook", _register)
    setattr(GraphModule, f"_unregister_{_kind}_hook", _unregister)


def _call_wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
    return self._wrapped_call(self, *args, **kwargs)


def _readable(module: GraphModule, name: str, options: dict[str, Any], expanded: bool = False) -> str:
    source = module.graph.python_code("self", verbose=True, expanded_def=expanded, **options).src.lstrip("\n")
    own = _addindent(f"class {name}(torch.nn.Module):\n{source}", 4)
    inside = [_readable(m, n, options) for n, m in module.named_children() if isinstance(m, GraphModule)]
    return own + _addindent("\n".join(["", *inside]), 4)


# ---------------------------------------------------------------- pickles


def _imports(names: dict[str, Any]) -> str:
    """The statements that make the globals of generated code known to a file."""
    lines = set()
    for name, value in names.items():
        if name in CUSTOM_BUILTINS:
            lines.add(CUSTOM_BUILTINS[name].import_str)
        else:
            module = getattr(value, "__module__", None) or "builtins"
            lines.add(f"from {module} import {getattr(value, '__qualname__', name)} as {name}")
    return "\n".join(sorted(lines))


def reduce_graph_module(body: dict[Any, Any], import_block: str) -> Module:
    """The GraphModule with this state and code: what its pickle calls."""
    space = run_source(import_block + (body.get("_code") or body["code"]), {})
    return _deserialize_graph_module(space["forward"], body)


def reduce_package_graph_module(importer: Any, body: dict[Any, Any], generated_module_name: str) -> Module:
    """The GraphModule with this state, whose code is in a package."""
    return _deserialize_graph_module(importer.import_module(generated_module_name).forward, body)


def _deserialize_graph_module(forward: Callable, body: dict[Any, Any], graph_module_cls: type | None = None) -> Any:
    from ._symbolic_trace import Tracer

    tracer_cls = body.get("_tracer_cls") or Tracer

    class KeepModules(tracer_cls):  # type: ignore[misc, valid-type]
        """What was one node is one node again."""

        def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
            """All modules are leaves."""
            return True

    class Code(_CodeOnlyModule):
        """The state, with the code as its ``forward``."""

    Code.forward = forward  # type: ignore[method-assign]
    root = Code(body)
    graph = KeepModules().trace(root, **body.get("_tracer_extras", {}))
    graph._tracer_cls = tracer_cls
    name = body.get("_graphmodule_cls_name", "GraphModule")
    module = (graph_module_cls or GraphModule)(root, graph, class_name=name)
    for key, value in body.items():
        if not hasattr(module, key):
            setattr(module, key, value)
    return module

"""From a graph to the source of a Python function that computes the same."""

from __future__ import annotations

import enum
import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import flowtorch as torch
from flowtorch.utils import _pytree as pytree

from ._names import CUSTOM_BUILTINS, Namespace, torch_name
from ._names import qualified_name as _get_qualified_name
from ._names import type_name as _type_repr
from .node import Node

__all__ = ["CodeGen", "PythonCode"]

_SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "floordiv": "//", "truediv": "/", "div": "/", "mod": "%", "pow": "**",
    "lshift": "<<", "rshift": ">>", "and_": "&", "or_": "|", "xor": "^",
}  # fmt: skip
_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
_IN_PLACE = {
    "iadd": "+", "iand": "&", "ifloordiv": "//", "ilshift": "<<", "imod": "%", "imul": "*", "imatmul": "@", "ior": "|",
    "ipow": "**", "irshift": ">>", "isub": "-", "itruediv": "/", "ixor": "^",
}  # fmt: skip
# Functions of the module operator -> how they are written.
reflectable_magic_methods = {name: f"{{}} {sign} {{}}" for name, sign in _SYMBOLS.items()}
reflectable_magic_methods |= {"getitem": "{}[{}]", "matmul": "{} @ {}"}
magic_methods = {name: f"{{}} {sign} {{}}" for name, sign in _COMPARISONS.items()}
magic_methods |= {"pos": "+{}", "neg": "-{}", "invert": "~{}", **reflectable_magic_methods}
inplace_methods = {name: f"{{}} {sign}= {{}}" for name, sign in _IN_PLACE.items()} | {"setitem": "{}[{}] = {}"}

_COLORS = {"red": "\033[31m", "blue": "\033[34m", "dim": "\033[2m", "dim_green": "\033[2m\033[32m"}
_COUNTER = re.compile(r"# COUNTER: (\d+)")
_GENERIC = {list: typing.List, dict: typing.Dict, set: typing.Set, frozenset: typing.FrozenSet, tuple: typing.Tuple}  # noqa: UP006

_ABBREVIATIONS = {
    "bfloat16": "bf16", "float64": "f64", "float32": "f32", "float16": "f16", "float8_e4m3fn": "f8e4m3fn",
    "float8_e5m2": "f8e5m2", "float8_e4m3fnuz": "f8e4m3fnuz", "float8_e5m2fnuz": "f8e5m2fnuz", "complex32": "c32",
    "complex64": "c64", "complex128": "c128", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "bool": "b8", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
}  # fmt: skip


def abbreviated(dtype: Any) -> str:
    """``f32`` for float32, and so on."""
    name = str(dtype).rpartition(".")[2]
    return _ABBREVIATIONS.get(name, name)


@dataclass
class PythonCode:
    """The source of a function and the values that it names."""

    src: str
    globals: dict[str, Any]
    _lineno_map: dict[int, int | None] | None
    _prologue_start: int = 0


class _PyTreeInfo(NamedTuple):
    """How arguments and results are nested."""

    orig_args: list[str]
    in_spec: Any
    out_spec: Any


def _format_target(base: str, target: str) -> str:
    """``base.a.b`` for the target ``a.b``, with getattr where a part is no identifier."""
    for part in target.split("."):
        base = f"{base}.{part}" if part.isidentifier() else f'getattr({base}, "{part}")'
    return base


class _Globals:
    """The values that generated code names, under unique names."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.values: dict[str, Any] = {}
        for name, builtin in CUSTOM_BUILTINS.items():
            self.add(name, builtin.obj)

    def add(self, name_hint: str, obj: Any) -> str:
        """The name of ``obj``; what belongs to the library is reached through ``torch``."""
        if obj is not torch.device and obj is not torch and (name := torch_name(obj)) is not None:
            if isinstance(obj, type) or name.startswith("torch."):
                return name
        name = self.namespace.create_name(name_hint, obj)
        assert self.values.setdefault(name, obj) is obj or self.values[name] == obj, f"{name} has two meanings"
        return name

    def type(self, kind: Any) -> str:
        """A type annotation, its parts known by name."""
        if kind == ():
            return "()"
        text = _type_repr(kind)
        if isinstance(kind, types.UnionType) and "|" in text:
            return "|".join(self.type(part) for part in typing.get_args(kind))
        origin = getattr(kind, "__origin__", None)
        if origin is None:
            return self.add(text, kind)
        if isinstance(kind, typing._GenericAlias):  # type: ignore[attr-defined]
            origin = _GENERIC.get(origin, origin)
        name = self.add(_type_repr(origin), origin)
        parts = ",".join(self.type(part) for part in typing.get_args(kind))
        return f"{name}[{parts}]" if parts else name


class _Writer:
    """Writes the statements of one function."""

    def __init__(self, codegen: CodeGen, nodes: Any, root_module: str, namespace: Namespace, options: dict) -> None:
        self.codegen, self.nodes, self.root, self.options = codegen, nodes, root_module, options
        self.names = _Globals(namespace)
        self.body: list[str] = []
        self.parameters: list[str] = []
        self.wrapped: dict[str, None] = {}
        self.returns = ""
        self.summary: str | None = None
        self.freed = _last_uses(nodes)

    def color(self, kind: str, text: Any) -> str:
        return f"{_COLORS[kind]}{text}\033[0m" if self.options.get("colored") else str(text)

    # --- values

    def value(self, arg: Any) -> str:
        """An argument as an expression."""
        if isinstance(arg, Node):
            return repr(arg)
        if isinstance(arg, tuple) and hasattr(arg, "_fields"):
            return self.names.add(_get_qualified_name(type(arg)), type(arg)) + repr(tuple(arg))
        if isinstance(arg, tuple):
            inner = ", ".join(map(self.value, arg))
            return f"({inner},)" if len(arg) == 1 else f"({inner})"
        if isinstance(arg, list):
            return f"[{', '.join(map(self.value, arg))}]"
        if isinstance(arg, slice):
            return f"slice({self.value(arg.start)}, {self.value(arg.stop)}, {self.value(arg.step)})"
        if isinstance(arg, enum.Enum):
            return f"{self.names.add(type(arg).__name__, type(arg))}.{arg.name}"
        if isinstance(arg, torch.Tensor):
            return f"torch.Tensor(size={list(arg.size())}, dtype={str(arg.dtype).rpartition('.')[2]})"
        if _is_overload(arg):
            return self.names.add(_get_qualified_name(arg), arg)
        return self.color("blue", repr(arg))

    def arguments(self, args: tuple, kwargs: dict) -> str:
        return ", ".join([*map(self.value, args), *(f"{k} = {self.value(v)}" for k, v in kwargs.items())])

    # --- statements

    def write(self) -> None:
        for i, node in enumerate(self.nodes):
            if self.options.get("verbose"):
                self.note_origin(node)
            self.body.append(f"# COUNTER: {i}\n")
            self.statement(node)
            self.free(node)
        if not self.body:
            self.body.append("pass\n")

    def statement(self, node: Node) -> None:
        """The statement of one node, without the end of its line."""
        target: Any = node.target
        annotation = self.annotation(node)
        left = f"{node!r}{annotation}"
        if node.op == "placeholder":
            self.parameter(node, annotation)
        elif node.op == "call_function":
            self.function(node, left)
        elif node.op == "call_method":
            method = _format_target(self.value(node.args[0]), target)
            self.body.append(f"{left} = {method}({self.arguments(node.args[1:], node.kwargs)})")
        elif node.op == "call_module":
            called = _format_target(self.root, target)
            self.body.append(f"{left} = {called}({self.arguments(node.args, node.kwargs)})")
        elif node.op == "get_attr":
            self.body.append(f"{left} = {_format_target(self.root, target)}")
        elif node.op == "output":
            if node.type is not None:
                self.returns = f" -> {self.names.type(node.type)}"
            descs = node.meta.get("desc") if self.options.get("expanded_def") else None
            write = self.codegen.generate_output
            self.body.append(_understood(write, node.args[0], descs=descs, repr_fn=self.value))
        else:
            raise NotImplementedError(f"node: {node.op} {node.target}")

    def parameter(self, node: Node, annotation: str) -> None:
        target = str(node.target)
        default = f" = {self.value(node.args[0])}" if node.args else ""
        desc = node.meta.get("desc") if self.options.get("expanded_def") else None
        self.parameters.append(f"{target}{annotation}{default}" + ("" if desc is None else f"  # {desc}"))
        plain = target.replace("*", "")
        if plain != repr(node):
            self.body.append(f"{node!r} = {plain}\n")

    def function(self, node: Node, left: str) -> None:
        target: Any = node.target
        if getattr(target, "__module__", "") == "_operator":
            operands = [self.value(a) for a in node.args]
            if target.__name__ in magic_methods:
                self.body.append(f"{left} = {magic_methods[target.__name__].format(*operands)}")
                return
            if target.__name__ in inplace_methods:
                change = inplace_methods[target.__name__].format(*operands)
                self.body.append(f"{change};  {left} = {operands[0]}")
                return
        name = self.names.add(_get_qualified_name(target), target)
        if name == "getattr" and len(node.args) == 2 and isinstance(node.args[1], str) and node.args[1].isidentifier():
            self.body.append(f"{left} = {_format_target(self.value(node.args[0]), node.args[1])}")
            return
        self.body.append(f"{left} = {name}({self.arguments(node.args, node.kwargs)})")
        if node.meta.get("is_wrapped", False):
            self.wrapped.setdefault(name)

    def free(self, node: Node) -> None:
        """End the line; values that nobody needs any more are let go at once."""
        if node.op == "placeholder":
            return
        unused = [] if node.op == "output" else list(self.freed.get(node, ()))
        if not node.users and node.op != "output":
            unused.append(node)
        names = " = ".join([*map(repr, unused), "None"])
        self.body.append(f";  {self.color('dim', names)}\n" if unused else "\n")

    # --- remarks

    def note_origin(self, node: Node) -> None:
        if node.op in ("placeholder", "output"):
            return
        keys = self.options.get("additional_meta") or ()
        said = ", ".join(f"{key}: {node.meta[key]}" for key in keys if key in node.meta)
        custom = {k: v if len(str(v)) <= 40 else str(v)[:40] + "..." for k, v in node.meta.get("custom", {}).items()}
        place = _summary(node.stack_trace) or "No stacktrace found for following nodes"
        remark = f"# {said} #" if said else "#"
        remark += f" Annotation: {custom} {place}" if custom else f" {place}"
        line = f"\n{self.color('dim', remark)}\n"
        if line != self.summary:
            self.summary = line
            self.body.append(line)

    def annotation(self, node: Node) -> str:
        """The node's type, or in verbose code what is known of its value."""
        plain = "" if node.type is None else f" : {self.names.type(node.type)}"
        if not self.options.get("verbose"):
            return plain
        value = next((node.meta[k] for k in ("val", "tensor_meta", "example_value") if k in node.meta), None)
        if value is None:
            return plain
        from .passes.shape_prop import TensorMetadata

        if isinstance(value, torch.Tensor):
            text = self.tensor(value)
            return f': "{text}"' if type(value) is torch.Tensor else f': "{type(value).__name__}({text})"'
        if isinstance(value, TensorMetadata):
            return f': "{abbreviated(value.dtype)}[{", ".join(map(str, value.shape))}]"'
        return plain

    def tensor(self, value: Any) -> str:
        text = self.color("red", abbreviated(value.dtype)) + self.color("blue", list(value.shape))
        if self.options.get("include_stride") or os.environ.get("FX_GRAPH_SHOW_STRIDE") == "1":
            text += self.color("dim_green", list(value.stride()))
        if self.options.get("include_device") or os.environ.get("FX_GRAPH_SHOW_DEVICE") == "1":
            text += self.color("dim_green", value.device)
        return text


class CodeGen:
    """Writes the functions of graphs. Subclasses change how they begin, return, and what arguments become."""

    def __init__(self) -> None:
        self._body_transformer: Callable[[list[str]], list[str]] | None = None
        self._func_name = "forward"

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str, *, expanded_def: bool = False) -> str:
        """The head of the function: ``def forward(self, x):``."""
        if free_vars[:1] != ["self"]:
            free_vars.insert(0, "self")
        if not expanded_def:
            return f"def {self._func_name}({', '.join(free_vars)}){maybe_return_annotation}:"
        lines = "".join(f"    {_before_remark(v)}\n" for v in free_vars)
        return f"def {self._func_name}(\n{lines}){maybe_return_annotation}:"

    def generate_output(self, output_args: Any, *, descs: Any = None, repr_fn: Callable[[Any], str] = repr) -> str:
        """The return statement."""
        if descs is not None and isinstance(output_args, (list, tuple)):
            return "return " + _spread(output_args, descs, repr_fn)
        return f"return {repr_fn(output_args)}"

    def process_inputs(self, *args: Any) -> Any:
        """The function's arguments as the graph's inputs."""
        return args

    def process_outputs(self, outputs: Any) -> Any:
        """The graph's outputs as the function returns them."""
        return outputs

    def additional_globals(self) -> list[tuple[str, Any]]:
        """(name, value) of what the code written by a subclass names besides."""
        return []

    def _gen_python_code(
        self, nodes: Any, root_module: str, namespace: Namespace, *, record_func: bool = False, **options: Any
    ) -> PythonCode:
        writer = _Writer(self, nodes, root_module, namespace, options)
        writer.write()
        names, body = writer.names, writer.body
        marks = ""
        if writer.wrapped:
            from flowtorch.fx import wrap

            mark = names.add("wrap", wrap)
            marks = "\n".join(f'{mark}("{name}")' for name in writer.wrapped)
        if self._body_transformer:
            body = self._body_transformer(body)
        for name, value in self.additional_globals():
            names.add(name, value)
        expanded = options.get("expanded_def", False)
        head = _understood(self.gen_fn_def, writer.parameters, writer.returns, expanded_def=expanded)
        lines, numbers = _without_counters("".join(body), head.count("\n") + 1)
        code = "\n".join("    " + line for line in "\n".join(lines).lstrip("\n").split("\n"))
        return PythonCode(f"\n{marks}\n\n{head}\n{code}", names.values, numbers, marks.count("\n") + 4)


class _BoxedCodeGen(CodeGen):
    """Functions that get their arguments in one list, which they empty, so that inputs can be freed early."""

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str, *, expanded_def: bool = False) -> str:
        """The head of the function, and the statements that take the list apart."""
        names = [re.split("[:=]", v)[0].strip() for v in free_vars if v != "self"]
        lines = [f"def {self._func_name}(self, args_list){maybe_return_annotation}:"]
        if names:
            lines += ["args_iter = iter(args_list)", *(f"{n} = next(args_iter)" for n in names), "args_list.clear()"]
        return "\n    ".join(lines)


class _PyTreeCodeGen(CodeGen):
    """Functions whose arguments and results are nested, while the graph's are flat."""

    def __init__(self, pytree_info: _PyTreeInfo) -> None:
        super().__init__()
        self.pytree_info = pytree_info

    def process_inputs(self, *inputs: Any) -> Any:
        """The leaves of the arguments."""
        return pytree.arg_tree_leaves(*inputs)

    def process_outputs(self, out: Any) -> Any:
        """The results, nested as the function's were."""
        if self.pytree_info is None or self.pytree_info.out_spec is None:
            return out
        return pytree.tree_unflatten(out if isinstance(out, (list, tuple)) else [out], self.pytree_info.out_spec)

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str, *, expanded_def: bool = False) -> str:
        """The head of the function, and the statement that takes the arguments apart."""
        if self.pytree_info is None:
            return super().gen_fn_def(free_vars, maybe_return_annotation, expanded_def=expanded_def)
        parameters = list(self.pytree_info.orig_args)
        if parameters[:1] == ["self"]:
            free_vars.insert(0, "self")
        head = super().gen_fn_def(parameters[:], maybe_return_annotation, expanded_def=expanded_def)
        return head + (self._bindings(parameters, free_vars, expanded_def) if free_vars else "")

    def _bindings(self, parameters: list[str], free_vars: list[str], expanded: bool) -> str:
        spec = self.pytree_info.in_spec
        flattened = f"[{', '.join(parameters)}]"
        if _is_call(spec):
            count = spec.child(0).num_children
            names = self.pytree_info.orig_args
            keywords = ", ".join(f"'{k}':{v}" for k, v in zip(spec.child(1).context, names[count:], strict=False))
            flattened = f"([{', '.join(names[:count])}], {{{keywords}}})"
        annotated = [v for v in free_vars if ":" in v]
        text = ""
        if annotated:
            text = "\n    " + ("\n    ".join(annotated) if expanded else "".join(f"{v}; " for v in annotated) + "\n")
        bound = ", ".join(re.split("[:#]", v)[0] for v in free_vars)
        return f"{text}\n    {bound}, = fx_pytree.tree_flatten_spec({flattened}, self._in_spec)"

    def generate_output(self, output_args: Any, *, descs: Any = None, repr_fn: Callable[[Any], str] = repr) -> str:
        """The return statement, which nests the results."""
        if not (self.pytree_info and self.pytree_info.out_spec):
            return super().generate_output(output_args, descs=descs, repr_fn=repr_fn)
        spread = descs is not None and isinstance(output_args, (list, tuple))
        flat = _spread(output_args, descs, repr_fn) if spread else repr_fn(output_args)
        return f"return pytree.tree_unflatten({flat}, self._out_spec)"


def _is_call(spec: Any) -> bool:
    """Whether a structure is that of (args, kwargs)."""
    if spec.type is not tuple or spec.num_children != 2:
        return False
    return spec.child(0).type is tuple and spec.child(1).type is dict


def _before_remark(parameter: str) -> str:
    """``x,  # why`` for the parameter ``x  # why``."""
    name, mark, remark = parameter.partition("#")
    return f"{name.rstrip()},  # {remark.lstrip()}" if mark else f"{parameter},"


def _spread(values: Any, descs: Any, repr_fn: Callable[[Any], str]) -> str:
    """A list or tuple with one item to a line, each with its description."""
    left, right = "()" if isinstance(values, tuple) else "[]"
    lines = "".join(f"    {repr_fn(v)},  # {d}\n" for v, d in zip(values, descs, strict=False))
    return f"{left}\n{lines}{right}"


def _understood(method: Callable, *args: Any, **options: Any) -> Any:
    """Call a method with those options that it has: subclasses written for older versions lack some."""
    known = inspect.signature(method).parameters
    return method(*args, **{k: v for k, v in options.items() if k in known})


def _is_overload(value: Any) -> bool:
    from flowtorch.ops_namespace import OpOverload

    return isinstance(value, OpOverload)


def _last_uses(nodes: Any) -> dict[Node, list[Node]]:
    """Node -> the nodes whose values are used by it for the last time."""
    seen: set[Node] = set()
    last: dict[Node, list[Node]] = {}
    for user in reversed(nodes):
        for node in user.all_input_nodes:
            if node not in seen:
                seen.add(node)
                last.setdefault(user, []).append(node)
    return last


def _without_counters(text: str, first: int) -> tuple[list[str], dict[int, int | None]]:
    """The lines of code, and which node each belongs to."""
    lines: list[str] = []
    numbers: dict[int, int | None] = {}
    current = None
    for line in text.split("\n"):
        mark = _COUNTER.search(line)
        if mark is None:
            numbers[len(lines) + first] = current
            lines.append(line)
        else:
            current = int(mark.group(1))
    return lines, numbers


def _frames(stack_trace: str) -> Iterator[tuple[str, str, str, str]]:
    """(file, line, function, code) of a stack trace, the innermost first."""
    lines = stack_trace.strip().split("\n")
    for head, code in reversed(list(pairwise(lines))):
        found = re.match(r'File "(.+)", line (\d+), in (.+)$', head.strip())
        if found:
            yield (*found.groups(), code.strip())  # type: ignore[misc]


def _summary(stack_trace: str | None) -> str:
    frame = next(_frames(stack_trace), None) if stack_trace else None
    return "" if frame is None else "File: {}:{} in {}, code: {}".format(*frame)

"""Provenance: every node remembers the source line that made it, and errors in backward name that line.

While it is on, the counter that numbers the nodes is replaced by one whose numbers carry (code object, position of the
instruction) of the first caller outside flowtorch. Frames are not kept, so nothing lives longer for it. While it is
off nothing is different at all: no call path asks whether it is on.
"""

from __future__ import annotations

import ast
import linecache
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from flowtorch.autograd import node as _node
from flowtorch.autograd.node import Node, Output
from flowtorch.tensor import Tensor

_plain = _node.next_seq
_getframe = sys._getframe
_new = int.__new__
_package = str(Path(__file__).resolve().parent.parent) + "/"
_engine = _package + "autograd/engine.py"
_compiled = ("<op ", "<view op ", "<record of ", "<derivative of ")  # files of code that flowtorch compiled
_modules = {"F", "flowtorch", "ft", "linalg", "nn", "special", "torch"}  # what code calls modules of functions
_inside: dict[str, bool] = {}  # file name -> whether flowtorch's own
_lock = threading.Lock()
_holders = 0  # who wants provenance: the user's switch, and threads in anomaly mode
# Call paths that hold a copy of the counter: told the one to use at every switch.
switched: list[Callable[[Callable], None]] = []


class Numbered(int):
    """A node's number that knows where the node was made."""

    made: tuple[CodeType, int]


class Place(NamedTuple):
    """A position in the user's source: what ran there, and the text of it."""

    filename: str
    line: int
    function: str
    text: str
    columns: tuple[int, int] | None  # of the expression within the line
    expression: str | None

    def describe(self) -> str:
        """The place in the form of a traceback's entry, the expression underlined."""
        shown = f'  File "{self.filename}", line {self.line}, in {self.function}'
        stripped = self.text.strip()
        if not stripped:
            return shown
        shown += f"\n    {stripped}"
        if self.columns is not None and self.columns[1] - self.columns[0] < len(stripped):
            start = self.columns[0] - (len(self.text) - len(self.text.lstrip()))
            shown += "\n    " + " " * start + "^" * (self.columns[1] - self.columns[0])
        return shown


# ---------------------------------------------------------------- switching


class set_provenance:
    """Switch provenance on or off: at once, or for a block as a context.

    While it is on, every node of the graph remembers the source line that made it, and errors in backward name it.
    """

    def __init__(self, mode: bool = True) -> None:
        self._previous = _user.wanted
        _set(bool(mode))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        _set(self._previous)


class _User:
    wanted = False


_user = _User()


def is_provenance_enabled() -> bool:
    """Whether nodes remember the source line that made them."""
    return _holders > 0


def _set(mode: bool) -> None:
    if mode != _user.wanted:
        _user.wanted = mode
        hold() if mode else drop()


def hold() -> None:
    """Turn provenance on for one more user."""
    global _holders
    with _lock:
        _holders += 1
        if _holders == 1:
            _install(_numbered)


def drop() -> None:
    """The reverse of ``hold``."""
    global _holders
    with _lock:
        _holders -= 1
        if _holders == 0:
            _install(_plain)


def _install(counter: Callable) -> None:
    """Put ``counter`` wherever a call path holds the function that numbers nodes."""
    from flowtorch.native import calls
    from flowtorch.ops import fast_views
    from flowtorch.ops.op import REGISTRY

    calls.number_nodes_by(None if counter is _plain else counter)
    for name, module in list(sys.modules.items()):
        if name.startswith("flowtorch.") and module is not None and "next_seq" in module.__dict__:
            module.__dict__["next_seq"] = counter
    for op in REGISTRY.values():
        scope = getattr(op.recorder, "__globals__", {})
        if "_next_seq" in scope:
            scope["_next_seq"] = counter
    for maker in fast_views._makers.values():
        maker.__globals__["next_seq"] = counter
    for tell in switched:
        tell(counter)


def _numbered() -> int:
    """The next number, with the place of the caller outside flowtorch."""
    n = _new(Numbered, _plain())
    frame: Any = _getframe(1)
    try:
        while _inside[frame.f_code.co_filename]:
            frame = frame.f_back
        n.made = frame.f_code, frame.f_lasti
        if frame.f_code.co_filename != _engine:
            return n
    except (KeyError, AttributeError):  # a file not seen before, or nobody outside flowtorch
        pass
    n.made = _search()
    return n


def _search() -> tuple:
    """(code, instruction) of the first running frame outside flowtorch.

    A node made by the engine stands for the line of the node whose derivative is being computed.
    """
    frame: FrameType = _getframe(2)
    while True:
        name = frame.f_code.co_filename
        own = _inside.get(name)
        if name == _engine:
            from flowtorch.autograd.engine import current

            seq = getattr(current.node, "seq", None)
            if type(seq) is Numbered:
                return seq.made
        elif not (_classify(name) if own is None else own):
            break
        if frame.f_back is None:
            break
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def _classify(filename: str) -> bool:
    """Whether a file is flowtorch's own; the engine's ends the quick search, since it needs a look at the pass."""
    own = filename.startswith((_package, *_compiled)) and filename != _engine
    _inside[filename] = own
    return own


# ---------------------------------------------------------------- looking up


def where(x: Any) -> Place | None:
    """Where a node (or the node behind a tensor) was made; None if that was not remembered."""
    if isinstance(x, Tensor):
        x = x._node
    if type(x) is Output:
        x = x.node
    seq = getattr(x, "seq", None)
    return place(*seq.made) if type(seq) is Numbered else None


def place(code: CodeType, lasti: int) -> Place:
    """The source position of an instruction."""
    line, end_line, start, end = next(
        (p for i, p in enumerate(code.co_positions()) if i == lasti // 2), (None, None, None, None)
    )
    line = line or code.co_firstlineno
    text = linecache.getline(code.co_filename, line).rstrip("\n")
    columns = expression = None
    if start is not None and end is not None and text:
        raw = text.encode()
        if end_line != line:
            end = len(raw.rstrip())
        columns = len(raw[:start].decode(errors="replace")), len(raw[:end].decode(errors="replace"))
        if end_line == line:
            expression = text[columns[0] : columns[1]]
    return Place(code.co_filename, line, code.co_qualname, text, columns, expression)


def caller() -> Place:
    """The place outside flowtorch that is running now."""
    frame = next(user_frames(), None) or _getframe(1)
    return place(frame.f_code, frame.f_lasti)


def user_frames() -> Iterator[FrameType]:
    """The running frames outside flowtorch, innermost first."""
    frame: FrameType | None = _getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        own = _inside.get(name)
        if not (_classify(name) if own is None else own) and name != _engine:
            yield frame
        frame = frame.f_back


def name_of(t: Any) -> str | None:
    """What a running frame calls this tensor: a local variable, or a parameter of a module among them."""
    for frame in user_frames():
        for name, value in frame.f_locals.items():
            if value is t:
                return name
        for name, value in frame.f_locals.items():
            find = getattr(type(value), "named_parameters", None)
            if find is not None and hasattr(value, "_parameters"):
                for inner, p in find(value):
                    if p is t:
                        return f"{name}.{inner}"
    return None


def _sharing(counter: list) -> tuple[str | None, Any]:
    """A running frame's name for a tensor with this version counter, and the tensor."""
    for frame in user_frames():
        for name, value in frame.f_locals.items():
            if isinstance(value, Tensor) and value._counter is counter:
                return name, value
    return None, None


def operands(at: Place | None) -> list[str]:
    """The source text of the operands of the expression at a place: ``x * y.exp()`` gives ``x`` and ``y.exp()``."""
    if at is None or at.expression is None:
        return []
    try:
        tree = ast.parse(at.expression.strip(), mode="eval").body
    except SyntaxError:
        return []
    if isinstance(tree, ast.BinOp):
        parts: list[ast.expr] = [tree.left, tree.right]
    elif isinstance(tree, ast.Compare):
        parts = [tree.left, *tree.comparators]
    elif isinstance(tree, ast.UnaryOp):
        parts = [tree.operand]
    elif isinstance(tree, ast.Subscript):
        parts = [tree.value, tree.slice]
    elif isinstance(tree, ast.Call):
        parts = list(tree.args)
        if isinstance(tree.func, ast.Attribute) and not _is_module(tree.func.value):
            parts.insert(0, tree.func.value)
    else:
        return []
    return [ast.unparse(p) for p in parts]


def _is_module(tree: ast.expr) -> bool:
    """Whether ``tree.f(...)`` calls a function of a module, as far as its name tells."""
    root = tree
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and root.id in _modules


def result_name(at: Place | None) -> str | None:
    """The variable that the result at a place is assigned to, if its line says so."""
    if at is None:
        return None
    try:
        tree = ast.parse(at.text.strip()).body
    except SyntaxError:
        return None
    if tree and isinstance(tree[0], ast.Assign) and ast.unparse(tree[0].value) == _normal(at.expression):
        return ast.unparse(tree[0].targets[0])
    return None


def _normal(expression: str | None) -> str | None:
    try:
        return None if expression is None else ast.unparse(ast.parse(expression.strip(), mode="eval").body)
    except SyntaxError:
        return None


# ---------------------------------------------------------------- errors


_SIMPLE = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, AttributeError)


def explain(error: BaseException, node: Node | None) -> None:
    """Add to an error of backward where its node was made, and what is known of the tensors there."""
    if node is None or getattr(error, "__flowtorch_place__", None) is not None:
        return
    at = where(node)
    if at is None:
        return
    text = f"{node.name()} was recorded by this line of the forward pass:\n{at.describe()}"
    details = _changed(node, at) or _shapes(node, at)
    if details:
        text += f"\n{details}"
    error.__flowtorch_place__ = at  # type: ignore[attr-defined]
    if type(error) in _SIMPLE and len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{error.args[0]}\n{text}",)
    else:
        error.add_note(text)


def _shown(type_: Any, shape: Any) -> str:
    return f"torch.{type_.dtype.name} {list(shape)}"


def _changed(node: Node, at: Place) -> str:
    """Which of the values that the node kept was changed in place since, and by which line."""
    found: dict[str, None] = {}
    texts = operands(at)
    versions = node.versions or ()
    for i, t in enumerate(node.saved if isinstance(node.saved, tuple) else ()):
        if not isinstance(t, Tensor) or i >= len(versions) or versions[i] is None or t._version == versions[i]:
            continue
        name = name_of(t) or (texts[i] if i < len(texts) else None)
        line = f"It had kept {_quoted(name, 'a tensor')} ({_shown(t._type, t._array.shape)})"
        now = t._node.node if type(t._node) is Output else t._node
        later = where(now) if now is not None and now.seq > node.seq else None
        if later is not None:
            line += f", which was changed in place by {now.name()} here:\n{later.describe()}"
        else:
            line += ", which was changed in place since, outside the graph (or through another view)"
        made = where(now) if later is None and now is not None else None
        if made is not None:
            line += f"; it was made here:\n{made.describe()}"
        found[line] = None
    out = node.out
    if isinstance(out, tuple) and len(out) == 3 and isinstance(out[1], list) and out[1][0] != out[2]:
        name, holder = _sharing(out[1])
        name = name or result_name(at)
        line = f"It had kept its result{f', `{name}`,' if name else ''} ({_shown(node.type, node.shape)}), which was "
        culprit = None if holder is None else holder._node
        culprit = culprit.node if type(culprit) is Output else culprit
        later = where(culprit) if culprit is not None and culprit.seq > node.seq else None
        line += "changed in place since" if later is None or culprit is None else (
            f"changed in place by {culprit.name()} here:\n{later.describe()}")
        found[line] = None
    return "\n".join(found)


def _quoted(name: str | None, otherwise: str) -> str:
    return f"`{name}`" if name else otherwise


def _shapes(node: Node, at: Place) -> str:
    """The operands of the line with what is known of them."""
    parts = []
    texts = operands(at)
    shapes = node.shapes or ()
    saved = node.saved if isinstance(node.saved, tuple) else ()
    for i, e in enumerate(node.edges):
        name = texts[i] if i < len(texts) and len(texts) >= len(node.edges) else None
        t = saved[i] if i < len(saved) else None
        if isinstance(e, Tensor):
            name = name_of(e) or name
            parts.append(f"{_quoted(name, f'input {i}')}: {_shown(e._type, e._array.shape)}, a leaf")
        elif isinstance(t, Tensor):
            parts.append(f"{_quoted(name_of(t) or name, f'input {i}')}: {_shown(t._type, t._array.shape)}")
        elif i < len(shapes):
            parts.append(f"{_quoted(name, f'input {i}')}: {list(shapes[i][0])}")
        elif name:
            parts.append(f"`{name}`")
    name = result_name(at)
    if node.type is not None and not isinstance(node.type, tuple):
        parts.append(f"{_quoted(name, 'the result')}: {_shown(node.type, node.shape)}")
    return "Tensors there: " + "; ".join(parts) if parts else ""


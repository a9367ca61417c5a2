"""``python -m flowtorch doctor``: what a program needs of PyTorch, and whether it is there, without running it."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flowtorch import support
from flowtorch.shim import absent, names

USAGE = """usage: python -m flowtorch doctor [--json] [--all] SCRIPT|NOTEBOOK|FOLDER|PACKAGE ...

Lists the names of torch that the code uses and that are not there, or only in part (--all: every name), and where.
Exit status: 0 if all that is needed is there, 1 if something is not, 2 for bad usage. Names inside 'try' or
'if hasattr(...)' are not needed.
"""


class Use(NamedTuple):
    """A place where a name of PyTorch's is used."""

    name: str
    file: str
    line: int
    guarded: bool
    method: bool = False  # of what may be a tensor, by its name alone


class _Reader(ast.NodeVisitor):
    """Collects the uses in one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.aliases: dict[str, str] = {}
        self.uses: list[Use] = []
        self.defined: set[str] = set()
        self.depth = 0

    def note(self, name: str, node: ast.AST, method: bool = False) -> None:
        self.uses.append(Use(name, self.file, getattr(node, "lineno", 0), self.depth > 0, method))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.partition(".")[0] == "torch":
                self.aliases[alias.asname or "torch"] = alias.name if alias.asname else "torch"
                if alias.name != "torch":
                    self.note(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or node.module is None or node.module.partition(".")[0] != "torch":
            return
        for alias in node.names:
            if alias.name == "*":
                self.note(node.module, node)
            else:
                self.aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                self.note(f"{node.module}.{alias.name}", node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = self.dotted(node)
        if path:
            self.note(path, node)
            return
        if isinstance(node.ctx, ast.Load):
            self.note(node.attr, node, method=True)
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        # Another name for a module: F = torch.nn.functional
        path = self.dotted(node.value)
        if path in names.modules():
            self.aliases.update({target.id: path for target in node.targets if isinstance(target, ast.Name)})
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0] if node.args else None
        if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
            if isinstance(first.value, str) and first.value.startswith("torch."):
                self.note(first.value, node)
        self.generic_visit(node)

    def dotted(self, node: Any) -> str:
        """The full name of ``a.b.c`` where ``a`` is known, else an empty one."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        known = self.aliases.get(node.id) if isinstance(node, ast.Name) else None
        return ".".join([known, *reversed(parts)]) if known else ""

    def visit_FunctionDef(self, node: Any) -> None:
        self.defined.add(node.name)
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def visit_Try(self, node: Any) -> None:
        self._guarded(node.body)
        for part in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(part)

    visit_TryStar = visit_Try

    def visit_If(self, node: ast.If) -> None:
        test = ast.dump(node.test)
        if any(word in test for word in ("hasattr", "TYPE_CHECKING", "is_available", "version")):
            self.visit(node.test)
            self._guarded(node.body)
            self._guarded(node.orelse)
        else:
            self.generic_visit(node)

    def _guarded(self, body: list) -> None:
        self.depth += 1
        for part in body:
            self.visit(part)
        self.depth -= 1


class Finding(NamedTuple):
    """A name with its status and the places that use it."""

    name: str
    status: str
    missing: str
    places: list[str]
    needed: bool


def sources(given: str) -> list[Path]:
    """Return the Python files of a script or notebook, a folder or an installed package."""
    place = Path(given)
    if not place.exists():
        spec = importlib.util.find_spec(given.partition(".")[0]) if given.isidentifier() else None
        if spec is None or spec.origin is None:
            raise FileNotFoundError(given)
        place = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


def code(file: Path) -> str:
    """Return the Python of a file; of a notebook, that of its cells, without the commands to its shell."""
    text = file.read_text(errors="replace")
    if file.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def uses(files: list[Path]) -> Iterator[Use]:
    """Yield every use of a name of PyTorch's in the files."""
    readers = []
    for file in files:
        try:
            tree = ast.parse(code(file), str(file))
        except SyntaxError as error:
            print(f"{file}:{error.lineno}: {error.msg}", file=sys.stderr)
            if len(files) == 1:
                raise
            continue
        reader = _Reader(str(file))
        for node in ast.walk(tree):  # aliases first: functions use what stands further down
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                reader.visit(node)
        reader.uses.clear()
        reader.visit(tree)
        readers.append(reader)
    own = set().union(*(reader.defined for reader in readers)) if readers else set()
    for reader in readers:
        for use in reader.uses:
            if not use.method:
                yield use
            elif use.name in _tensor_only() and use.name not in own and reader.aliases:
                yield use._replace(name=f"torch.Tensor.{use.name}")


@functools.cache
def _tensor_only() -> frozenset[str]:
    """Return the names of Tensor's methods that flowtorch lacks and nothing common has."""
    lacking = {n for n in names.public()["torch.Tensor"] if support.status(f"torch.Tensor.{n}")[0] != support.FULL}
    common: set[str] = set()
    for kind in (str, bytes, list, dict, set, int, float, Path):
        common |= set(dir(kind))
    return frozenset(lacking - common)


def owner(name: str) -> str:
    """Return the part of a dotted name that the table speaks of: the longest that is a name of PyTorch's."""
    parts = name.split(".")
    for end in range(2, len(parts) + 1):
        module, last = ".".join(parts[: end - 1]), parts[end - 1]
        prefix = ".".join(parts[:end])
        if last in names.public().get(module, ()) and prefix not in names.public() and prefix not in names.modules():
            return prefix
    return name


def examine(files: list[Path]) -> list[Finding]:
    """Return the status of every name that the files use."""
    found: dict[str, list[Use]] = {}
    for use in uses(files):
        found.setdefault(owner(use.name), []).append(use)
    findings = []
    for name, places in sorted(found.items()):
        kind, missing = support.status(name)
        if kind == support.ABSENT:
            missing = missing or absent.advice(name).strip().removeprefix("Nearest supported: ")
        where = [f"{u.file}:{u.line}" for u in places]
        findings.append(Finding(name, kind, missing, where, any(not u.guarded and not u.method for u in places)))
    return findings


def main(argv: list[str]) -> int:
    """Print the findings; return 1 if something needed is not there."""
    flags = [a for a in argv if a.startswith("-")]
    given = [a for a in argv if not a.startswith("-")]
    if not given or set(flags) - {"--json", "--all"}:
        print(USAGE, end="", file=sys.stderr)
        return 2
    try:
        files = [file for one in given for file in sources(one)]
    except FileNotFoundError as error:
        print(f"python -m flowtorch doctor: there is no script, folder or package {error}", file=sys.stderr)
        return 2
    try:
        findings = examine(files)
    except SyntaxError:  # said where it was found
        return 2
    lacking = [f for f in findings if f.status == support.ABSENT and f.needed]
    if "--json" in flags:
        print(json.dumps({"files": len(files), "ok": not lacking, "names": [f._asdict() for f in findings]}, indent=1))
    else:
        print(text(findings, "--all" in flags, len(files)), end="")
    return 1 if lacking else 0


def text(findings: list[Finding], everything: bool, files: int) -> str:
    """Return the findings as a table."""
    shown = [f for f in findings if everything or f.status != support.FULL]
    order = {support.ABSENT: 0, support.PARTIAL: 1, support.FULL: 2}
    rows = [
        (
            f.status if f.needed else f"{f.status}, guarded" if "Tensor." not in f.name else f"{f.status}, perhaps",
            f.name, f"{f.places[0]}{f' and {len(f.places) - 1} more' * (len(f.places) > 1)}", f.missing,
        )
        for f in sorted(shown, key=lambda f: (not f.needed, order[f.status], f.name))
    ]  # fmt: skip
    widths = [max([0, *(len(row[k]) for row in rows)]) for k in range(3)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row[:3], widths, strict=True)), row[3]]).rstrip() for row in rows]
    count = {kind: sum(f.status == kind for f in findings) for kind in order}
    lines.append(
        f"{files} files use {len(findings)} names of torch: {count[support.FULL]} are there, "
        f"{count[support.PARTIAL]} in part, {count[support.ABSENT]} not "
        f"({sum(f.status == support.ABSENT and f.needed for f in findings)} of them needed)."
    )
    return "\n".join(lines) + "\n"

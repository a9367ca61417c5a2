"""``python -m flowtorch stubs``: type stubs for editors and mypy, derived from the op records.

Methods of Tensor and the functions of the public namespaces come into being when the records are published,
where no static tool can see them. The stubs list them with their parameters; nothing is written by hand.
"""

from __future__ import annotations

import importlib
import inspect
import keyword
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent
# Modules whose names are published by records; each gets a stub beside it.
PUBLISHED = ("flowtorch", "flowtorch.nn.functional", "flowtorch.linalg", "flowtorch.fft", "flowtorch.special")
HEADER = "# Derived from the op records by 'python -m flowtorch stubs'; do not edit.\n"


def main(argv: list[str]) -> int:
    """Write the stubs; with ``--check`` only say which are out of date, by the exit status too."""
    if argv not in ([], ["--check"]):
        print("usage: python -m flowtorch stubs [--check]", file=sys.stderr)
        return 2
    stale = [path for path, text in stubs() if not path.exists() or path.read_text() != text]
    for path, text in stubs():
        if path in stale and not argv:
            path.write_text(text)
    for path in stale:
        print(f"{'out of date' if argv else 'wrote'}: {path.relative_to(ROOT.parent)}")
    return 1 if argv and stale else 0


def stubs() -> Iterator[tuple[Path, str]]:
    """Yield every stub's path and text."""
    yield ROOT / "_methods.pyi", methods_stub()
    for name in PUBLISHED:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue  # published by name only, without a file to stand beside
        assert module.__file__ is not None
        yield Path(module.__file__).with_suffix(".pyi"), module_stub(module)


def methods_stub() -> str:
    """Return the stub of what the records and method tables attach to Tensor."""
    from flowtorch.tensor import Tensor

    lines = [HEADER, "from typing import Any\n\nfrom flowtorch.tensor import Tensor\n\nclass Methods:"]
    source = (ROOT / "tensor.py").read_text()
    written = {node.name for node in _class_body(source, "Tensor") if hasattr(node, "name")}
    for name in sorted(vars(Tensor)):
        value = inspect.getattr_static(Tensor, name)
        if name in written or keyword.iskeyword(name):
            continue
        if isinstance(value, property):
            lines.append(f"    @property\n    def {name}(self) -> Any: ...")
            if value.fset is not None:
                lines.append(f"    @{name}.setter\n    def {name}(self, value: Any) -> None: ...")
        elif inspect.isfunction(value):
            # Python's own rules for these names: == gives a bool, += what + does.
            code = (
                "override" if name in ("__eq__", "__ne__") else "misc" if re.match("__i[a-z]", name) else ""
            )
            ignore = f"  # type: ignore[{code}]" if code else ""
            lines.append(f"    def {name}{_signature(value, method=True)}: ...{ignore}")
    return "\n".join(lines) + "\n"


def module_stub(module: ModuleType) -> str:
    """Return the stub of a published namespace: its functions, and where its other names come from."""
    imports = ["from typing import Any", "", "from flowtorch.tensor import Tensor as Tensor"]
    if module is sys.modules["flowtorch"]:
        # All that are on disk, not those that happen to be loaded.
        found = sorted({p.stem if p.is_file() else p.name for p in ROOT.iterdir() if _is_module(p)})
        hidden = {name for name, value in vars(module).items() if not isinstance(value, ModuleType)}
        imports += [f"from flowtorch import {name} as {name}" for name in found if name not in hidden]
    lines = []
    for name, value in sorted(vars(module).items()):
        if isinstance(value, ModuleType) or keyword.iskeyword(name):
            continue
        if name in ("Tensor", "Any", "annotations") or (name.startswith("_") and name != "__version__"):
            continue
        if isinstance(value, type):
            home = _home(value, module)
            if home:
                imports.append(f"from {home} import {value.__name__} as {name}")
            else:
                lines.append(f"{name}: Any")
        elif inspect.isfunction(value):
            lines.append(f"def {name}{_signature(value)}: ...")
        else:
            lines.append(f"{name}: {_type_of(value)}")
    if hasattr(module, "__getattr__"):
        lines.append("def __getattr__(name: str) -> Any: ...")
    return HEADER + "\n" + "\n".join(imports) + "\n\n" + "\n".join(lines) + "\n"


def _is_module(path: Path) -> bool:
    name = path.stem if path.suffix == ".py" else path.name if (path / "__init__.py").exists() else "_"
    return not name.startswith("_")


def _home(cls: type, published: ModuleType) -> str | None:
    """Return the module that defines a class; public classes carry the public module's name instead."""
    for name, module in sorted(sys.modules.items(), key=lambda item: (len(item[0]), item[0])):
        if (
            name.startswith("flowtorch.")
            and module is not published
            and vars(module).get(cls.__name__) is cls
        ):
            return name
    return None


def _class_body(source: str, name: str) -> list[Any]:
    import ast

    return next(n.body for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == name)


def _type_of(value: Any) -> str:
    from flowtorch.dtypes import dtype

    if isinstance(value, dtype):
        return "dtype"
    return "Any"


def _signature(function: Any, method: bool = False) -> str:
    """Return the parameters and the result of a function, as text for a stub."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return "(self, *args: Any, **kwargs: Any) -> Any" if method else "(*args: Any, **kwargs: Any) -> Any"
    out, star, slash = [], False, False
    for i, p in enumerate(parameters):
        if p.kind is p.POSITIONAL_ONLY:
            slash = True
        elif slash:
            out.append("/")
            slash = False
        if p.kind is p.KEYWORD_ONLY and not star:
            out.append("*")
            star = True
        prefix = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        star = star or p.kind is p.VAR_POSITIONAL
        if method and i == 0 and not prefix:
            out.append("self")
            continue
        name = p.name + "_" if keyword.iskeyword(p.name) else p.name
        out.append(
            f"{prefix}{name}: Any" + ("" if p.default is p.empty or prefix else f" = {_default(p.default)}")
        )
    if slash:
        out.append("/")
    return f"({', '.join(out)}) -> {_result(function)}"


def _default(value: Any) -> str:
    return repr(value) if value is None or type(value) in (int, bool, str) else "..."


def _result(function: Any) -> str:
    record = getattr(function, "op", None)
    if record is not None:
        return "Any" if record.outputs else "Tensor"
    said = getattr(function, "__annotations__", {}).get("return")
    return said if said in ("Tensor", "None") else "Any"  # names like bool and float are dtypes in the stub

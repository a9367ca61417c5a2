"""What holds for the whole repository: the direction of imports, file sizes, what must not stand in it."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "flowtorch"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. While it loads, a module may import its own layer and those below it. The longest
# matching name counts. What is not listed stands on top of everything, and no listed module may import it.
LAYERS = [
    ["dtypes", "devices", "overrides"],
    ["array", "autograd.mode", "random", "streams"],
    ["codegen", "native"],
    ["tensor"],
    ["autograd.node", "autograd.node_names", "autograd.anomaly", "autograd.levels"],
    ["errors", "utils.hooks", "native.calls"],
    ["ops.op", "ops.order", "ops.overlap", "ops.autocast", "ops.dispatch", "ops.compose", "ops.fast_pointwise"],
    ["ops.families"],
    ["ops"],
    ["functional", "namespace", "native.plug"],
    ["nn"],
    ["optim"],
]
LONGEST = 700


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module):
    """Return the number of a module's layer, or None for one that stands on top."""
    best = max(
        (
            (name, i)
            for i, names in enumerate(LAYERS)
            for name in names
            if f"{module}.".startswith(f"{name}.")
        ),
        key=lambda found: len(found[0]),
        default=None,
    )
    if best is None and module.startswith("functional_"):
        return layer("functional")
    return None if best is None else best[1]


def runs_later(node):
    """Say whether the code of a node does not run while its module loads."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.dump(node.test)
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))


def imports(path, everywhere):
    """Yield (line, module) of a file's imports: all of them, or those that run while it loads."""
    package = ["flowtorch", *path.relative_to(PACKAGE).parts[:-1]] if path.is_relative_to(PACKAGE) else []

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield child.lineno, alias.name
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                prefix = ".".join([*base, *([child.module] if child.module else [])])
                inner = [f"{prefix}.{alias.name}" for alias in child.names]
                # Importing modules from a package counts as those modules, not as the whole package.
                for target in inner if all(map(exists, inner)) else [prefix, *inner]:
                    yield child.lineno, target
            elif everywhere or not runs_later(child):
                yield from walk(child)

    yield from walk(ast.parse(path.read_text(), str(path)))


def exists(module):
    """Say whether a dotted name is a module of ours, not a name inside one."""
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def upward_imports(path):
    """Return the imports of a file that point up the layers."""
    name = module_name(path)
    own = layer(name)
    if own is None:
        return []
    found = []
    for line, target in imports(path, everywhere=False):
        if not target.startswith("flowtorch.") or not exists(target):
            continue
        inner = target.removeprefix("flowtorch.")
        at = layer(inner)
        if at is None or at > own:
            found.append(f"{path.relative_to(ROOT)}:{line} imports {target}")
    return found


def test_imports_point_down():
    wrong = [line for path in SOURCES for line in upward_imports(path)]
    assert not wrong, "\n".join(wrong)


def test_the_import_test_sees_a_wrong_import(tmp_path, monkeypatch):
    (tmp_path / "flowtorch" / "nn").mkdir(parents=True)
    (tmp_path / "flowtorch" / "nn" / "__init__.py").write_text("")
    bad = tmp_path / "flowtorch" / "tensor.py"
    bad.write_text("from flowtorch import nn\ndef later():\n    import flowtorch.nn\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "flowtorch")
    assert upward_imports(bad) == ["flowtorch/tensor.py:1 imports flowtorch.nn"]


def test_flowtorch_never_imports_torch():
    allowed = PACKAGE / "testing"  # there torch is a reference, when somebody asks for it
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        if not path.is_relative_to(allowed)
        for line, target in imports(path, everywhere=True)
        if top(target) == "torch"
    ]
    assert not wrong, wrong


def test_the_triton_side_stands_alone():
    # Triton's own interpreter computes with numpy, so repairs of it do too; nothing else may need it to load.
    repairs = ROOT / "triton_kernels" / "interpreter.py"
    wrong = []
    for path in sorted((ROOT / "triton_kernels").rglob("*.py")):
        never, later = {"flowtorch", "torch", "scipy"}, {"numpy", "cupy", "ml_dtypes"}
        found = [(line, target) for line, target in imports(path, everywhere=True) if top(target) in never]
        if path != repairs:
            found += [
                (line, target) for line, target in imports(path, everywhere=False) if top(target) in later
            ]
        wrong += [f"{path.relative_to(ROOT)}:{line} {target}" for line, target in found]
    assert not wrong, wrong


def top(module):
    return module.partition(".")[0]


def tracked():
    """Return the files under version control, or every file of a source archive."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return [p for p in ROOT.rglob("*") if p.is_file() and not any(q.startswith(".") for q in p.parts)]
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_files_are_of_a_size_to_be_read():
    lengths = {p.relative_to(ROOT): p.read_text().count("\n") for p in tracked() if p.suffix == ".py"}
    long = {str(p): n for p, n in lengths.items() if n > LONGEST}
    assert not long, f"split by family what is longer than {LONGEST} lines: {long}"


# Written in pieces, so that this file does not contain what it looks for.
FORBIDDEN = [
    "/" + r"work/",
    "/" + r"root/",
    r"/home/[a-z]",
    r"\bsub-?" + r"agents?\b",
    r"\b(cla" + r"ude|anth" + r"ropic|chat" + r"gpt|copi" + r"lot)\b",
    r"pypi" + r"\.org|python" + r"hosted|registry\.npm" + r"js|deb\.deb" + r"ian",
]


def test_the_repository_speaks_of_the_project_alone():
    pattern = re.compile("|".join(FORBIDDEN), re.IGNORECASE)
    found = []
    for path in tracked():
        if path.is_relative_to(ROOT / "examples" / "data"):  # other people's words
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line}: {match.group()}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", ["see /" + "work/x", "a sub" + "agent", "https://pypi" + ".org/simple"])
def test_the_forbidden_words_are_found(text):
    assert re.search("|".join(FORBIDDEN), text, re.IGNORECASE)


def test_nothing_large_is_committed():
    large = {str(p.relative_to(ROOT)): p.stat().st_size for p in tracked() if p.stat().st_size > 1_000_000}
    assert not large, large

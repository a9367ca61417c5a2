"""The documentation: links lead somewhere, every page is in the index, commands name what exists, first steps run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowtorch.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md")), ROOT / "examples" / "data" / "README.md"]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
OTHERS = {"script.py", "FOLDER/replay.py"}  # the reader's own files


def prose(page):
    """Return a page's text without its blocks of Python, where brackets and parentheses are no links."""
    return re.sub(r"```python\n.*?```", "", page.read_text(), flags=re.DOTALL)


def dead_links(page):
    targets = re.findall(r"\]\(([^)#\s]+)\)", prose(page))
    return [t for t in targets if "://" not in t and t != "..." and not (page.parent / t).exists()]


def unknown_commands(page):
    """Return the scripts and subcommands that a page tells the reader to run and that are not there."""
    text = prose(page)
    scripts = {s.rstrip(".,:") for s in re.findall(r"python (?:-m pytest )?([\w./*]+\.py)\b", text)}
    wrong = [s for s in sorted(scripts - OTHERS) if not list(ROOT.glob(s))]
    modules = re.findall(r"python -m flowtorch ([a-z][\w-]*)", text)
    wrong += [f"python -m flowtorch {m}" for m in sorted({*modules} - {*COMMANDS})]
    for module in sorted(set(re.findall(r"python -m (flowtorch[\w.]+)", text))):
        path = ROOT.joinpath(*module.split("."))
        if not path.with_suffix(".py").exists():
            wrong.append(f"python -m {module}")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_and_commands_lead_somewhere(page):
    assert dead_links(page) == []
    assert unknown_commands(page) == []


def test_dead_links_and_unknown_commands_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[there](page.md) [gone](gone.md) `python -m flowtorch fly` and `python benchmarks/none.py`")
    assert dead_links(page) == ["gone.md"]
    assert unknown_commands(page) == ["benchmarks/none.py", "python -m flowtorch fly"]


def test_the_index_has_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {p.name for p in (ROOT / "docs").glob("*.md")} - {"README.md"}
    missing = sorted(name for name in pages if f"({name})" not in index)
    assert not missing, f"docs/README.md does not mention {missing}"


def test_first_steps_run():
    text = (ROOT / "docs" / "first-steps.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 4
    # In a process of its own: the page makes `import torch` give flowtorch, and here torch is loaded already.
    done = subprocess.run([sys.executable, "-c", "\n".join(blocks)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "np.tanh" in done.stdout or "tanh(input)" in done.stdout

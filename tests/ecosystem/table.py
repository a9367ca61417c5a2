"""The page of results, docs/ecosystem.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import compare
from targets import TARGETS

if TYPE_CHECKING:
    from run import Outcome

RECORDED = Path(__file__).resolve().parent / "recorded"
BY_HAND = "\n## Other libraries tried\n"  # from here on the page is not the command's
HEAD = """\
# Other people's libraries on flowtorch

Written by `python tests/ecosystem/run.py --write docs/ecosystem.md`, which makes a virtual environment without PyTorch,
installs each library from the package index (what requires PyTorch without its requirements), runs it under
`python -m flowtorch run`, and compares with results recorded from PyTorch 2.13: numbers to 1e-4 of the largest of their
row, losses over several steps to 1e-3, a library's own tests by name. `--record` records again, with PyTorch.

The last columns hold `python -m flowtorch doctor`, asked about the source files that were loaded, against what happened:
*needed* names are absent and not guarded by `try`, `hasattr` or the like; *met* are those that were imported, and of these
*used* in the end. A run fails if it meets a name that `doctor` does not list.

| target | what is run | packages | result | needed | met | used |
|---|---|---|---|---|---|---|
"""


def page(outcomes: dict[str, Outcome], before: str = "") -> str:
    """Return the page: a row for each target, what differs and why, and the part by hand of the page ``before``."""
    rows = [row(name, outcome) for name, outcome in outcomes.items()]
    good = sum(not outcome.problems for outcome in outcomes.values())
    parts = [HEAD + "\n".join(rows), f"{good} of {len(outcomes)} targets agree.", *details(outcomes)]
    _, heading, kept = before.partition(BY_HAND)
    return "\n\n".join(parts) + "\n" + heading + kept


def row(name: str, outcome: Outcome) -> str:
    """Return a target's row."""
    target = TARGETS[name]
    shown = ", ".join(f"{p} {outcome.versions[p]}" for p in [*target.packages, *target.requires[:1]] if p in outcome.versions)
    used = {n for n, _, how in outcome.met if how != "imported"}
    met = {n for n, _, _ in outcome.met}
    cells = [name, target.what, shown or "none", result(name, outcome), len(outcome.needed), len(met), len(used)]
    return "| " + " | ".join(map(str, cells)) + " |"


def result(name: str, outcome: Outcome) -> str:
    """Say how a target went."""
    if "failed" not in outcome.found:
        return "differs" if outcome.problems else f"agrees ({numbers(outcome.found)} numbers)"
    expected = json.loads((RECORDED / f"{name}.json").read_text())
    ours, theirs = (r["counts"].get("passed", 0) for r in (outcome.found, expected))
    return f"{ours:,} tests pass, {theirs:,} with PyTorch"


def numbers(value: object) -> int:
    """Count the numbers in results."""
    if isinstance(value, (dict, list)):
        return sum(map(numbers, value.values() if isinstance(value, dict) else value))
    return isinstance(value, (int, float))


def details(outcomes: dict[str, Outcome]) -> list[str]:
    """What differs, with the reasons, and which absent names were needed or met."""
    parts = []
    for name, outcome in outcomes.items():
        lines = [f"- {problem}" for problem in outcome.problems]
        if "failed" in outcome.found:
            lines += failures(name, outcome)
        if outcome.needed:
            lines.append(f"- absent and needed somewhere in the loaded code: {', '.join(grouped(outcome.needed))}")
        if outcome.met:
            lines.append(f"- met: {', '.join(sorted({f'{n} ({how})' for n, _, how in outcome.met}))}")
        if lines:
            parts.append(f"## {name}\n\n" + "\n".join(lines))
    return parts


def grouped(names: list[str]) -> list[str]:
    """Names, or where there are many below one module of torch's, their number."""
    modules: dict[str, list[str]] = {}
    for name in sorted(names):
        modules.setdefault(".".join(name.split(".")[:2]), []).append(name)
    many = 3
    return [s for m, below in modules.items() for s in (below if len(below) <= many else [f"{len(below)} of {m}"])]


def failures(name: str, outcome: Outcome) -> list[str]:
    """A suite's failing tests: with PyTorch too, and here alone, by reason."""
    expected = json.loads((RECORDED / f"{name}.json").read_text())
    also = sorted(set(outcome.found["failed"]) & set(expected["failed"]))
    lines = [f"- fails with PyTorch too: `{test}`" for test in also]
    target = TARGETS[name]
    for reason in dict.fromkeys(target.excepted.values()):
        texts = [text for text, why in target.excepted.items() if why == reason]
        tests = [t for t in outcome.found["failed"] if t not in also and any(text in t for text in texts)]
        if tests:
            lines.append(f"- {len(tests)} tests fail: {reason} (`{'`, `'.join(texts)}`)")
    other = [t for t in outcome.found["failed"] if t not in also and not compare.excepted(target, t)]
    return lines + [f"- fails: `{test}`" for test in other]

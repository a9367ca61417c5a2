"""Differences that somebody has looked into, each with its reason: a table that runs and the gate read.

A table is a TOML file of entries::

    [[difference]]
    functions = "topk|kthvalue"       # regular expressions; this one matches the whole name
    checks = "errors|layouts"         # and this one the whole variant; all variants where it is left out
    verdicts = "wrong"                # likewise
    text = "differ, at"               # searched for in "call: finding"
    whose = "nobody"                  # "reference", "candidate" or "nobody": who would have to change
    reason = "PyTorch promises no order among equal elements"

The first entry that matches a finding explains it. What is explained is counted and shown, and is no failure; an entry
that explains nothing in a run over the whole registry is stale, and fails the gate.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

OWN = Path(__file__).with_name("explained.toml")
WHOSE = ("reference", "candidate", "nobody")


class Entry:
    """One reason, and the findings that it explains."""

    def __init__(self, functions: str, text: str, whose: str, reason: str, checks: str = ".*", verdicts: str = ".*"):
        if whose not in WHOSE:
            raise ValueError(f"whose must be one of {', '.join(WHOSE)}, got {whose!r}: {reason}")
        self.functions, self.checks, self.verdicts = (re.compile(p) for p in (functions, checks, verdicts))
        self.text, self.whose, self.reason = re.compile(text), whose, reason
        self.count = 0

    def matches(self, function: str, check: str, verdict: str, text: str) -> bool:
        whole = ((self.functions, function), (self.checks, check), (self.verdicts, verdict))
        return all(p.fullmatch(value) for p, value in whole) and self.text.search(text) is not None


class Table:
    """The entries of a file, in order."""

    def __init__(self, entries: list[dict[str, str]]) -> None:
        try:
            self.entries = [Entry(**e) for e in entries]
        except TypeError as wrong:
            raise ValueError(f"an entry of explained differences: {wrong}") from None

    def find(self, function: str, check: str, verdict: str, text: str) -> Entry | None:
        """The first entry that explains a finding."""
        found = next((e for e in self.entries if e.matches(function, check, verdict, text)), None)
        if found is not None:
            found.count += 1
        return found


def read(path: Path = OWN) -> Table:
    """The table in a file; flowtorch against torch where none is named."""
    import tomllib

    with path.open("rb") as file:
        known: dict[str, Any] = tomllib.load(file)
    return Table(known.get("difference", []))


def stale(table: Table, counts: dict[str, int]) -> list[str]:
    """The reasons that explained nothing, given how often each was called upon."""
    return [f"{e.functions.pattern}: {e.reason}" for e in table.entries if not counts.get(e.reason)]

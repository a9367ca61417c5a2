"""docs/differences.md, written from the tables in differences.py: ``python tests/differences_page.py --write``."""

import re
import sys
from pathlib import Path

from differences import DIFFERENCES, RARE

PAGE = Path(__file__).parent.parent / "docs" / "differences.md"
HEAD = """# Where results differ from PyTorch's

Written by `python tests/differences_page.py --write` from the tables that the tests use: every other difference from
PyTorch 2.13 on the CPU that the matrix of checks (`tests/test_ops.py`) or random calls (`tests/test_random_calls.py`)
find is a failure. Functions are regular expressions; so is what a difference looks like.

## In ordinary calls

| functions | in checks of | difference | reason |
|---|---|---|---|
"""
RARELY = """
## Where numbers or memory are unusual

Only calls that meet the condition may differ.

| functions | difference | only if | reason |
|---|---|---|---|
"""


def condition(name):
    """Return the condition in words: the docstring of the method that checks it."""
    from random_calls import Call

    return getattr(Call, name).__doc__.removeprefix("Say whether ").rstrip(".") if name else ""


def row(*cells):
    """Return one row of a table."""
    return f"| {' | '.join(re.sub(r'([|])', r'&#124;', c) for c in cells)} |\n"


def page():
    """Return the text of the page."""
    usual = "".join(row(f"`{who}`", where, f"`{what}`", reason) for where, who, what, reason in DIFFERENCES)
    rare = "".join(row(f"`{who}`", f"`{what}`", condition(when), reason) for who, what, when, reason in RARE)
    return HEAD + usual + RARELY + rare


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page())
    else:
        print(page())

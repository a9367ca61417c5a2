"""A pytest plugin: ``pytest -p flowtorch.testing.difftest.pytest_plugin --difftest-crossref=torch``.

Every test runs inside ``crossref``: a call that differs from the reference fails the test that made it, with a script.
``--difftest-report=FILE`` writes all findings as JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

_found: list[dict[str, str]] = []
_calls: Counter[str] = Counter()


def pytest_addoption(parser: Any) -> None:
    group = parser.getgroup("difftest")
    group.addoption("--difftest-crossref", metavar="REFERENCE", help="make every call on this implementation too")
    group.addoption("--difftest-report", metavar="FILE", help="write what differs to FILE as JSON")
    group.addoption("--difftest-collect", action="store_true", help="only report what differs, and fail no test")


@pytest.fixture(autouse=True)
def _difftest(request: Any) -> Any:
    reference = request.config.getoption("--difftest-crossref")
    if not reference:
        yield
        return
    from .crossref import crossref

    with crossref(reference, raises=not request.config.getoption("--difftest-collect")) as cross:
        try:
            yield
        finally:
            _calls.update(cross.calls)
            _found.extend(
                {"test": request.node.nodeid, "verdict": f.verdict, "text": str(f).split("\n")[0], "script": f.script}
                for f in cross.found
            )


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    if not config.getoption("--difftest-crossref"):
        return
    counts = Counter(f["verdict"] for f in _found)
    parts = ", ".join(f"{n} {v}" for v, n in counts.most_common()) or "nothing differs"
    terminalreporter.write_line(f"difftest: {sum(_calls.values())} calls of {len(_calls)} functions compared: {parts}")
    if path := config.getoption("--difftest-report"):
        with open(path, "w") as file:
            json.dump({"calls": dict(_calls), "found": _found}, file, indent=1)

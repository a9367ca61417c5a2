"""Run other people's libraries on flowtorch and compare with what PyTorch gave.

    python tests/ecosystem/run.py                      every target, in a virtual environment made for it from nothing
    python tests/ecosystem/run.py timm gpt2            some targets
    python tests/ecosystem/run.py --write docs/ecosystem.md    every target, and the table of results
    python tests/ecosystem/run.py --python PYTHON      in an environment that has the packages (and no PyTorch)
    python tests/ecosystem/run.py --record [NAME ...]  record PyTorch's results, in an environment made with it

Needs the package index: PyTorch is not installed, packages that require it come without their requirements, in the
versions whose results were recorded. Exit status 1 if a target fails, or met an absent name that ``doctor`` had not
foretold. ``--keep FOLDER`` keeps the environment, and finds it there again. Two suites come from repositories, at fixed
commits: ECOSYSTEM_SOURCES names a folder with checkouts of these, for machines that do not reach them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import compare  # noqa: E402
import environments  # noqa: E402
from targets import TARGETS, Target  # noqa: E402


@dataclass
class Outcome:
    """What came of a target: what differs, the results, and what its code needs of PyTorch."""

    problems: list[str]
    found: dict = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    needed: list[str] = field(default_factory=list)  # by doctor, of the loaded files: absent, and not guarded
    met: list[list[str]] = field(default_factory=list)  # absent names that were imported or used
    seconds: float = 0.0


def main() -> int:
    """Run the targets that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *TARGETS])
    parser.add_argument("--python", help="the interpreter of an environment that has the packages already")
    parser.add_argument("--record", action="store_true", help="record PyTorch's results instead of comparing")
    parser.add_argument("--keep", type=Path, help="a folder for the environment and the sources, to be kept")
    parser.add_argument("--write", type=Path, help="the page whose table of results is to be written anew")
    arguments = parser.parse_args()
    outcomes = {}
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in arguments.names or TARGETS:
            outcome = outcomes[name] = one(name, folder.resolve(), arguments.python, arguments.record)
            print(f"{'FAILED' if outcome.problems else 'ok':7}{name:24}{outcome.seconds:6.0f} s", flush=True)
            for problem in outcome.problems[:12]:
                print(f"         {problem}", flush=True)
    if arguments.write:
        import table

        before = arguments.write.read_text() if arguments.write.exists() else ""
        arguments.write.write_text(table.page(outcomes, before))
    return 1 if any(outcome.problems for outcome in outcomes.values()) else 0


def one(name: str, folder: Path, python: str | None = None, record: bool = False) -> Outcome:
    """Run one target in ``folder``, and compare with what was recorded, or record."""
    started = time.monotonic()
    target = TARGETS[name]
    folder.mkdir(parents=True, exist_ok=True)
    python = python or environments.environment(folder / ("torch" if record else "venv"), target, record)
    if python is None:
        return Outcome(["the packages could not be installed"])
    given = [*target.arguments]
    if target.sources:
        place = environments.sources(folder / "sources", target, python)
        if place is None:
            return Outcome([f"the sources could not be fetched: {target.sources}"])
        given[0] = str(place / given[0])
    outcome = started_program(name, target, folder, python, [str(HERE / "programs" / target.program), *given], record)
    outcome.versions = environments.versions(python, [p for p in target.packages + target.requires if "=" not in p])
    recorded = HERE / "recorded" / f"{name}.json"
    if record and not outcome.problems:
        keep(recorded, outcome)
    elif not outcome.problems:
        outcome.problems = compare.differences(json.loads(recorded.read_text()), outcome.found, name, target)
    outcome.problems += [] if record else unforeseen(outcome, folder / f"{name}.witness.json", python)
    outcome.seconds = time.monotonic() - started
    return outcome


def started_program(name: str, target: Target, folder: Path, python: str, program: list[str], record: bool) -> Outcome:
    """Run the program and read what it reports."""
    result, witness = folder / f"{name}.json", folder / f"{name}.witness.json"
    for old in (result, witness):
        old.unlink(missing_ok=True)
    launcher = [str(HERE / "reference.py")] if record else ["-m", "flowtorch", "run"]
    variables = os.environ | target.variables | {
        "ECOSYSTEM_RESULT": str(result), "ECOSYSTEM_WITNESS": str(witness), "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    done = subprocess.run(
        [python, *launcher, *program], env=variables, cwd=folder, capture_output=True, text=True, timeout=target.seconds
    )
    if not result.exists():
        return Outcome([f"exit status {done.returncode}", *done.stderr.strip().splitlines()[-4:]])
    return Outcome([], json.loads(result.read_text()))


def keep(recorded: Path, outcome: Outcome) -> None:
    """Write results of PyTorch, and the versions of the packages that gave them."""
    recorded.write_text(json.dumps(compare.rounded(outcome.found), separators=(",", ":")) + "\n")
    versions = json.loads(environments.VERSIONS.read_text()) if environments.VERSIONS.exists() else {}
    text = json.dumps(dict(sorted({**versions, **outcome.versions}.items())), indent=0)
    environments.VERSIONS.write_text(text + "\n")


def unforeseen(outcome: Outcome, witness: Path, python: str) -> list[str]:
    """Ask ``doctor`` about the files that were loaded; return what the program met and ``doctor`` had not listed."""
    if not witness.exists():
        return []
    seen = json.loads(witness.read_text())
    with_torch = [f for f in seen["loaded"] if b"torch" in Path(f).read_bytes()]
    done = subprocess.run([python, "-m", "flowtorch", "doctor", "--json", *with_torch], capture_output=True, text=True)
    names = [n for n in json.loads(done.stdout)["names"] if n["status"] != "full"] if with_torch else []
    outcome.needed = [n["name"] for n in names if n["status"] == "absent" and n["needed"]]
    outcome.met = seen["met"]
    listed = [(n["name"], {place.rpartition(":")[0] for place in n["places"]}) for n in names]
    return [
        f"doctor does not list {name}, {how} at {place}"
        for name, place, how in seen["met"]
        if not any(place.rpartition(":")[0] in files and related(name, n) for n, files in listed)
    ]


def related(one: str, other: str) -> bool:
    """Say whether one dotted name is the other, or lies below it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


if __name__ == "__main__":
    sys.exit(main())

"""Run other people's libraries on flowtorch and compare with what PyTorch gave.

    python tests/ecosystem/run.py                      every target, in a virtual environment made for it
    python tests/ecosystem/run.py timm gpt2            some targets
    python tests/ecosystem/run.py --python PYTHON      in an environment that has the packages (and no PyTorch)
    python tests/ecosystem/run.py --record --python PYTHON     write the recorded results; PYTHON has PyTorch

Exit status 1 if a target fails.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from targets import TARGETS, Target  # noqa: E402

RELATIVE = 1e-4  # of a result; losses over steps may differ by ten times as much


def main() -> int:
    """Run the targets that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *TARGETS])
    parser.add_argument("--python", help="the interpreter of an environment that has the packages already")
    parser.add_argument("--record", action="store_true", help="record PyTorch's results instead of comparing")
    arguments = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names or TARGETS:
            started = time.monotonic()
            problems = one(name, TARGETS[name], Path(folder), arguments.python, arguments.record)
            failed += [name] * bool(problems)
            print(f"{'FAILED' if problems else 'ok':7}{name:24}{time.monotonic() - started:6.0f} s", flush=True)
            for problem in problems[:12]:
                print(f"         {problem}")
    return 1 if failed else 0


def one(name: str, target: Target, folder: Path, python: str | None, record: bool) -> list[str]:
    """Run one target; return what differs from the recorded results (nothing, when recording)."""
    if python is None:
        python = environment(folder, target)
        if python is None:
            return ["the packages could not be installed"]
    given = [*target.arguments]
    if target.sources:
        sources = unpacked(folder, target.sources, python)
        if sources is None:
            return [f"the source archive of {target.sources} could not be fetched"]
        given[0] = str(sources / given[0])
    result = folder / f"{name}.json"
    program = [str(HERE / "programs" / target.program), *given]
    launcher = [str(HERE / "reference.py")] if record else ["-m", "flowtorch", "run"]
    variables = os.environ | {
        "ECOSYSTEM_RESULT": str(result), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    done = subprocess.run(
        [python, *launcher, *program], env=variables, cwd=folder, capture_output=True, text=True, timeout=target.seconds
    )
    if not result.exists():
        return [f"exit status {done.returncode}", *done.stderr.strip().splitlines()[-4:]]
    found = json.loads(result.read_text())
    recorded = HERE / "recorded" / f"{name}.json"
    if record:
        recorded.write_text(json.dumps(rounded(found), separators=(",", ":")) + "\n")
        return []
    return compare(json.loads(recorded.read_text()), found, name, target)


def environment(folder: Path, target: Target) -> str | None:
    """Make the virtual environment that all targets share, and install a target's packages; None if that fails."""
    place = folder / "venv"
    python = str(place / "bin" / "python")
    base = ["numpy", "scipy", "ml_dtypes", "pytest", "setuptools>=77", "wheel"]
    if not place.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        if not pip(python, *base) or not pip(python, "--no-deps", "--no-build-isolation", str(ROOT)):
            return None
    # What requires torch itself comes without its requirements: there is to be no PyTorch in the environment.
    fine = pip(python, *target.requires) and pip(python, "--no-deps", *target.packages)
    return python if fine else None


def pip(python: str, *arguments: str) -> bool:
    """Install packages; say whether it went well."""
    if not any(a for a in arguments if not a.startswith("--")):
        return True
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments]
    return subprocess.run(command).returncode == 0


def unpacked(folder: Path, package: str, python: str) -> Path | None:
    """Fetch and unpack the source archive of a package."""
    place = folder / "sources" / package
    if not place.exists():
        command = [
            python,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "--no-binary",
            ":all:",
            "-d",
            str(place),
            package,
        ]
        if subprocess.run(command).returncode:
            return None
        with tarfile.open(next(place.glob("*.tar.gz"))) as archive:
            archive.extractall(place, filter="data")
    return next(p for p in place.iterdir() if p.is_dir())


def rounded(value: object) -> object:
    """Results with eight significant digits, to be kept."""
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def compare(expected: object, found: object, path: str, target: Target) -> list[str]:
    """Return the places where results differ by more than they may."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if path.endswith("/counts") or "failed" in expected:
            return compare_suites(expected, found, path, target)
        missing = [f"{path}/{k}: absent" for k in expected if k not in found]
        return missing + [
            p for k in expected if k in found for p in compare(expected[k], found[k], f"{path}/{k}", target)
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        if expected and all(isinstance(v, float) for v in expected):
            return compare_numbers(expected, found, path)
        return [p for i, (a, b) in enumerate(zip(expected, found, strict=False)) for p in compare(a, b, f"{path}[{i}]", target)]
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return compare_numbers([expected], [found], path)
    return [] if expected == found else [f"{path}: {expected!r:.60} is expected, {found!r:.60} came"]


def compare_numbers(expected: list, found: list, path: str) -> list[str]:
    """Compare rows of numbers, relative to the largest of the row."""
    allowed = RELATIVE * (10 if "losses" in path else 1) * max(1e-3, *map(abs, expected))
    worst = max((abs(a - b) if math.isfinite(a) else float(a != b and a == a)) for a, b in zip(expected, found, strict=False))
    return [] if worst <= allowed else [f"{path}: off by {worst:.3g}, {allowed:.3g} is allowed"]


def compare_suites(expected: dict, found: dict, path: str, target: Target) -> list[str]:
    """Compare the outcome of a package's own tests: what passes with PyTorch has to pass, but for listed exceptions."""
    new = [
        t for t in found["failed"] if t not in expected["failed"] and not any(e in t for e in target.excepted)
    ]
    problems = [f"{path}: {t} fails" for t in new]
    lacking = expected["counts"].get("passed", 0) - found["counts"].get("passed", 0)
    lacking -= sum(any(e in t for e in target.excepted) for t in found["failed"])
    return problems or ([f"{path}: {lacking} fewer tests passed"] if lacking > 0 else [])


if __name__ == "__main__":
    sys.exit(main())

"""Virtual environments for the targets: with flowtorch and without PyTorch, or, for recording, the other way about."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from targets import Target

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BASE = ["numpy", "scipy", "ml_dtypes", "pytest", "setuptools>=77", "wheel"]
_prepared: set[Path] = set()
VERSIONS = HERE / "recorded" / "versions.json"


def environment(place: Path, target: Target, record: bool) -> str | None:
    """Make the environment that all targets share, unless it is there, and install a target's packages into it.

    Returns its interpreter, or None if something could not be installed.
    """
    python = str(place / "bin" / "python")
    if place not in _prepared:
        if not place.exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        own = ["torch==2.13.0"] if record else ["--force-reinstall", "--no-deps", "--no-build-isolation", str(ROOT)]
        if not pip(python, *BASE) or not pip(python, *own):
            return None
        _prepared.add(place)
    # What requires torch itself comes without its requirements: there is to be no PyTorch in the environment.
    fine = pip(python, *pinned(target.requires, record)) and pip(python, "--no-deps", *pinned(target.packages, record))
    return python if fine and (record or not has_torch(python)) else None


def pinned(packages: list[str], record: bool) -> list[str]:
    """The packages in the versions whose results were recorded; the newest, when recording."""
    known = {} if record or not VERSIONS.exists() else json.loads(VERSIONS.read_text())
    return [f"{p}=={known[p]}" if p in known else p for p in packages]


def versions(python: str, packages: list[str]) -> dict[str, str]:
    """The versions of those of the packages that are installed."""
    code = "import json, importlib.metadata as m; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    installed = {name.replace("_", "-"): version for name, version in json.loads(done.stdout).items()}
    names = {p: p.lower().replace("_", "-") for p in packages}
    return {p: installed[name] for p, name in names.items() if name in installed}


def has_torch(python: str) -> bool:
    """Say whether an environment holds PyTorch."""
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is not None)"
    if subprocess.run([python, "-c", code], cwd="/").returncode:
        print("PyTorch was installed with something: see the requirements of the target")
        return True
    return False


def pip(python: str, *arguments: str, command: str = "install") -> bool:
    """Install packages; say whether it went well."""
    if not any(a for a in arguments if not a.startswith("-")):
        return True
    line = [python, "-m", "pip", command, "-q", "--disable-pip-version-check", *arguments]
    return subprocess.run(line, stderr=subprocess.DEVNULL if command == "download" else None).returncode == 0


def sources(folder: Path, target: Target, python: str) -> Path | None:
    """Fetch the sources that hold a target's tests: a package's archive or a repository. None if that fails."""
    if not target.sources.startswith("https://"):
        return _archive(folder / target.sources, target.sources, python)
    address, _, commit = target.sources.partition("@")
    name = address.rpartition("/")[2]
    given = os.environ.get("ECOSYSTEM_SOURCES")  # a folder with checkouts, for machines without the network
    if given is not None and (Path(given) / name).exists():
        return Path(given) / name if _at(Path(given) / name, commit) else None
    place = folder / name
    steps = [["clone", "-q", address, str(place)], ["-C", str(place), "checkout", "-q", commit]]
    steps.append(["-C", str(place), "submodule", "update", "-q", "--init"])
    if place.exists() or all(subprocess.run(["git", *step]).returncode == 0 for step in steps):
        return place
    shutil.rmtree(place, ignore_errors=True)
    return None


def _at(place: Path, commit: str) -> bool:
    """Say whether a checkout is of a commit, and as it came."""
    asked = (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    return [subprocess.check_output(["git", "-C", str(place), *a], text=True).strip() for a in asked] == [commit, ""]


def _archive(place: Path, package: str, python: str) -> Path | None:
    if not place.exists():
        wanted = pinned([package], False)
        options = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", "-d", str(place)]
        if not pip(python, *options, *wanted, command="download"):
            return None
        with tarfile.open(next(place.glob("*.tar.gz"))) as archive:
            archive.extractall(place, filter="data")
    return next(p for p in place.iterdir() if p.is_dir())

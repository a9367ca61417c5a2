"""The wheel: what is in it, how large it is, and that it works where the repository is not."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 2_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of the sources, so that no build folder is left in the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("flowtorch", "triton_kernels", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            subprocess.run(["cp", "-R", str(ROOT / name), str(source)], check=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            folder,
            source,
        ],
        check=True,
        cwd=folder,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_it_is_pure_and_small(wheel):
    assert wheel.name.startswith("flowtorch_eager-") and wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        assert archive.testzip() is None
    assert wheel.stat().st_size <= LARGEST and unpacked <= 4 * LARGEST, (wheel.stat().st_size, unpacked)


def test_every_source_is_in_it_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n or n.startswith("flowtorch/")}
    expected = {str(p.relative_to(ROOT)) for p in (ROOT / "flowtorch").rglob("*.py")}
    kernels = ROOT / "triton_kernels"
    expected |= {f"flowtorch/{p.relative_to(ROOT)}" for p in kernels.rglob("*.py")}
    assert kernels.is_dir() and "flowtorch/triton_kernels/__init__.py" in names
    assert {n for n in names if n.endswith(".py")} == expected
    others = {n for n in names if not n.endswith((".py", ".pyi", "py.typed"))}
    headers = {str(p.relative_to(ROOT)) for end in "ch" for p in (ROOT / "flowtorch").rglob(f"*.{end}")}
    data = {"path/torch-2.13.0.dist-info/METADATA", "torch_names.txt"}
    shipped = {f"flowtorch/shim/{name}" for name in data} | {"flowtorch/testing/difftest/explained.toml"}
    assert others == headers | shipped
    tops = {n.partition("/")[0] for n in names}
    assert tops == {"flowtorch"}, (
        "the folder triton_kernels must not land beside flowtorch: another package has it"
    )


def test_it_runs_away_from_the_repository(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import importlib.util, torch, flowtorch.triton_kernels\n"
        "assert importlib.util.find_spec('triton_kernels') is None\n"
        "print(torch.__file__, torch.ones(2).add(1).sum().item())"
    )
    done = subprocess.run(
        [sys.executable, "-m", "flowtorch", "run", "-c", code],
        cwd="/",
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    file, total = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path) and float(total) == 4.0


def test_nothing_heavy_is_imported():
    code = (
        "import sys, flowtorch\n"
        "heavy = {'torch', 'scipy', 'triton', 'cupy', 'ml_dtypes'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr

"""Every example gives the loss curve of PyTorch, step by step, from the same seed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STEPS = 50
# The curves are the same numbers but for the order of additions inside kernels.
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
# example -> options of a short run (no sampling at the end)
EXAMPLES = {
    "char_gpt": ["--sample", "0"],
    "mnist_cnn": [],
    "char_lstm": ["--sample", "0"],
    "vae": ["--sample", "0"],
    "autograd_tour": [],
}


def start(library, example, dtype, path, steps, options):
    script = ["-m", "flowtorch", "run"] if library == "flowtorch" else []
    script += [str(ROOT / "examples" / f"{example}.py"), "--steps", str(steps), "--dtype", dtype]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *script, "--log-losses", str(path), *options],
        env=env,
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=600,
    )


def losses(library, example, dtype, folder):
    path = folder / f"{library}.json"
    done = start(library, example, dtype, path, STEPS, EXAMPLES[example])
    assert done.returncode == 0, done.stderr[-3000:]
    ours = "+flowtorch." in done.stdout                       # the version: the name is torch for both
    assert ours == (library == "flowtorch"), "the wrong library answered to the name torch"
    return json.loads(path.read_text())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("example", EXAMPLES)
def test_loss_curve_is_that_of_torch(example, dtype, tmp_path):
    expected = losses("torch", example, dtype, tmp_path)
    got = losses("flowtorch", example, dtype, tmp_path)
    assert len(expected) == len(got) == STEPS
    assert min(expected[-5:]) < expected[0], "a reference that does not learn shows nothing"
    error = [abs(a - b) / abs(b) for a, b in zip(got, expected, strict=True)]
    worst = max(range(STEPS), key=error.__getitem__)
    assert error[worst] <= TOLERANCE[dtype], (
        f"step {worst}: {got[worst]!r} against {expected[worst]!r}, relative difference {error[worst]:.1e}; "
        f"first above the tolerance: {next(i for i, e in enumerate(error) if e > TOLERANCE[dtype])}"
    )


def test_the_gpt_learns_and_writes(tmp_path):
    path = tmp_path / "losses.json"
    sizes = {"layers": 1, "width": 32, "heads": 2, "context": 32, "batch": 8, "sample": 40}
    small = [f"--{name}={value}" for name, value in sizes.items()]
    done = start("flowtorch", "char_gpt", "float32", path, 60, small)
    assert done.returncode == 0, done.stderr[-3000:]
    curve = json.loads(path.read_text())
    assert sum(curve[-10:]) / 10 < 0.8 * curve[0]          # 0.76, as under torch
    assert len(done.stdout.partition("--- it writes ---\n")[2].rstrip("\n")) >= 30
    assert "step    60/60" in done.stdout


def test_every_example_is_tested():
    scripts = {p.stem for p in (ROOT / "examples").glob("*.py")} - {"common"}
    assert scripts == set(EXAMPLES)

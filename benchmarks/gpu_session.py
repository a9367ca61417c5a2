"""Everything that wants a GPU, in one command that fits into a few minutes of a borrowed machine.

    python benchmarks/gpu_session.py [--out FOLDER] [--seconds 560] [--stages NAME,...] [--replay SCRIPT] [--list]
    FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python benchmarks/gpu_session.py --dry-run --out FOLDER

The stages run one after the other, each a process with a time limit of its own, so that one that fails or hangs
costs no more than its share and the rest goes on. FOLDER/session.json says after each stage how it ended and how long
it took, FOLDER/log.txt what it printed. Called again with the same folder, what ended well is not repeated, and what
has not run yet, failed or was cut off is: on a machine where a command may take ten minutes, call it three times. The
exit status is 0 when all stages have ended well.

The kernels are compiled on all cores before anything is measured or checked. With --replay, a script that holds a
library against recorded results is run as well, with --device cuda.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORES = os.cpu_count() or 1
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Stage:
    """One or several commands, run side by side."""

    name: str
    seconds: float
    """The time limit; a stage is not begun when less than a third of it is left."""
    commands: Callable[[Path, float], list[list[str]]]
    """Made from the folder of the results and the seconds that the stage has."""
    environment: dict[str, str]
    dry: bool = True
    """Whether the stage has a meaning without a GPU."""


SMOKE = """
import flowtorch as ft
F = ft.nn.functional
print(ft.cuda.get_device_properties())
x, w = ft.randn(64, 64, device="cuda"), ft.randn(64, 64, device="cuda", requires_grad=True)
for call in (lambda: x + w, lambda: x.sum(1), lambda: x.softmax(1), lambda: x @ w, lambda: F.layer_norm(w, (64,)),
             lambda: x.sort(1)[0], lambda: x.cumsum(0), lambda: x.t().contiguous(), lambda: x[x > 0],
             lambda: (x.bfloat16() @ w.bfloat16()).float(),
             lambda: F.conv2d(x.view(1, 1, 64, 64), w[:3, :3][None, None])):
    there = call()
    x, w = x.cpu(), w.detach().cpu().requires_grad_()
    here = call()
    x, w = x.cuda(), w.detach().cuda().requires_grad_()
    assert (there.cpu() - here).abs().max() < 0.05 * (1 + here.abs().max()), call
(F.gelu(x @ w)).sum().backward()
print("gradient", w.grad.abs().mean().item())
if ft.cuda.cupy() is not None:
    y, graph = x * 2, ft.cuda.CUDAGraph()
    with ft.cuda.graph(graph):
        y = x * 2
    x.fill_(3)
    graph.replay()
    assert (y == 6).all()
print("peak", ft.cuda.max_memory_allocated())
"""


def architecture() -> str:
    """The device's, e.g. "sm_90"."""
    import flowtorch

    major, minor = flowtorch.cuda.get_device_capability()
    return f"sm_{major}{minor}"


def python(*arguments: object) -> list[str]:
    """A command of this Python."""
    return [sys.executable, *map(str, arguments)]


def compilation(out: Path, seconds: float) -> list[list[str]]:
    """As many processes as there are cores, each with its share of all functions."""
    count = max(1, CORES - 1)
    own = python("benchmarks/aot.py", "--registry", "--targets", architecture(), "--keep", "--part")
    return [[*own, f"{k}/{count}"] for k in range(count)]


def measured(*parts: str) -> Callable[[Path, float], list[list[str]]]:
    """Parts of benchmarks/gpu.py."""
    return lambda out, seconds: [
        python("benchmarks/gpu.py", "--parts", ",".join(parts), "--budget", seconds - 30, "--json", out / "gpu.json",
               *(["--dry-run"] if DRY in os.environ else []))
    ]  # fmt: skip


def stages(replay: str | None) -> list[Stage]:
    """What is to be done, the most telling first."""
    jobs = min(CORES, 6)
    gpu = {"FLOWTORCH_TEST_GPU": "1"}
    aside = {"FLOWTORCH_CUDA": "interpret"}
    found = [
        Stage("smoke", 90, lambda out, seconds: [python("-c", SMOKE)], {}),
        Stage("overhead", 60, measured("overhead"), {}),
        Stage("compilation", 240, compilation, aside, dry=False),
        Stage("calls", 180, measured("calls"), {}),
        Stage("training", 240, measured("training"), {}),
        Stage("tests", 240, lambda out, seconds: [
            python("-m", "pytest", "-q", "-n", jobs, "-p", "no:cacheprovider", *sorted(
                str(path) for path in (ROOT / "tests/gpu_kernels").glob("test_interpret_*.py")))], gpu, dry=False),
        Stage("difftest", 420, lambda out, seconds: [
            python("-m", "flowtorch", "difftest", "ops", "--candidate", "flowtorch-cuda", "--reference", "flowtorch",
                   "-j", jobs, "--ledger", out / "difftest.json")], {}, dry=False),
        Stage("tuning", 200, lambda out, seconds: [
            python("-m", "flowtorch", "tune", "--dtypes", "bfloat16,float32", "--out", out / "tuned.py")],
            {}, dry=False),
    ]  # fmt: skip
    if replay:
        script = Path(replay).resolve()
        found.insert(6, Stage("replay", 300, lambda out, seconds: [
            python(script, "--device", "cuda", "-j", jobs, "--json", out / "replay.json")], {}, dry=False))  # fmt: skip
    return found


DRY = "FLOWTORCH_GPU_SESSION_DRY"


def run(stage: Stage, out: Path, seconds: float) -> dict:
    """Run a stage's commands for at most `seconds`; how it ended."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **stage.environment}
    with (out / "log.txt").open("ab") as log:
        log.write(f"\n== {stage.name}\n".encode())
        log.flush()
        running = [
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
            for command in stage.commands(out, seconds)
        ]
        codes = []
        for process in running:
            try:
                codes.append(process.wait(max(0.1, started + seconds - time.monotonic())))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # its own session: workers of its own go with it
                codes.append(process.wait())
    late = time.monotonic() - started >= seconds
    ended = "cut off" if late and any(codes) else "failed" if any(codes) else "done"
    return {"ended": ended, "codes": codes, "seconds": round(time.monotonic() - started, 1)}


def main(argv: list[str] | None = None) -> int:
    """Run what has not ended well yet; 0 when everything has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "session")
    parser.add_argument("--seconds", type=float, default=560)
    parser.add_argument("--stages", default="")
    parser.add_argument("--replay")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(argv)
    names = options.stages.split(",") if options.stages else [stage.name for stage in stages(options.replay)]
    chosen = [stage for stage in stages(options.replay) if stage.name in names]
    if options.list:
        print("\n".join(f"{stage.name:12} at most {stage.seconds:.0f} s" for stage in chosen))
        return 0
    if options.dry_run:
        os.environ[DRY] = "1"
        chosen = [stage for stage in chosen if stage.dry]
    end = time.monotonic() + options.seconds
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "session.json"
    state = json.loads(path.read_text()) if path.exists() else {}
    for stage in chosen:
        if state.get(stage.name, {}).get("ended") == "done":
            continue
        left = end - time.monotonic() - 5
        if left < stage.seconds / 3:
            print(f"{stage.name:12} waits: {left:.0f} s are left")
            continue
        try:
            state[stage.name] = run(stage, options.out, min(left, stage.seconds))
        except Exception as error:  # whatever is wrong with a stage, the others go on
            state[stage.name] = {"ended": "failed", "error": f"{type(error).__name__}: {error}"}
        path.write_text(json.dumps(state, indent=1) + "\n")
        print(f"{stage.name:12} {state[stage.name]}", flush=True)
    missing = [stage.name for stage in chosen if state.get(stage.name, {}).get("ended") != "done"]
    print("all done" if not missing else f"not done: {', '.join(missing)}; call again to go on")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())

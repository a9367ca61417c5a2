"""The benchmarks for a GPU run once with tiny sizes, so that they still run when there is one.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_benchmarks.py
"""

import importlib.util
import json
import sys
from pathlib import Path

import flowtorch as ft

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_that_is_measured_runs(tmp_path):
    path = tmp_path / "results.json"
    loaded("gpu").main(["--dry-run", "--json", str(path)])
    found = json.loads(path.read_text())["cases"]
    assert len(found) > 25 and not any("error" in key for row in found.values() for key in row)
    assert {"copy", "matmul float32", "overhead of add (host)", "GPT-2 small bfloat16, eager"} <= set(found)


def test_a_session_records_failures_and_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    session = loaded("gpu_session")
    ran = tmp_path / "ran"

    def stage(name, code, seconds=20.0):
        text = f"open({str(ran)!r}, 'a').write({name!r} + ' '); {code}"
        return session.Stage(name, seconds, lambda out, left: [session.python("-c", text)] * 2, {})

    def broken(out, seconds):
        raise OSError("no such device")

    made = [
        stage("one", "pass"), stage("two", "raise SystemExit(3)"), stage("three", "import time; time.sleep(60)", 1.0),
        session.Stage("four", 20.0, broken, {}), stage("five", "print('said')"),
    ]  # fmt: skip
    monkeypatch.setattr(session, "stages", lambda replay: made)
    assert session.main(["--out", str(tmp_path / "out")]) == 1
    state = json.loads((tmp_path / "out" / "session.json").read_text())
    assert [state[s.name]["ended"] for s in made] == ["done", "failed", "cut off", "failed", "done"]
    assert state["two"]["codes"] == [3, 3] and "no such device" in state["four"]["error"]
    assert "said" in (tmp_path / "out" / "log.txt").read_text()
    assert "not done: two, three, four" in capsys.readouterr().out
    before = ran.read_text()
    made[1:4] = [stage("two", "pass"), stage("three", "pass"), stage("four", "pass")]
    assert session.main(["--out", str(tmp_path / "out"), "--seconds", "6"]) == 1  # too little for anything
    assert ran.read_text() == before
    assert session.main(["--out", str(tmp_path / "out")]) == 0
    assert sorted(ran.read_text()[len(before) :].split()) == ["four", "four", "three", "three", "two", "two"]


def test_the_stages_of_a_session_fit_and_exist():
    session = loaded("gpu_session")
    found = {stage.name: stage for stage in session.stages("replay.py")}
    assert sum(stage.seconds for stage in found.values()) < 35 * 60
    assert {"smoke", "compilation", "calls", "training", "tests", "difftest", "replay", "tuning"} <= set(found)
    for stage in found.values():
        if stage.name != "compilation":
            (command,) = stage.commands(Path("out"), 100.0)
            assert (session.ROOT / command[1]).exists() or command[1] in ("-m", "-c") or stage.name == "replay"


def test_models_learn():
    models = loaded("gpu_models")
    for name, make in models.steps(ft, models.TINY).items():
        ft.manual_seed(0)
        step = make("float32")
        losses = [step().item() for _ in range(4)]
        assert losses[-1] < losses[0], name

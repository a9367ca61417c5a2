"""Programs in lockstep: the first call that adds an error is named, with its line, whatever the other differences."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).with_name("faults.py")
PROGRAM = """
import sys
import torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
x = torch.randn(5, 6)
for step in range(2):
    h = model(x)
    EXTRA
    p = torch.softmax(h, dim=-1)
    loss = -(p[:, 0] + 1e-3).log().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def run(script, *options, fault="", args=(), against="torch"):
    """Return (exit status, analysis, what was printed)."""
    result = Path(script).with_suffix(".analysis.json")
    argv = ["run", "--against", str(against), "--json", str(result), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if fault:
        argv += ["--preload", str(FAULTS)]
        environment["DIFFTEST_FAULT"] = fault
    done = subprocess.run(
        [sys.executable, "-m", "flowtorch", "difftest", *argv, str(script), *args],
        env=environment, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(result.read_text()), done.stdout


def write(folder, extra="pass"):
    path = folder / "program.py"
    path.write_text(PROGRAM.replace("EXTRA", extra))
    return path


def recorded(script, folder, args=()):
    """Record a script on torch."""
    argv = [sys.executable, "-m", "flowtorch", "difftest", "record", "-o", str(folder), str(script), *args]
    subprocess.run(argv, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    return folder


def preloaded(folder, op, change):
    """Write a file that changes what an op gives; return its name."""
    path = folder / "preload.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(FAULTS.parent)!r})\nimport faults\nimport numpy as np\n"
        f"faults.out('test', {op!r}, lambda a, v: {change}, 'test')\n"
        "planted = faults.FAULTS['test'][2]()\nplanted.__enter__()\n"
    )
    return str(path)


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """The program as torch ran it."""
    folder = tmp_path_factory.mktemp("recorded")
    return recorded(write(folder), folder / "dump")


def line_of(path, text):
    return next(n for n, line in enumerate(path.read_text().split("\n"), 1) if text in line)


def test_a_correct_program_agrees(tmp_path):
    status, analysis, text = run(write(tmp_path))
    assert status == 0 and analysis["first"] is None, text
    assert analysis["paired"] > 20 and {s["phase"] for s in analysis["steps"]} == {"forward", "backward", "optimizer"}


@pytest.mark.parametrize(
    ("fault", "phase", "name", "text"),
    [
        ("_softmax: does not add up to one", "forward", "softmax", "torch.softmax"),
        ("tanh gradient: slightly off", "backward", "tanh", "h = model(x)"),
        ("linear gradient: of the bias", "backward", "linear", "h = model(x)"),
        ("mean: divides by one more", "forward", "mean", "loss = "),
    ],
)
def test_a_fault_is_found_where_it_is(tmp_path, dump, fault, phase, name, text):
    path = write(tmp_path)
    status, analysis, printed = run(path, fault=fault, against=dump)
    first = analysis["first"]
    assert status == 1
    assert (first["phase"], first["name"], first["line"]) == (phase, name, line_of(path, text)), printed


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ("h = -h", "neg"),
        ("h = h.flip(0)", "flip"),
        ("h = h[:, [1, 0, 3, 2]]", "getitem"),
        ("h = h * 1.01", "mul"),
    ],
)
def test_an_extra_call_is_named(tmp_path, dump, extra, name):
    path = write(tmp_path, extra)
    _, analysis, printed = run(path, against=dump)
    first = analysis["first"]
    assert (first["name"], first["line"]) == (name, line_of(path, extra)), printed


def test_a_call_that_only_the_other_side_makes_is_named(tmp_path):
    there = recorded(write(tmp_path, "h = h * 1.01"), tmp_path / "dump")
    _, analysis, _ = run(write(tmp_path), against=there)
    first = analysis["first"]
    assert (first["name"], first["text"], first["kind"]) == (
        "mul",
        "h = h * 1.01",
        "a call that only the other side makes",
    )


def test_harmless_extra_calls_shift_nothing(tmp_path, dump):
    path = write(tmp_path, "h = (h.clone() + 0.0).view(-1).view(5, 4)")
    status, analysis, printed = run(path, against=dump)
    assert status == 0, printed
    assert analysis["events"][0] != analysis["events"][1]


def test_what_is_overwritten_says_nothing(tmp_path):
    """New memory holds anything: what another tensor holds on one side, say, and infinities on the other."""
    extra = (
        "k = torch.ones(4) + 1; z = torch.empty(4); z.numpy()[:] = {}; z.zero_(); "
        "u = torch.empty(4); u.numpy()[:] = {}; u.uniform_(); h = (h + z) * u"
    )
    there = recorded(write(tmp_path, extra.format("float('inf')", "0.0")), tmp_path / "dump")
    status, _, printed = run(write(tmp_path, extra.format("2.0", "float('inf')")), against=there)
    assert status == 0, printed


@pytest.mark.parametrize("change", ["-a", "a[::-1].copy()", "a[..., ::-1].copy()"])
def test_an_intermediate_of_equal_norm_is_no_equal_intermediate(tmp_path, dump, change):
    preload = preloaded(tmp_path, "tanh", change)
    _, analysis, printed = run(write(tmp_path), "--preload", preload, against=dump)
    assert (analysis["first"]["name"], analysis["first"]["module"]) == ("tanh", "1"), printed


def test_against_the_oracle_and_numpy(tmp_path):
    path = write(tmp_path)
    assert run(path, against="oracle")[0] == 0
    preload = preloaded(tmp_path, "_softmax", "a.astype(np.float16).astype(a.dtype) if a.dtype == np.float32 else a")
    assert run(path, "--preload", preload, against="oracle")[1]["first"]["name"] == "softmax"
    assert run(path, against="numpy")[0] == 0


def test_a_program_keeps_its_lines_in_a_folder_named_like_a_library(tmp_path):
    path = tmp_path / "flowtorch" / "torch" / "program.py"
    path.parent.mkdir(parents=True)
    path.write_text("import torch\n\n\ndef part(x):\n    return x.exp() * 2\n\n\npart(torch.ones(3))\n")
    _, analysis, _ = run(path, against="oracle")
    assert [s["line"] for s in analysis["steps"]] == [8, 5, 5]


def test_the_origin_of_nan_is_named(tmp_path):
    path = tmp_path / "program.py"
    path.write_text("import torch\nx = torch.arange(4.0) - 1\ny = x.abs()\nz = x.log()\nw = z + y\nw.sum()\n")
    _, analysis, printed = run(path, against="oracle")
    assert analysis["not_finite"] == {"name": "log", "line": 4, "what": "nan"}
    assert "the first nan: log at program.py:4" in printed


SIZES = {"steps": 2, "layers": 2, "width": 16, "heads": 2, "context": 8, "batch": 2, "sample": 0}
GPT = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def gpt(tmp_path_factory):
    """The example, and a recording of it on torch."""
    folder = tmp_path_factory.mktemp("gpt")
    for name in ("char_gpt.py", "common.py"):
        (folder / name).write_text((ROOT / "examples" / name).read_text())
    (folder / "data").symlink_to(ROOT / "examples" / "data")
    recorded(folder / "char_gpt.py", folder / "dump", GPT)
    return folder


def test_a_small_gpt_trains_as_on_torch(gpt):
    status, _, printed = run(gpt / "char_gpt.py", against=gpt / "dump", args=GPT)
    assert status == 0, printed


@pytest.mark.parametrize(
    ("fault", "phase", "name", "module", "text"),
    [
        (
            "attention: columns permuted",
            "forward",
            "scaled_dot_product_attention",
            "blocks.0.attention",
            "F.scaled_dot",
        ),
        ("linear: bias forgotten", "forward", "linear", "blocks.0.attention.qkv", "for part in self.qkv(x)"),
    ],
)
def test_one_planted_fault_in_a_small_gpt(gpt, fault, phase, name, module, text):
    path = gpt / "char_gpt.py"
    folder = gpt / f"failures {name}"
    _, analysis, printed = run(path, "--database", str(folder), against=gpt / "dump", args=GPT, fault=fault)
    first = analysis["first"]
    found = (first["phase"], first["name"], first["module"], first["line"])
    assert found == (phase, name, module, line_of(path, text)), printed
    (script,) = folder.glob("*.py")  # the call alone runs with either library, and is small
    assert f"torch.nn.functional.{name}(" in analysis["script"] and len(analysis["script"].split("\n")) <= 14
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    outputs = [
        subprocess.run([sys.executable, script, library], capture_output=True, text=True, cwd=ROOT, env=environment)
        for library in ("torch", "flowtorch")
    ]
    assert not any(o.returncode for o in outputs) and all("tensor(" in o.stdout for o in outputs)
    _, _, printed = run(path, "--database", str(folder), against=gpt / "dump", args=GPT)
    assert f"failed before: nn.functional.{name}" in printed and "mended" in printed and not list(folder.iterdir())


def test_one_planted_fault_in_the_example_as_it_stands():
    """What docs/difftest_porting.md shows: no arguments, full size."""
    page = (ROOT / "docs" / "difftest_porting.md").read_text()
    shown = next(x for x in page.split("\n") if x.startswith("first divergence"))
    argv = [sys.executable, "-m", "flowtorch", "difftest", "run", "--preload", str(FAULTS), "--limit", "500"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DIFFTEST_FAULT": "_layer_norm gradient: slightly off"}
    before = os.times()
    done = subprocess.run([*argv, "examples/char_gpt.py"], cwd=ROOT, env=environment, capture_output=True, text=True)
    after = os.times()
    assert done.returncode == 1 and shown in done.stdout.split("\n"), done.stdout + done.stderr
    assert "in norm at char_gpt.py:72: logits = self.head(self.norm(x))" in shown
    assert "torch.nn.functional.layer_norm(x0, (2,), x1, x2, 1e-05)" in done.stdout
    assert after.children_user - before.children_user < 60


def test_programs_that_seed_nothing_draw_the_same_numbers(tmp_path):
    path = tmp_path / "program.py"
    path.write_text("import random\nimport torch\nx = torch.randn(3, 4)\ny = torch.rand(3) * random.random()\n")
    status, analysis, printed = run(path)
    assert status == 0 and analysis["paired"] == 3, printed


def test_a_program_that_fails_is_compared_up_to_there(tmp_path):
    path = tmp_path / "program.py"
    path.write_text("import torch\nx = torch.ones(2).exp()\nassert x.sum() < 1, 'too large'\n")
    status, analysis, printed = run(path, against="oracle")
    assert status == 1 and analysis["first"] is None and analysis["paired"] == 4
    assert "ended early on flowtorch: AssertionError: too large" in printed


def test_a_program_is_stopped_where_enough_is_recorded(tmp_path):
    path = tmp_path / "program.py"
    path.write_text("import torch\nx = torch.ones(100, 100)\nwhile True:\n    x = x * 1.5 + 1\n")
    for option, count in (("--limit", "20"), ("--memory", "1")):
        status, analysis, _ = run(path, option, count, against="oracle")
        assert status == 0 and 18 <= analysis["paired"] <= 30


def test_the_optimizer_is_compared_too(gpt, tmp_path):
    preload = tmp_path / "preload.py"
    preload.write_text(
        "import torch\nstep = torch.optim.AdamW.step\n"
        "def heavier(self, *args):\n    for g in self.param_groups:\n        g['weight_decay'] *= 2\n"
        "    result = step(self, *args)\n    for g in self.param_groups:\n        g['weight_decay'] /= 2\n"
        "    return result\ntorch.optim.AdamW.step = heavier\n"
    )
    path = gpt / "char_gpt.py"
    _, analysis, printed = run(path, "--preload", str(preload), against=gpt / "dump", args=GPT)
    first = analysis["first"]
    assert (first["phase"], first["name"], first["line"]) == (
        "optimizer",
        "AdamW",
        line_of(path, "optimizer.step()"),
    ), printed


def test_a_recording_survives_its_file(tmp_path):
    from flowtorch.testing.difftest.trace import Event, Trace

    trace = Trace("torch")
    event = Event("forward", "exp", ["a"], ["b"], ("f.py", 3, "y = x.exp()"), "block")
    event.of, event.grads = [[0, 1]], {(1, 0): "c", (2, -1): "d"}
    trace.events.append(event)
    trace.values["a"], trace.dtypes["a"] = np.arange(3.0), "float64"
    trace.save(tmp_path)
    again = Trace.load(tmp_path)
    assert again.events[0].as_json() == event.as_json() and again.values["a"].tolist() == [0, 1, 2]

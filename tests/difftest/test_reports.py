"""Cross-reference mode, the pytest plugin, the reports, and packs that numpy alone replays."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import flowtorch
from flowtorch.testing import difftest
from flowtorch.testing.difftest.cli import main
from flowtorch.testing.difftest.measure import Measure
from flowtorch.testing.difftest.report_html import histogram

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def planted(op, change):
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        import faults
    finally:
        sys.path.pop(0)
    faults.out("test", op, change, "test")
    return faults.FAULTS.pop("test")[2]()


def some_program():
    x = flowtorch.linspace(-2, 2, 12).reshape(3, 4).requires_grad_()
    y = flowtorch.nn.functional.softplus(x @ x.t()).sum(dim=-1, keepdim=True)
    y[0] += 1
    return (y.sigmoid() + x.tanh()[:, :1]).mean()


def test_every_call_inside_is_made_on_the_reference_too():
    with difftest.crossref("torch") as cross:
        some_program()
    assert {"nn.functional.softplus", "Tensor.sigmoid", "sigmoid"} & set(cross.calls) and not cross.found
    assert sum(cross.calls.values()) >= 8


def test_functions_of_one_name_are_not_taken_for_each_other():
    x, functional = flowtorch.randn(2, 3, 4), flowtorch.nn.functional
    with difftest.crossref("torch") as cross:
        functional.batch_norm(x, None, None, training=True)
        functional.kl_div(x, x.softmax(-1), reduction="batchmean")
        functional.unfold(x[None], 2)
        x.unfold(1, 2, 1).double()
        functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5)  # draws
    names = {n.rpartition("functional.")[2] for n in cross.calls if "functional" in n}
    assert {"batch_norm", "kl_div", "unfold"} <= names and "scaled_dot_product_attention" not in names
    assert cross.calls["Tensor.unfold"] == 1


def test_an_oracle_says_nothing_about_dtypes():
    with difftest.crossref("oracle") as cross:
        some_program()
    assert not cross.found and sum(cross.calls.values()) >= 8


def test_a_fault_is_reported_where_it_is_made_and_not_in_what_follows():
    with planted("tanh", lambda a, v: a * 1.001), difftest.crossref("torch", raises=False) as cross:
        some_program()
    assert len(cross.found) == 1 and cross.found[0].verdict == "wrong" and "tanh" in str(cross.found[0])
    assert "torch.tanh(x0)" in cross.found[0].script
    with (
        pytest.raises(difftest.DifferenceFound, match="tanh"),
        planted("tanh", lambda a, v: a * 1.001),
        difftest.crossref("torch"),
    ):
        some_program()


def test_the_calls_of_a_program_become_samples():
    with difftest.capture() as captured:
        some_program()
    sample = captured.samples["nn.functional.softplus"][0]
    assert sample.arrays()[0].values.shape == (3, 3)
    assert difftest.check("nn.functional.softplus", samples=captured.samples["nn.functional.softplus"]).ok


def test_errors_pass_through_and_are_compared():
    with difftest.crossref("torch") as cross, pytest.raises(RuntimeError):
        flowtorch.ones(2, 3) @ flowtorch.ones(2, 3)
    assert not cross.found


def test_the_plugin_makes_a_test_suite_differential(tmp_path):
    (tmp_path / "test_sample.py").write_text(
        "import flowtorch\n\n"
        "def test_right():\n    assert flowtorch.ones(3).exp().sum() > 0\n\n"
        "def test_wrong():\n    assert flowtorch.nn.functional.gelu(flowtorch.tensor([-9.0])) <= 0\n"
    )
    report = tmp_path / "found.json"
    argv = ["-p", "flowtorch.testing.difftest.pytest_plugin", "--difftest-crossref=oracle", "-p", "no:cacheprovider"]
    argv += [f"--difftest-report={report}", "-q", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "pytest", *argv], env=ENVIRONMENT, capture_output=True, text=True)
    assert "functions compared" in done.stdout, done.stdout + done.stderr
    assert {name.rpartition(".")[2] for name in json.loads(report.read_text())["calls"]} >= {"exp", "sum", "gelu"}
    plain = subprocess.run(
        [sys.executable, "-m", "pytest", *argv[:2], "-q", str(tmp_path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert plain.returncode == 0 and "compared" not in plain.stdout


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.links = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href")]


def test_the_report_stands_alone(tmp_path):
    path = tmp_path / "report.html"
    main(["ops", "median", "exp", "nn.functional.gelu", "-j1", "--html", str(path)])
    text, tags = path.read_text(), Tags()
    tags.feed(text)
    assert not tags.links and "http" not in text.replace("http-equiv", "")
    assert text.count("<tr data-v=") == 3 and text.count('class="numbers"') == 3
    assert "svg" in tags.seen and "prefers-color-scheme: dark" in text
    assert "nn.functional.gelu" in text and "reference worse" in text


def test_the_report_gives_the_reasons(tmp_path):
    path = tmp_path / "report.html"
    main(["ops", "conj", "exp", "-j1", "--variants", "values", "--html", str(path)])
    text = path.read_text()
    assert "there are no lazy views of them" in text and '<button data-v="explained">explained <b>1</b>' in text
    assert text.count('data-e="1"') == 1


def test_a_histogram_keeps_the_sides_apart():
    m = Measure()
    m.add(np.array([0.0, 0.7, -3.0, 1e9]), np.ones(4), np.ones(4))
    middle = len(m.histogram) // 2
    assert m.histogram[middle] == 1 and m.histogram[:middle].sum() == 1 and m.histogram[middle + 1 :].sum() == 2
    assert histogram(m).count("<rect") == 4


def test_a_run_has_a_report_too(tmp_path):
    script, path = tmp_path / "program.py", tmp_path / "run.html"
    script.write_text("import torch\nx = torch.arange(6.0) + 1\nfor _ in range(4):\n    x = x.sqrt() * 2\n")
    argv = [
        sys.executable,
        "-m",
        "flowtorch",
        "difftest",
        "run",
        "--against",
        "oracle",
        "--html",
        str(path),
        str(script),
    ]
    assert subprocess.run(argv, env=ENVIRONMENT, cwd=ROOT).returncode == 0
    assert "First divergence" in path.read_text() and "polyline" in path.read_text()


BACKEND = """
import numpy as np
def run(name, args, kwargs):
    if name != "exp" or kwargs or args[0].dtype not in ("float32", "float64"):
        raise NotImplementedError
    return [np.exp(args[0].values) FAULT]
"""


def test_a_pack_is_replayed_with_numpy_alone(tmp_path, capsys):
    folder = tmp_path / "pack"
    assert main(["export", str(folder), "exp", "sum", "nn.functional.gelu"]) == 0
    assert main(["run", "--pack", str(folder)]) == 0
    assert main(["run", "--pack", str(folder), "--candidate", "torch"]) == 0
    text = capsys.readouterr().out
    assert "wrong" not in text and "samples of 3 functions" in text
    for fault, status in (("", 0), ("* 1.001", 1)):
        (tmp_path / "backend.py").write_text(BACKEND.replace("FAULT", fault))
        blocked = "import sys; sys.modules['flowtorch'] = sys.modules['torch'] = None; import runpy; "
        blocked += f"sys.argv = ['replay.py', {str(tmp_path / 'backend.py')!r}]; "
        blocked += f"runpy.run_path({str(folder / 'replay.py')!r}, run_name='__main__')"
        done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr


def test_nothing_of_this_loads_with_flowtorch():
    code = "import flowtorch, sys; assert not [m for m in sys.modules if 'difftest' in m or m == 'hypothesis']"
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True)

"""Names that programs probe or import: what is there works, what is not is told truthfully."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import flowtorch
from flowtorch import doctor, support
from flowtorch.torch_version import TorchVersion

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments, code=None):
    given = ["run", "-c", code] if code is not None else arguments
    return subprocess.run([sys.executable, "-m", "flowtorch", *given], capture_output=True, text=True, cwd=ROOT)


def test_the_version_is_pytorchs_with_our_own_behind_it():
    from importlib.metadata import version

    assert flowtorch.__version__ == f"{version('torch').partition('+')[0]}+flowtorch.{flowtorch.version.flowtorch}"
    assert flowtorch.__version__ >= (2, 13) and flowtorch.__version__ < "2.14"
    text = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{flowtorch.version.flowtorch}"' in text


VERSIONS = [
    "2.13.0",
    "2.13.0+cpu",
    "2.13.0a0",
    "2.13.0.dev2",
    "2.12",
    "2.13",
    "1.0rc1",
    "1.0.post1",
    "3",
    "no version",
]


@pytest.mark.parametrize("left", VERSIONS)
def test_versions_compare_as_pytorchs_do(left):
    from torch.torch_version import TorchVersion as Reference

    for right in [*VERSIONS, (2, 13), (2, "14")]:
        for name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"):
            assert getattr(TorchVersion(left), name)(right) == getattr(Reference(left), name)(right), (
                name,
                right,
            )


def test_an_unguarded_import_of_what_is_absent_gives_a_stand_in_that_refuses_use():
    done = run(
        code="from torch.distributed.pipelining import ScheduleGPipe as F\n"
        "import torch, torch.distributed.rpc\n"
        "assert not isinstance(torch.nn.Linear(1, 1), F) and issubclass(F, object)\n"
        "assert not hasattr(torch.distributed, 'all_reduce') and not hasattr(torch.fx, 'minimizer')\n"
        "F(None)"
    )
    assert "NotSupported: torch.distributed.pipelining.ScheduleGPipe was called" in done.stderr
    assert "imported at <string>:1" in done.stderr and "is_available" in done.stderr


def test_who_asks_is_told_that_a_name_is_absent():
    done = run(
        code="import importlib, importlib.util, torch\n"
        "assert importlib.util.find_spec('torch.distributed.pipelining') is None\n"
        "for name in ('torch.distributed.pipelining', 'torch.nonsense'):\n"
        "    try: importlib.import_module(name); raise SystemExit(name)\n"
        "    except ModuleNotFoundError as error: assert name in str(error)\n"
        "try:\n    from torch.export import export\n    raise SystemExit('export')\n"
        "except ImportError: pass\n"
        "try:\n    import torch.onnx.symbolic_opset9\n    raise SystemExit('onnx')\n"
        "except ImportError: pass\n"
        "print('told')"
    )
    assert done.stdout == "told\n", done.stderr
    assert "cannot import name 'nonsense'" in run(code="from torch import nonsense").stderr


def test_scripted_and_traced_code_is_the_code_itself():
    def double(x):
        return x * 2

    jit = flowtorch.jit
    assert jit.script(double) is double and jit.trace(double, (flowtorch.ones(1),)) is double
    assert jit.ignore(double) is double and jit.ignore(drop=True)(double) is double and jit.unused(double) is double
    assert not jit.is_scripting() and not jit.is_tracing()
    assert jit.wait(jit.fork(double, 4)) == 8
    with pytest.raises(ValueError, match="inside"):
        jit.wait(jit.fork(lambda: (_ for _ in ()).throw(ValueError("inside"))))
    with pytest.raises(NotImplementedError, match="state_dict"):
        jit.save(flowtorch.nn.Linear(1, 1), "somewhere")
    for value, kind in [
        ([1], list[int]),
        ([1, "a"], list[int]),
        ((1, 2), tuple[int, int]),
        (1, (int, str)),
        (None, int | None),
    ]:
        assert jit.isinstance(value, kind) == torch.jit.isinstance(value, kind)


@pytest.mark.parametrize("name", ["_check", "_check_index", "_check_value", "_check_type", "_check_not_implemented"])
def test_checks_raise_what_pytorchs_raise(name):
    for arguments in [(True,), (False,), (False, lambda: "why"), (False, "text"), (1,)]:
        outcomes = []
        for lib in (flowtorch, torch):
            try:
                outcomes.append(getattr(lib, name)(*arguments))
            except Exception as error:
                outcomes.append((type(error), str(error) if "Expected cond" not in str(error) else "unsaid"))
        assert outcomes[0] == outcomes[1]


def test_custom_operators_have_kernels_shapes_and_gradients():
    @flowtorch.library.custom_op("probing::scaled_sine", mutates_args=())
    def scaled_sine(x: flowtorch.Tensor, scale: float = 1.0) -> flowtorch.Tensor:
        return x.sin() * scale

    scaled_sine.register_autograd(
        lambda ctx, g: (g * ctx.scale * ctx.saved_tensors[0].cos(), None),
        setup_context=lambda ctx, inputs, output: (
            ctx.save_for_backward(inputs[0]),
            setattr(ctx, "scale", inputs[1]),
        ),
    )
    x = flowtorch.tensor([0.5, 1.0], dtype=flowtorch.float64, requires_grad=True)
    assert flowtorch.autograd.gradcheck(lambda x: scaled_sine(x, 3.0), (x,))
    assert flowtorch.equal(flowtorch.ops.probing.scaled_sine(x, scale=2.0), x.sin() * 2)
    assert str(flowtorch.ops.probing.scaled_sine.default) == "probing.scaled_sine.default"
    assert not hasattr(flowtorch.ops.probing, "other")

    @torch.library.custom_op("probing::schema_of", mutates_args={"b"})
    def schema_of(a: torch.Tensor, b: torch.Tensor, n: int, r: float | None = None) -> torch.Tensor:
        return a.clone()

    def mine(a: flowtorch.Tensor, b: flowtorch.Tensor, n: int, r: float | None = None) -> flowtorch.Tensor:
        return a.clone()

    theirs = str(schema_of._opoverload._schema).replace("probing::schema_of", "")
    assert flowtorch.library.infer_schema(mine, mutates_args={"b"}).replace("a1!", "a!").replace(" ", "") in (
        theirs.replace("a1!", "a!").replace("a0!", "a!").replace(" ", ""),
    )
    with pytest.raises(ValueError, match="annotation"):
        flowtorch.library.infer_schema(lambda x: x, mutates_args=())


def test_the_profiler_sees_calls_and_ranges(tmp_path):
    steps = []
    plan = flowtorch.profiler.schedule(wait=1, warmup=1, active=2, repeat=1)
    names = [plan(i).name for i in range(6)]
    assert names == [torch.profiler.schedule(wait=1, warmup=1, active=2, repeat=1)(i).name for i in range(6)]
    with flowtorch.profiler.profile(schedule=plan, on_trace_ready=lambda p: steps.append(len(p.events()))) as prof:
        for _ in range(6):
            with flowtorch.profiler.record_function("part"):
                flowtorch.ones(3).exp().sum()
            prof.step()
    averages = {e.key: e for e in prof.key_averages()}
    assert len(steps) == 1 and averages["part"].count == 2 and averages["aten::exp"].count == 2
    assert averages["part"].cpu_time_total >= averages["aten::exp"].cpu_time_total > 0
    assert "aten::exp" in prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=10)
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert {"part", "aten::exp"} <= {e["name"] for e in trace["traceEvents"]}


def test_futures_call_back_and_are_completed_once():
    futures = [flowtorch.futures.Future() for _ in range(2)]
    doubled = futures[0].then(lambda f: f.value() * 2)
    together = flowtorch.futures.collect_all(futures)
    futures[0].set_result(3)
    assert doubled.wait() == 6 and not together.done()
    futures[1].set_exception(KeyError("x"))
    assert together.done()
    with pytest.raises(KeyError):
        flowtorch.futures.wait_all(futures)
    with pytest.raises(RuntimeError, match="completed"):
        futures[0].set_result(4)


def test_storages_become_tensors_over_the_same_memory():
    for lib in (flowtorch, torch):
        storage = lib.UntypedStorage(8)
        for i in range(8):
            storage[i] = i
        t = lib.asarray(storage[2:6], dtype=lib.uint8)
        assert t.tolist() == [2, 3, 4, 5]
        whole = lib.asarray(storage, dtype=lib.uint8)
        whole[0] = 9
        assert storage[0] == 9


def test_the_doctor_names_what_is_needed_and_absent(tmp_path):
    script = tmp_path / "needs.py"
    script.write_text(
        "import torch, torch.nn.functional as F\nfrom torch import nn\n"
        "x = F.relu(torch.ones(3)); nn.Linear(1, 1)\n"
        "def later(): return torch.distributed.all_reduce(x)\n"
        "try:\n    from torch.export import export\nexcept ImportError:\n    pass\n"
        "compiled = torch.compile(later)\n"
    )
    found = {f.name: f for f in doctor.examine([script])}
    assert (
        found["torch.distributed.all_reduce"].status == support.ABSENT and found["torch.distributed.all_reduce"].needed
    )
    assert found["torch.distributed.all_reduce"].places == [f"{script}:4"]
    assert found["torch.export.export"].status == support.ABSENT and not found["torch.export.export"].needed
    assert found["torch.compile"].status == support.PARTIAL
    assert found["torch.nn.functional.relu"].status == found["torch.nn.Linear"].status == support.FULL
    done = run("doctor", "--json", str(script))
    assert done.returncode == 1 and not json.loads(done.stdout)["ok"]
    fine = tmp_path / "fine.py"
    fine.write_text("import torch\nprint(torch.ones(2).sum())\n")
    done = run("doctor", str(fine))
    assert done.returncode == 0 and "1 files use 1 names" in done.stdout
    assert run("doctor").returncode == 2 and run("doctor", "no/such/place").returncode == 2


def test_the_doctor_follows_other_names_of_modules_and_reads_notebooks(tmp_path):
    script = tmp_path / "other.py"
    script.write_text(
        "import torch, importlib\nlin = torch.linalg\nlin.no_such(1); lin.inv(1)\n"
        "importlib.import_module('torch.no_module'); importlib.import_module(name)\nx = torch.ones; x.no_module\n"
    )
    found = {f.name: f.places for f in doctor.examine([script]) if f.status == support.ABSENT}
    assert found == {"torch.linalg.no_such": [f"{script}:3"], "torch.no_module": [f"{script}:4"]}
    cells = [
        {"cell_type": "markdown", "source": ["import torch.nothing"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip list\n", "import torch\n", "torch.no_such()"]},
    ]
    notebook = tmp_path / "some.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    assert [(f.name, f.places) for f in doctor.examine([notebook])] == [("torch.no_such", [f"{notebook}:4"])]
    script.write_text("x = (\n")
    done = run("doctor", str(script))
    assert done.returncode == 2 and "never closed" in done.stderr


def test_the_support_tables_are_current(tmp_path):
    # In a process of its own: other tests have put stand-ins for absent modules into this one.
    assert run("support", "--write", str(tmp_path / "support.md")).returncode == 0
    written, made = (path.read_text() for path in (ROOT / "docs" / "support.md", tmp_path / "support.md"))
    assert written == made, "run: python -m flowtorch support --write docs/support.md"


def test_statuses_tell_what_is_there():
    assert support.status("torch.add") == support.status("torch.nn.Linear") == (support.FULL, "")
    assert support.status("torch.onnx.export")[0] == support.status("torch.nonsense")[0] == support.ABSENT
    assert support.status("torch.jit.script")[0] == support.PARTIAL


def test_old_constructors_and_types():
    x = flowtorch.ones(2, dtype=flowtorch.float64)
    assert x.new([1, 2]).tolist() == [1.0, 2.0] and x.new(2, 3).shape == (2, 3) and x.new().shape == (0,)
    assert x.new(flowtorch.Size([2, 2])).dtype == flowtorch.float64
    assert not isinstance(x, flowtorch.cuda.FloatTensor)
    if not flowtorch.cuda.is_available():
        with pytest.raises(TypeError, match=r"cuda\.FloatTensor not available"):
            flowtorch.cuda.FloatTensor(2)


def test_a_guard_of_another_package_does_not_hide_names(tmp_path):
    for package, line in (("outer", "from torch.distributed.pipelining import SplitPoint"), ("alone", "")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(line)
    (tmp_path / "alone" / "inner.py").write_text("from torch.distributed.pipelining import SplitPoint")
    guarded = "try:\n    from alone import inner\nexcept ImportError:\n    inner = None"
    (tmp_path / "alone" / "__init__.py").write_text(guarded)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "try: import outer\n"
        "except ImportError: outer = None\n"
        "import alone\n"
        "print(outer is not None and isinstance(outer.SplitPoint, type), alone.inner)"
    )
    done = run(code=code)
    assert done.stdout.split() == ["True", "None"], done.stderr


def test_questions_about_tracing_are_answered():
    from flowtorch._dynamo.eval_frame import is_dynamo_supported
    from flowtorch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx

    assert get_proxy_mode() is None and is_dynamo_supported() is False
    for refuse in (make_fx, flowtorch.jit._get_trace_graph):
        with pytest.raises(NotImplementedError, match="TorchDispatchMode"):
            refuse(lambda x: x)


def test_convolution_operators():
    x, w = torch.arange(32.0).view(1, 2, 4, 4), torch.arange(36.0).view(2, 2, 3, 3) / 9
    rest = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    for t in (flowtorch, torch):
        a, b = t.tensor(x.tolist()), t.tensor(w.tolist())
        out = t.ops.aten._convolution(a, b, None, *rest, False, False, True, True)
        grads = t.ops.aten.convolution_backward(out, a, b, [2], *rest, [True, True, False])
        assert grads[2] is None
        if t is flowtorch:
            mine = [v.tolist() for v in (out, *grads[:2])]
        else:
            for value, expected in zip(mine, (out, *grads[:2]), strict=True):
                assert torch.allclose(torch.tensor(value), expected)


def test_types_of_several_processes_can_be_asked_for_and_refuse_to_be_made():
    from flowtorch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, is_fake
    from flowtorch.distributed.fsdp import FSDPModule, FullyShardedDataParallel, fully_shard
    from flowtorch.distributed.tensor import DTensor

    module, x = flowtorch.nn.Linear(1, 1), flowtorch.ones(1)
    assert not isinstance(module, (FSDPModule, FullyShardedDataParallel)) and not isinstance(x, (DTensor, FakeTensor))
    assert not is_fake(x) and not hasattr(flowtorch.distributed.fsdp, "ShardingStrategy")
    kinds = (FSDPModule, FullyShardedDataParallel, fully_shard, DTensor, FakeTensor, FakeTensorMode)
    for refuse in kinds:
        with pytest.raises(NotImplementedError, match=r"one process|traces no programs"):
            refuse()


def test_einsum_shows_its_operands_one_by_one():
    def product(t):
        class Trace(t.nn.Module):
            def forward(self, a, b):
                return t.functional.einsum("ij,jk->ik", (a, b))

        graph = t.fx.symbolic_trace(Trace()).graph
        return [len(node.args) for node in graph.nodes if node.op == "call_function"]

    assert product(flowtorch) == product(torch) == [3]


def test_pipes_inside_pipes_that_loaders_import():
    import pickle

    from flowtorch.utils.data.datapipes.datapipe import (
        _IterDataPipeSerializationWrapper,
        _MapDataPipeSerializationWrapper,
    )

    several = pickle.loads(pickle.dumps(_IterDataPipeSerializationWrapper([1, 2])))
    chosen = pickle.loads(pickle.dumps(_MapDataPipeSerializationWrapper([3, 4])))
    assert list(several) == [1, 2] and len(several) == 2 and chosen[1] == 4 and len(chosen) == 2

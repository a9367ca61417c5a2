"""``python -m flowtorch run``, the import alias behind it, and the other commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def python(*args, cwd=None, input=None, **env):
    """Run Python on this checkout and return the finished process."""
    return subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=cwd or ROOT,
        input=input,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | env,
        capture_output=True,
        text=True,
        timeout=120,
    )


def run(*args, **options):
    return python("-m", "flowtorch", "run", *args, **options)


def test_a_script_sees_one_library_by_both_names(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        """
import importlib, importlib.metadata, importlib.util, inspect, pickle, sys
assert importlib.util.find_spec("torch") is not None
import torch, flowtorch, torch.nn as nn, torch.nn.functional as F
from torch.optim import SGD
assert torch is flowtorch and nn is flowtorch.nn and F is flowtorch.nn.functional
assert SGD is flowtorch.optim.SGD
assert flowtorch.__spec__.name == "flowtorch" and flowtorch.nn.__spec__.name == "flowtorch.nn"
assert importlib.util.find_spec("torch.nn.functional").origin == F.__file__
assert importlib.metadata.version("torch") == "2.13.0"
assert "torch" in importlib.metadata.packages_distributions()
assert pickle.loads(b"ctorch\\nTensor\\n.") is flowtorch.Tensor
assert pickle.loads(pickle.dumps(nn.Linear)) is nn.Linear
importlib.reload(F)
assert sys.modules["torch.nn.functional"] is sys.modules["flowtorch.nn.functional"]
by_file = {}
for name, module in list(sys.modules.items()):
    file = getattr(module, "__file__", None)
    if name != "__main__" and file and "flowtorch" in file:
        by_file.setdefault(file, set()).add(id(module))
assert all(len(ids) == 1 for ids in by_file.values()), "a file was loaded twice"
print(__name__, sys.argv, __file__)
"""
    )
    done = run(script, "one", "--two")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"__main__ {[str(script), 'one', '--two']} {script}\n"


def test_libraries_that_walk_names_find_them():
    done = run(
        "-c",
        "import torch, types\n"
        "assert torch.__name__ == 'torch' and torch.torch is torch\n"
        "assert isinstance(vars(torch.distributions)['Normal'], type)\n"
        "import torch._C._functorch as f\n"
        "x = torch.arange(6.0).reshape(2, 3)\n"
        "assert not f.is_batchedtensor(x) and not torch._C._are_functorch_transforms_active()\n"
        "def seen(row):\n"
        "    inner = f.get_unwrapped(row)\n"
        "    assert f.is_batchedtensor(row) and f.maybe_get_bdim(row) == 0\n"
        "    assert torch._C._are_functorch_transforms_active()\n"
        "    twice = f._remove_batch_dim(row * 2, f.maybe_get_level(row), 2, 0)\n"
        "    assert twice.equal(inner * 2)\n"
        "    return f._add_batch_dim(twice, 0, f.maybe_get_level(row))\n"
        "print(torch.vmap(seen)(x).tolist())\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]\n"


def test_what_flowtorch_lacks_is_said_by_the_name_asked_for():
    done = run("-c", "import torch.no_such_part")
    assert done.returncode == 1
    assert "No module named 'torch.no_such_part' (flowtorch does not provide it)" in done.stderr
    done = run("-c", "from torch import no_such_name")
    assert done.returncode == 1 and "no_such_name" in done.stderr


CHILDREN = """
import multiprocessing, subprocess, sys, torch
def child(queue):
    import torch, torch.nn
    queue.put(torch.nn.__name__)
if __name__ == "__main__":
    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        print(method, queue.get(timeout=60), flush=True)
        process.join()
    code = "import importlib.metadata as m\\nprint(m.version('torch'))"
    code += "\\nimport torch.nn\\nprint(torch.nn.__name__)"
    subprocess.run([sys.executable, "-c", code], cwd="/", check=True)
"""


@pytest.mark.parametrize("installed", [True, False], ids=["on the path", "started from the checkout"])
def test_child_processes_get_it_too(tmp_path, installed):
    script = tmp_path / "script.py"
    script.write_text(CHILDREN)
    done = run(script, PYTHONPATH=str(ROOT) if installed else "")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split()
    assert lines[-2:] == ["2.13.0", "flowtorch.nn"]
    started = lines[:-2]
    assert len(started) >= 2 and set(started[1::2]) == {"flowtorch.nn"}


def test_modules_code_and_exit_status(tmp_path):
    (tmp_path / "program.py").write_text(
        "import sys, torch\nprint(torch.nn.__package__, sys.argv[1:])\nsys.exit(7)"
    )
    done = run("-m", "program", "x", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (7, "flowtorch.nn ['x']\n"), done.stderr
    code = "import pickle, sys\nclass A: pass\nprint(pickle.loads(pickle.dumps(A)) is A, sys.argv)"
    done = run("-c", code, "x")
    assert (done.returncode, done.stdout) == (0, "True ['-c', 'x']\n"), done.stderr
    done = run("-", "x", input="import sys, torch\nprint(torch.ones(1).item(), sys.argv, __name__)\n")
    assert (done.returncode, done.stdout) == (0, "1.0 ['-', 'x'] __main__\n"), done.stderr


def test_a_traceback_begins_in_the_program(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("def f():\n    return 1 / 0\nf()\n")
    done = run(script)
    assert done.returncode == 1
    files = [line for line in done.stderr.splitlines() if line.startswith("  File")]
    assert len(files) == 2 and all(str(script) in line for line in files), done.stderr


def test_bad_usage_is_said():
    for args, said in (
        ((), "usage"),
        (("-m",), "Argument expected"),
        (("no/such/file.py",), "can't open file 'no/such/file.py'"),
    ):
        done = run(*args)
        assert done.returncode == 2 and said in done.stderr and not done.stdout
    assert run("--help").returncode == 0
    done = python("-m", "flowtorch", "dance")
    assert done.returncode == 2 and "no command 'dance'" in done.stderr and "run" in done.stderr


def test_it_refuses_where_another_torch_is_loaded():
    done = python(
        "-c",
        "import torch, flowtorch.shim\n"
        "try: flowtorch.shim.install()\n"
        "except RuntimeError as error: print(error)\n"
        "import torch.nn; print(torch.nn.Linear.__module__)",
    )
    assert done.returncode == 0, done.stderr
    said, module = done.stdout.splitlines()
    assert "another torch is imported already" in said and "flowtorch.install()" in said
    assert module == "torch.nn.modules.linear"


def test_install_in_a_notebook_and_for_a_block():
    done = python(
        "-c",
        "import sys, flowtorch\n"
        "with flowtorch.as_torch():\n    import torch.nn as a\n"
        "assert a is flowtorch.nn and 'torch' not in sys.modules and 'torch.nn' not in sys.modules\n"
        "flowtorch.install(); flowtorch.install()\n"
        "import torch; assert torch is flowtorch\n"
        "with flowtorch.as_torch(): pass\n"
        "import torch.nn.functional as F; assert F is flowtorch.nn.functional\n"
        "assert sum(type(f).__name__ == 'TorchFinder' for f in sys.meta_path) == 1\n",
    )
    assert done.returncode == 0, done.stderr


def test_info_says_what_is_there():
    import numpy

    done = python("-m", "flowtorch", "info", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["follows PyTorch"] == "2.13.0" and report["numpy"].startswith(numpy.__version__)
    table = python("-m", "flowtorch", "info").stdout
    assert all(name in table and value in table for name, value in report.items())
    loaded = python(
        "-c",
        "import sys, flowtorch.info as i; i.collect()\n"
        "print(sorted({'torch', 'scipy', 'cupy', 'triton'} & set(sys.modules)))",
    )
    assert loaded.stdout == "[]\n", "the report itself must load nothing heavy"


def test_a_program_starts_quickly(tmp_path):
    # Processor time of the whole process, which other work on the machine does not lengthen; the best of four.
    import resource

    script = tmp_path / "start.py"
    script.write_text("import torch\nimport torch.nn as nn, torch.optim, torch.nn.functional as F\n")
    spent = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        # as in an installed package: byte code in place, kernels where an earlier run left them
        assert run(str(script), PYTHONDONTWRITEBYTECODE="", FLOWTORCH_NATIVE="1").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) <= 0.4, spent


def test_annotations_of_labelled_classes_can_be_evaluated():
    code = (
        "import sys, typing, torch\n"
        "class Own(torch.nn.Module):\n    width: 'int' = 3\n"
        "hints = typing.get_type_hints(Own)\n"
        "home = sys.modules[torch.nn.Module.__module__]\n"
        "print(hints['width'].__name__, 'forward' in hints, home is sys.modules['flowtorch.nn.module'])"
    )
    command = [sys.executable, "-m", "flowtorch", "run", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["int", "True", "True"], done.stderr

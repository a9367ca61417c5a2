"""Building, caching and loading of the extension of C kernels.

Run: python -m pytest tests/native/test_build.py   (needs a C compiler and Python's headers)
"""

import os
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from flowtorch.codegen import folders
from flowtorch.native import cache

NEEDED = folders.compiler() is not None and Path(sysconfig.get_path("include"), "Python.h").exists()
needs_compiler = pytest.mark.skipif(not NEEDED, reason="no C compiler or no Python.h")
REPORT = """
import flowtorch, time
from flowtorch import native
first = native.state
x = flowtorch.tensor([-1.0, 2.0])
assert flowtorch.relu(x).tolist() == [0.0, 2.0]
deadline = time.monotonic() + 120
while native.state == "building" and time.monotonic() < deadline:
    time.sleep(0.05)
assert flowtorch.relu(x).tolist() == [0.0, 2.0]
print(first, native.state, type(flowtorch.relu.op.plans[x._type][0]).__name__, sep="|")
print(native.describe())
"""


def run(folder, code=REPORT, **environment):
    """Run ``code`` in a process with its own cache folder; its output lines."""
    env = {**os.environ, "FLOWTORCH_CACHE_DIR": str(folder), "FLOWTORCH_NATIVE": "1", **environment}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A cache folder with the built extension, made by a first run in the background."""
    folder = tmp_path_factory.mktemp("cache")
    assert run(folder)[0] == "waiting|ready|Kernel"
    return folder


def library(folder):
    (path,) = Path(folder, "native").glob("kernels-*.so")
    return path


@needs_compiler
def test_the_first_op_starts_a_build_and_the_next_run_loads_it(built):
    path = library(built)
    before = path.stat().st_mtime_ns
    assert run(built)[0] == "ready|ready|Kernel"
    assert path.stat().st_mtime_ns == before
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.stat().st_mode & 0o077


@needs_compiler
def test_an_import_alone_builds_nothing(tmp_path):
    assert run(tmp_path, "import flowtorch\nprint(flowtorch.native.state)") == ["waiting"]
    assert list(Path(tmp_path, "native").iterdir()) == []


@pytest.fixture
def copied(built, tmp_path):
    """A copy of the built library with its digest, in a cache folder of its own."""
    path = library(built)
    folder = tmp_path / "native"
    folder.mkdir(mode=0o700)
    copy = folder / path.name
    for source, mode in ((path, 0o700), (path.with_suffix(".digest"), 0o600)):
        (folder / source.name).write_bytes(source.read_bytes())
        (folder / source.name).chmod(mode)
    assert cache.verified(str(copy))
    return copy


def change(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@needs_compiler
@pytest.mark.parametrize(
    "damage",
    [
        change,
        link,
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.chmod(0o722),
        lambda path: path.unlink(),
        lambda path: path.with_suffix(".digest").unlink(),
        lambda path: path.with_suffix(".digest").write_text("0" * 64),
        lambda path: path.with_suffix(".digest").chmod(0o666),
    ],
    ids=["changed", "link", "cut", "writable", "absent", "unsigned", "other digest", "writable digest"],
)
def test_a_damaged_or_foreign_library_is_refused(copied, damage):
    damage(copied)
    assert not cache.verified(str(copied))


@needs_compiler
def test_a_damaged_library_is_built_anew(copied):
    copied.write_bytes(copied.read_bytes()[:5000])  # loading it would fail, or end the process
    assert run(copied.parent.parent)[0] == "waiting|ready|Kernel"
    assert cache.verified(str(copied))


@needs_compiler
def test_the_command_builds_at_once(tmp_path):
    env = {**os.environ, "FLOWTORCH_CACHE_DIR": str(tmp_path), "FLOWTORCH_NATIVE": "0"}
    command = [sys.executable, "-m", "flowtorch", "build-kernels"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(library(tmp_path))
    assert run(tmp_path)[0] == "ready|ready|Kernel"


def test_zero_turns_it_off(tmp_path):
    first, described = run(tmp_path, FLOWTORCH_NATIVE="0")
    assert first == "off|off|function" and "FLOWTORCH_NATIVE=0" in described


def test_without_a_compiler_numpy_works_alone(tmp_path):
    first, described = run(tmp_path, PATH="/nonexistent", CC="")
    assert first == "failed|failed|function" and "no C compiler" in described
    assert list(Path(tmp_path, "native").iterdir()) == []


@needs_compiler
def test_a_compiler_that_fails_is_asked_once(tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho this is no compiler >&2\nexit 1\n")
    compiler.chmod(0o755)
    first, described = run(tmp_path, CC=str(compiler), PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert first == "waiting|failed|function" and "refused" in described
    code = "import flowtorch\nprint(flowtorch.native.state)"
    assert run(tmp_path, code, CC=str(compiler), PATH=f"{tmp_path}:{os.environ['PATH']}") == ["failed"]


@needs_compiler
def test_require_fails_where_nothing_can_be_built(tmp_path):
    env = {**os.environ, "FLOWTORCH_CACHE_DIR": str(tmp_path), "FLOWTORCH_NATIVE": "require", "PATH": "/nonexistent"}
    command = [sys.executable, "-c", "import flowtorch"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "no C compiler" in done.stderr


@needs_compiler
def test_children_of_a_fork_compute_with_kernels(built):
    code = """
import os, flowtorch
from flowtorch import native
x = flowtorch.full((1 << 20,), 2.0)
native.module.threads(4)
want = x.exp().sum().item()
child = os.fork()
if child == 0:
    os._exit(0 if x.exp().sum().item() == want else 1)
print(native.state, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(built, code) == ["ready 0"]

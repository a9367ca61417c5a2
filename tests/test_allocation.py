"""The allocator keeps the memory of large arrays, unless the user says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource
import flowtorch, numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(500_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def faults(**environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "FLOWTORCH_MALLOC"))}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=env | environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_arrays_reuse_memory():
    assert faults() < 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_the_measure_sees_memory_that_is_given_back():
    assert faults(MALLOC_MMAP_THRESHOLD_="131072") > 1000


@pytest.mark.parametrize("variable", [{"FLOWTORCH_MALLOC": "0"}, {"MALLOC_MMAP_THRESHOLD_": "131072"}], ids=str)
def test_the_user_can_leave_the_allocator_alone(variable):
    code = "import flowtorch.array.allocation as a; print(a.keep_memory())"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | variable, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr

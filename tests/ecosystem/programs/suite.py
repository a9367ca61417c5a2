"""A package's own tests: suite.py PACKAGE_OR_FOLDER [-k EXPRESSION] [--ignore-glob PATTERN]; reports counts and failures."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from common import report

where, *options = sys.argv[1:]
place = Path(where)
if not place.exists():
    place = Path(importlib.util.find_spec(where).origin).parent / "tests"
if "--ignore-glob" in options:
    at = options.index("--ignore-glob") + 1
    options[at] = str(place / options[at])
here = os.path.dirname(os.path.abspath(__file__))
environment = os.environ | {
    "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), here]),
    "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
    "EINOPS_TEST_BACKENDS": "numpy,torch", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg",
}  # fmt: skip
os.environ.pop("ECOSYSTEM_WITNESS", None)  # the tests are to be watched, not their starter
command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "witness", "-p", "no:cacheprovider", "-W", "ignore"]
command += [str(place), *options]
done = subprocess.run(command, env=environment, capture_output=True, text=True)
print(done.stdout[-3000:], done.stderr[-2000:])
counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed|subtests passed)", done.stdout)}


def short(test):
    """A test's name from the last folder called tests on, wherever the sources lie."""
    path, _, rest = test.partition("::")
    before, _, inside = path.rpartition("tests/")
    return f"{'tests/' + inside if before or 'tests/' in path else os.path.basename(path)}{'::' if rest else ''}{rest}"


found = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)  # parameters may have spaces
failed = sorted({short(test) for test in found})
report(counts=counts, failed=failed)

"""The ops without a device kernel are those that are listed: the list may only grow shorter.

Run: python -m pytest tests/gpu_kernels/test_coverage.py; the counts: python -m flowtorch.ops.cuda.coverage
"""

import re
from pathlib import Path

import flowtorch
from flowtorch.ops.cuda import coverage

LISTED = Path(__file__).with_name("without_kernel.txt")


def test_every_op_but_the_listed_ones_runs_on_the_device():
    assert flowtorch.__version__
    missing = set(coverage.table().get("missing", ()))
    listed = {line for line in LISTED.read_text().splitlines() if not line.startswith("#")}
    assert not missing - listed, "ops without a kernel that the list does not name"
    assert not listed - missing, "these have a kernel now: strike them out of without_kernel.txt"


def test_the_page_lists_what_the_registry_holds():
    text = (Path(__file__).resolve().parents[2] / "docs" / "gpu.md").read_text()
    listed = text.partition(coverage.BEGIN)[2].partition(coverage.END)[0].strip()
    count = r"and \d+ more"  # composites come often, and run wherever their parts do
    assert re.sub(count, "", listed) == re.sub(count, "", coverage.page()), (
        "run python -m flowtorch.ops.cuda.coverage --write docs/gpu.md")  # fmt: skip

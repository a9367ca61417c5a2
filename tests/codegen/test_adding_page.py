"""docs/adding_an_op.md runs, and shows the Triton code that is made."""

import re
from pathlib import Path

import pytest

from flowtorch.ops.op import REGISTRY

PAGE = (Path(__file__).parents[2] / "docs" / "adding_an_op.md").read_text()


@pytest.fixture
def scope():
    yield {}
    REGISTRY.pop("bounded", None)  # the page's op must not stay among the library's


def test_the_tutorial_runs(scope, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        exec(compile(block, "docs/adding_an_op.md", "exec"), scope)
    printed = capsys.readouterr().out
    shown = re.search(r"for one element is\n\n```\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None and shown[1] in printed
    assert "np.divide" in printed and "fabsf" in printed

"""docs/fx.md runs."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "fx.md").read_text()


def test_the_page_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    scope = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "docs/fx.md", "exec"), scope)
    assert len(blocks) >= 4
    assert "call_module linear (2, 5)" in capsys.readouterr().out

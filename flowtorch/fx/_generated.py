"""Running generated code: compiled under a name by which tracebacks and debuggers find its source."""

from __future__ import annotations

import linecache
import sys
import traceback
from typing import Any

_sources: dict[str, str] = {}


class _Loader:
    """Gives linecache the source of generated code."""

    def get_source(self, name: str) -> str | None:
        return _sources.get(name)


_loader = _Loader()


def run_source(src: str, names: dict[str, Any], origin: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run ``src`` among the globals ``names``; the globals afterwards."""
    key = f"<eval_with_key>.{len(_sources)}"
    if origin:
        key += f" from {origin['co_filename']}:{origin['co_firstlineno']} in {origin['co_name']}"
    _sources[key] = src
    found = {**names, "__file__": key, "__name__": key, "__loader__": _loader}
    linecache.lazycache(key, found)
    # Run in a copy without those names: functions of generated code belong to no module.
    space = dict(names)
    exec(compile(src, key, "exec", dont_inherit=True), space)
    return space


def explain(error: Exception) -> bool:
    """Print where in generated code an error came from; False where it did not come from there."""
    assert error.__traceback__ is not None
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if "eval_with_key" not in frame.filename or frame.lineno is None:
        return False
    lines = linecache.getlines(frame.filename)
    before, after = lines[max(frame.lineno - 2, 0) : frame.lineno], lines[frame.lineno : frame.lineno + 2]
    head = f"Call using an FX-traced Module, line {frame.lineno} of the traced Module's generated forward function:"
    marker = "~" * len(frame.line or "") + "~~~ <--- HERE"
    print("\n".join([traceback.format_exc(), head, "".join(before), marker, "\n".join(after)]), file=sys.stderr)
    return True

"""The native tier: C kernels in the place of the numpy kernels, where a compiler is at hand.

The numpy kernels are the definition; each native kernel wraps the one that it stands for, and gives it every call that
it does not take. `start` puts the kernels in place at once if an earlier run has built them, and otherwise builds them
in the background when the first op runs. ``FLOWTORCH_NATIVE=0`` leaves everything to numpy; ``=require`` builds before
going on, or fails.
"""

from __future__ import annotations

import os
import threading
from typing import Any

module: Any = None  # the loaded extension
state = "off"  # "off", "waiting", "building", "ready" or "failed"
reason = ""


def load() -> Any:
    """The extension module, if an earlier run has built it and nothing switches it off; else None."""
    global module, state, reason
    wanted = os.environ.get("FLOWTORCH_NATIVE", "1")
    if module is not None or wanted == "0":
        return module
    from flowtorch.native import cache

    if wanted == "require":
        from flowtorch.native import build

        build.build()
    path = cache.library()
    if path is not None and cache.verified(path):
        try:
            module = cache.load(path)
            reason = path
        except ImportError as error:
            state, reason = "failed", str(error)
    return module


def start() -> None:
    """Put the kernels in place, or arrange for their building; called once, when flowtorch is imported."""
    global state, reason
    if os.environ.get("FLOWTORCH_NATIVE", "1") == "0":
        reason = "FLOWTORCH_NATIVE=0"
        return
    if load() is not None:
        _install()
        return
    if state == "failed":
        return
    from flowtorch.native import cache

    if cache.library() is None:
        reason = "no private cache folder; set FLOWTORCH_CACHE_DIR"
    elif cache.folders.compiler() is None:
        reason = "no C compiler"
    else:
        reason = cache.failure() or ""
    state = "failed" if reason else "waiting"
    if state == "waiting":
        from flowtorch.ops import families

        families.first_plan.append(_build_in_background)


def _install() -> None:
    global state
    from flowtorch.native import plug

    plug.install(module)
    state = "ready"


def _build_in_background() -> None:
    global state
    state = "building"
    threading.Thread(target=_build_and_use, name="flowtorch-build-kernels", daemon=True).start()


def _build_and_use() -> None:
    """Build in a process of its own, which goes on when this one ends, so that a later one finds the result."""
    global state, reason
    import subprocess
    import sys

    from flowtorch.native import cache

    command = [sys.executable, "-c", "import os; os.nice(15); import sys; from flowtorch.native import build; "
               "sys.exit(build.main(['--quiet']))"]
    environment = dict(os.environ, FLOWTORCH_NATIVE="0", PYTHONPATH=os.pathsep.join(filter(None, [
        os.path.dirname(os.path.dirname(cache.HERE)), os.environ.get("PYTHONPATH", "")])))
    silent = subprocess.DEVNULL
    try:
        subprocess.run(command, env=environment, stdin=silent, stdout=silent, stderr=silent, start_new_session=True,
                       check=False)
    except OSError as error:
        state, reason = "failed", str(error)
        return
    if load() is not None:
        _install()
    elif state != "failed":
        state, reason = "failed", cache.failure() or "another process is building"


def describe() -> str:
    """One line about the native tier, for ``python -m flowtorch info``."""
    if state == "ready":
        return f"ready, {len(module.names())} kernels on {module.threads()} threads ({reason})"
    if state in ("waiting", "building"):
        return "not built yet: python -m flowtorch build-kernels, or in the background at the first op"
    return f"off: {reason.splitlines()[0] if reason else 'not started'}"

"""How this library computes, as text."""

from __future__ import annotations


def show() -> str:
    """Say what the library is and what it computes with."""
    from flowtorch import info

    return "flowtorch built with:\n" + "".join(f"  - {k}: {v}\n" for k, v in info.collect().items())


def parallel_info() -> str:
    """Say how many threads compute."""
    from flowtorch import threads

    return f"Threads:\n\tget_num_threads() : {threads.get_num_threads()}\n"

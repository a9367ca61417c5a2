"""Expressions evaluated with torch and with flowtorch, and what came of each as text that compares."""

from __future__ import annotations

import warnings

import torch

import flowtorch


def outcome(source, library, length=25):
    """Evaluate an expression over ``torch``; return its result as text, or its error's type and first words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            library.manual_seed(0)
            result = repr(eval(source, {"torch": library, "F": library.nn.functional}))
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:length]}"
    return result.replace("flowtorch.", "torch.")


def both(source, length=25):
    """Return the outcomes of torch and of flowtorch."""
    return outcome(source, torch, length), outcome(source, flowtorch, length)


def run_both(program):
    """Run a program with torch and with flowtorch; return what each left in ``result``."""
    found = []
    for library in (torch, flowtorch):
        scope = {"torch": library, "F": library.nn.functional}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(program, scope)
        found.append(repr(scope["result"]).replace("flowtorch.", "torch."))
    return tuple(found)

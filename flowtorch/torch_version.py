"""A version text that compares as a version does: ``torch.__version__ >= "2.10"`` and ``>= (2, 10)``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

_FORM = re.compile(
    r"\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)"
    r"(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?"
    r"(?:-(\d+)|[-_.]?(?:post|rev|r)[-_.]?(\d*))?(?:[-_.]?dev[-_.]?(\d*))?"
    r"(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*",
    re.IGNORECASE,
)
_PHASES = {"alpha": "a", "beta": "b", "preview": "rc", "pre": "rc", "c": "rc"}


def _key(text: str) -> tuple:
    """The sort key of a version as PEP 440 orders them; ValueError if the text is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"Invalid version: {text!r}")
    epoch, release, phase, phase_number, bare_post, post, dev, local = found.groups()
    numbers = [int(n) for n in release.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    has_post = bare_post is not None or post is not None
    if phase:
        name = phase.lower()
        stage: tuple = (1, _PHASES.get(name, name), int(phase_number or 0))
    else:  # 1.0.dev1 < 1.0a1 < 1.0
        stage = (0,) if dev is not None and not has_post else (2,)
    after = int(bare_post or post or 0) if has_post else -1
    development = float("inf") if dev is None else int(dev or 0)
    parts = [] if local is None else re.split(r"[-_.]", local.lower())
    here = tuple((1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts)
    return int(epoch or 0), numbers, stage, after, development, here


def _text(other: Any) -> str:
    if isinstance(other, str):
        return str(other)
    if isinstance(other, Iterable):
        return ".".join(str(part) for part in other)
    return str(other)  # a version object of another library


def _comparison(name: str) -> Callable[[Any, Any], Any]:
    plain = getattr(str, name)

    def compare(self: TorchVersion, other: Any) -> Any:
        try:
            return getattr(_key(str(self)), name)(_key(_text(other)))
        except ValueError:
            return plain(self, other)  # not a version: compare as texts

    return compare


class TorchVersion(str):
    """A str that compares with texts, tuples and version objects in the order of versions."""

    __lt__ = _comparison("__lt__")  # type: ignore[assignment]
    __le__ = _comparison("__le__")  # type: ignore[assignment]
    __gt__ = _comparison("__gt__")  # type: ignore[assignment]
    __ge__ = _comparison("__ge__")  # type: ignore[assignment]
    __eq__ = _comparison("__eq__")  # type: ignore[assignment]
    __hash__ = str.__hash__

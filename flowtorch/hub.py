"""``torch.hub``: weights by address, kept in a folder; models from a folder with a ``hubconf.py``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse as urlparse

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
READ_DATA_CHUNK = 128 * 1024
_folder: str | None = None
_list = list


def _get_torch_home() -> str:
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    return os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch")))


def get_dir() -> str:
    """The folder of downloads: ``set_dir``'s, or hub below $TORCH_HOME (at first ~/.cache/torch)."""
    return os.path.join(_get_torch_home(), "hub") if _folder is None else _folder


def set_dir(d: str | os.PathLike) -> None:
    """Choose the folder of downloads."""
    global _folder
    _folder = os.path.expanduser(os.fspath(d))


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Fetch an address into a file, whole or not at all; RuntimeError if its SHA-256 starts otherwise."""
    from urllib.request import Request, urlopen

    target = os.path.expanduser(dst)
    digest = hashlib.sha256()
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(target)), suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as out, urlopen(Request(url, headers={"User-Agent": "torch.hub"})) as source:
            while chunk := source.read(READ_DATA_CHUNK):
                out.write(chunk)
                digest.update(chunk)
        found = digest.hexdigest()
        if hash_prefix and not found.startswith(hash_prefix):
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{found}")')
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def load_state_dict_from_url(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True, check_hash: bool = False,
    file_name: str | None = None, weights_only: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Load a checkpoint from an address; fetched once and kept in ``model_dir`` (below ``get_dir()``)."""
    from flowtorch.serialization import load as load_file

    folder = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    kept = os.path.join(folder, name)
    if not os.path.exists(kept):
        print(f'Downloading: "{url}" to {kept}\n', file=sys.stderr)
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, kept, found.group(1) if found else None, progress)
    return load_file(kept, map_location=map_location, weights_only=weights_only)


def list(
    github: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = "check",
    verbose: bool = True,
) -> _list[str]:  # fmt: skip
    """The names of the models that a repository offers: not supported, for it would have to be fetched."""
    raise _fetching("list", github)


def help(
    github: str, model: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = "check"
) -> str:
    """A model's docstring: not supported, for its repository would have to be fetched."""
    raise _fetching("help", github)


def load(
    repo_or_dir: str, model: str, *args: Any, source: str = "github", trust_repo: Any = "check",
    force_reload: bool = False, verbose: bool = True, skip_validation: bool = False, **kwargs: Any,
) -> Any:  # fmt: skip
    """Call the function ``model`` of the ``hubconf.py`` in a local folder (``source="local"``)."""
    source = source.lower()
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "github":
        raise _fetching("load", repo_or_dir)
    with _importable(repo_or_dir):
        config = _hubconf(Path(repo_or_dir))
        entry = getattr(config, model, None)
        if not callable(entry):
            raise RuntimeError(f"Cannot find callable {model} in hubconf")
        return entry(*args, **kwargs)


def _fetching(what: str, repository: str) -> NotImplementedError:
    return NotImplementedError(
        f"torch.hub.{what}({repository!r}): flowtorch fetches no repositories. Fetch it yourself and say "
        "torch.hub.load(folder, model, source='local')."
    )


@contextlib.contextmanager
def _importable(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _hubconf(folder: Path) -> ModuleType:
    path = folder / "hubconf.py"
    spec = importlib.util.spec_from_file_location("hubconf", path)
    if spec is None or spec.loader is None or not path.exists():
        raise FileNotFoundError(f"torch.hub.load: there is no {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing = [name for name in getattr(module, "dependencies", []) if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


def __getattr__(name: str) -> Any:
    if name == "tqdm":  # programs take it from here
        from tqdm import tqdm

        return tqdm
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)

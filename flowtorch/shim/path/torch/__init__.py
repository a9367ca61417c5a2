"""Found only by child processes of ``python -m flowtorch run``: puts flowtorch in its own place."""

try:
    import flowtorch.shim as _shim
except ModuleNotFoundError:  # a source checkout that is not installed
    import sys
    from pathlib import Path

    sys.path.append(str(Path(__file__).resolve().parents[4]))
    import flowtorch.shim as _shim

_shim.install(force=True)

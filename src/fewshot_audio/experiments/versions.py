"""Versions of what computes results, as runs and bundles record them."""

import importlib.metadata
import platform

from fewshot_audio import __version__


def versions() -> dict[str, str]:
    """Versions of the packages that compute the results, and of Python."""
    packages = {name: importlib.metadata.version(name) for name in ("torch", "lightning", "numpy")}
    return {"fewshot_audio": __version__, "python": platform.python_version(), **packages}

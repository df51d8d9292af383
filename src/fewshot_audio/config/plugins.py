"""Packages from outside whose code may run: those that the user of this machine has named.

A config, run folder or bundle may come from a stranger. A part's name in it is a reference, never an import, until
its top-level package is named by ``--plugin``, by the variable FEWSHOT_AUDIO_PLUGINS, or by the entry point
(group ``fewshot_audio.plugins``) of a package that the user has installed.
"""

import os
import re
from collections.abc import Iterable
from importlib.metadata import entry_points

from fewshot_audio.errors import ConfigError

VARIABLE = "FEWSHOT_AUDIO_PLUGINS"
ENTRY_POINTS = "fewshot_audio.plugins"


def name_plugins(packages: Iterable[str]) -> None:
    """Let the code of packages run, in this process and in those that it starts, which inherit the variable.

    Raises:
        ConfigError: a name is not that of a top-level package.
    """
    packages = list(packages)
    for package in packages:
        if not re.fullmatch(r"[^\W\d]\w*", package):
            raise ConfigError(f"--plugin {package!r}: expected the name of a top-level package, such as my_package")
    os.environ[VARIABLE] = ",".join(dict.fromkeys([*named_packages(), *packages]))


def named_packages() -> list[str]:
    """Top-level packages that ``--plugin`` or the variable names."""
    return [package for package in os.environ.get(VARIABLE, "").replace(" ", "").split(",") if package]


def installed_plugins() -> dict[str, list[str]]:
    """Modules that the entry points of installed packages name, by their top-level packages."""
    modules: dict[str, list[str]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        modules.setdefault(point.module.partition(".")[0], []).append(point.module)
    return modules


def is_named(package: str) -> bool:
    """Whether the code of a top-level package may run."""
    return package in named_packages() or package in installed_plugins()

"""The versions that a score may depend on."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

import rnndsl


@cache
def installed_versions() -> dict[str, str]:
    """Of rnndsl, Python and the packages that training and searching use."""
    found = {"rnndsl": rnndsl.__version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "optuna"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

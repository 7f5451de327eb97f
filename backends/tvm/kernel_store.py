"""Compiled kernels kept on disk, for later processes.

An entry is a JSON file and a shared library that the JSON names.  Both are written beside
their place and then moved there, so that other processes see them whole or not at all; both
carry digests, so that what was cut short or changed is found out and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnndsl.kept import say_unusable

MOST_BYTES = 1 << 28
_FORMAT = 1
# What a process that was killed left behind is old by then.
_STALE_SECONDS = 3600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A kernel on disk: what is known of it, and its library."""

    about: Mapping[str, Any]
    library: Path


class Damaged(Exception):
    """An entry that is not what was written."""


@dataclass(frozen=True, slots=True)
class KernelStore:
    """A folder of kernels by key; the least recently used go where there are too many bytes."""

    folder: Path
    most_bytes: int = MOST_BYTES

    def find(self, key: str) -> Entry | None:
        """The entry of a key; a damaged one is logged, removed and not found."""
        index = self._index(key)
        try:
            entry = _read(index)
        except FileNotFoundError:
            return None
        except OSError as error:
            say_unusable(self.folder, error)
            return None
        except Damaged as error:
            self.drop(key, str(error))
            return None
        with contextlib.suppress(OSError):
            os.utime(index)
        return entry

    def keep(
        self, key: str, about: Mapping[str, Any], write: Callable[[Path], None]
    ) -> Entry | None:
        """Store what ``write`` puts into a file; None, and a line logged once, where that fails."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self.folder) as place:
                library = Path(place, "kernel.so")
                write(library)
                digest = hashlib.sha256(library.read_bytes()).hexdigest()
                name = f"{key}.{digest[:16]}.so"
                body = {"format": _FORMAT, "library": name, "sha256": digest, "about": about}
                index = Path(place, "kernel.json")
                index.write_text(json.dumps({**body, "check": _check(body)}), encoding="utf-8")
                library.replace(self.folder / name)
                index.replace(self._index(key))
        except OSError as error:
            say_unusable(self.folder, error)
            return None
        self._trim(key)
        return Entry(about, self.folder / name)

    def drop(self, key: str, reason: str) -> None:
        """Remove an entry that cannot be used."""
        _log.warning("the kernel %s in %s is compiled again: %s", key, self.folder, reason)
        with contextlib.suppress(OSError):
            for path in self.folder.glob(f"{key}.*"):
                path.unlink(missing_ok=True)

    def _index(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _trim(self, newest: str) -> None:
        """Remove what was used longest ago until the rest is small enough."""
        sizes: dict[str, int] = {}
        used: dict[str, float] = {}
        try:
            for item in os.scandir(self.folder):
                with contextlib.suppress(OSError):
                    found = item.stat()
                    if item.name.startswith(".new-"):
                        _remove_stale(Path(item.path), found.st_mtime)
                        continue
                    key = item.name.partition(".")[0]
                    sizes[key] = sizes.get(key, 0) + found.st_size
                    used[key] = max(used.get(key, 0.0), found.st_mtime)
        except OSError:
            return
        total = sum(sizes.values())
        for key in sorted(used, key=lambda key: (key == newest, used[key])):
            if total <= self.most_bytes or key == newest:
                return
            total -= sizes[key]
            for path in self.folder.glob(f"{key}.*"):
                with contextlib.suppress(OSError):
                    path.unlink()


def _read(index: Path) -> Entry:
    try:
        body = json.loads(index.read_text(encoding="utf-8"))
        check = body.pop("check")
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise Damaged(f"{index.name} cannot be read") from error
    if check != _check(body) or body["format"] != _FORMAT:
        raise Damaged(f"{index.name} has been changed")
    library = index.with_name(body["library"])
    try:
        found = hashlib.sha256(library.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise Damaged(f"{library.name} is missing") from error
    if found != body["sha256"]:
        raise Damaged(f"{library.name} is not the file that was written")
    return Entry(body["about"], library)


def _check(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _remove_stale(folder: Path, written: float) -> None:
    if time.time() - written > _STALE_SECONDS:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

"""Results kept on disk for later processes: what takes long to make out of a text.

A result is found by its kind, by what it was made of, and by a digest of the package's own
source, so that no change of the package meets results of another version.  Files are written
beside their place and then moved there; each begins with a digest of the rest, so that one that
was cut short or changed is found out and made again.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import logging
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from rnndsl import __version__
from rnndsl.pickling import pickled

MOST_BYTES = 1 << 26
_VARIABLE = "RNNDSL_CACHE"
_OFF = ("", "0", "off", "no")
_DIGEST_BYTES = 32
# Where the Python files and cells are that decide what results are.
_PACKAGE = Path(__file__).parent
_FOLDERS = ("checking", "parsing", "stdlib", "compiler", "backends")

_log = logging.getLogger(__name__)
_unusable: set[Path] = set()
T = TypeVar("T")


def kept(kind: str, made_of: object, make: Callable[[], T]) -> T:
    """What ``make`` returns, from disk if this or an earlier process made it before.

    ``made_of`` is data that JSON can express: all that the result depends on besides the
    package.  Results are frozen data; every call returns another copy.
    """
    with collecting_later():
        return _kept(kind, made_of, make)


def _kept(kind: str, made_of: object, make: Callable[[], T]) -> T:
    folder = _folder()
    if folder is None:
        return make()
    text = json.dumps([kind, made_of, __version__, sys.version, sources()])
    path = folder / f"{kind}.{hashlib.sha256(text.encode()).hexdigest()[:40]}"
    try:
        found: T = pickle.loads(_read(path))  # kernels lie there, too
    except FileNotFoundError:
        pass
    except OSError as error:
        say_unusable(folder, error)
    except Exception as error:  # noqa: BLE001  # a damaged pickle raises anything
        _log.warning("%s is made again: %s", path, error)
    else:
        return found
    result = make()
    _write(path, result)
    return result


@contextlib.contextmanager
def collecting_later() -> Iterator[None]:
    """Without Python's search for cyclic garbage, which visits every object of the process.

    Compilers make many objects at once, and what they need together is not garbage yet.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def cache_root() -> Path | None:
    """Where results and kernels are kept; None if the user wants none.

    The environment variable ``RNNDSL_CACHE`` names another folder, or is ``off``.
    """
    wanted = os.environ.get(_VARIABLE)
    try:
        if wanted is not None:
            return None if wanted.strip().lower() in _OFF else Path(wanted).expanduser()
        return _usual_folder() / "rnndsl"
    except RuntimeError:  # a user without a home
        return None


def say_unusable(folder: Path, error: OSError) -> None:
    """Log, once for a folder, that later processes will find nothing in it."""
    if folder not in _unusable:
        _unusable.add(folder)
        _log.warning("nothing can be kept in %s, so all is made again: %s", folder, error)


@cache
def sources() -> str:
    """A digest of the files that results are made by."""
    return digest([_PACKAGE, *(path for name in _FOLDERS for path in _below(_PACKAGE / name))])


def digest(folders: list[Path]) -> str:
    """A digest of the Python files and cells of some folders, in order."""
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.glob("*.py")) + sorted(folder.glob("*.rnn")):
            found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def _below(folder: Path) -> Iterator[Path]:
    """A folder and those in it, in order."""
    yield folder
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__":
            yield from _below(path)


def _folder() -> Path | None:
    root = cache_root()
    return None if root is None else root / "results"


def _usual_folder() -> Path:
    """The folder for caches of this user on this system."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".cache"


def _read(path: Path) -> bytes:
    """The pickle in a file; ValueError if it is not what was written."""
    content = path.read_bytes()
    body = content[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != content[:_DIGEST_BYTES]:
        raise ValueError("it is not what was written")
    with contextlib.suppress(OSError):
        os.utime(path)
    return body


def _write(path: Path, result: object) -> None:
    """Put a result in its place; a line is logged once where that fails."""
    body = pickled(result)
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(body).digest() + body)
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        _trim(folder)
    except OSError as error:
        say_unusable(folder, error)


def _trim(folder: Path) -> None:
    """Remove what was used longest ago until the rest is small enough."""
    found = []
    for item in os.scandir(folder):
        with contextlib.suppress(OSError):
            about = item.stat()
            found.append((about.st_mtime, about.st_size, item.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= MOST_BYTES:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size

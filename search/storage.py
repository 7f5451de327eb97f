"""The Optuna studies of one search: the cells, and beside them the baseline and the seeds."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.study import StudyDirection

from rnndsl.atomic import unwritable
from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import BadStorage, StudyMismatch
from rnndsl.search.journal import open_journal
from rnndsl.search.searchers.plain import grows

JOURNAL = "journal.log"
SETTINGS = "settings"

# Machines that start at once make the tables of an empty data base at once; all but one fail.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study is: its folder, and the storage by URL if not the journal in the folder.

    A URL is ``grpc://HOST:PORT`` for Optuna's gRPC proxy, or one that SQLAlchemy takes.  Many
    studies share such a storage, so each has its folder's name before the names of its parts.
    """

    folder: Path
    url: str | None = None

    def name(self, part: str) -> str:
        """What Optuna calls a part of the search: ``cells``, ``baseline`` or ``seeds``."""
        return part if self.url is None else f"{self.folder.name}/{part}"

    @property
    def shown(self) -> str:
        """As text that may be printed: without the password."""
        if self.url is None:
            return str(self.folder)
        return f"{self.folder.name} in {hide_password(self.url)}"


@dataclass(frozen=True, slots=True)
class Storage:
    """``cells`` has a trial for each proposal.  ``baseline`` and ``seeds`` are apart, since
    their trials make no choices and would stand in the samplers' way: ``baseline`` trains the
    cell to compare with, ``seeds`` trains the best ones again from other random states."""

    cells: optuna.Study
    baseline: optuna.Study
    seeds: optuna.Study


def open_storage(
    place: Place,
    settings: Mapping[str, Any],
    pruner: BasePruner | None = None,
    objectives: int = 1,
) -> Storage:
    """The studies at ``place``, made if they are not there.

    All objectives are minimised.  RnndslError when the study was made with other settings
    (E0607), when the journal is damaged (E0609), the folder cannot be written (E0123), or the
    storage cannot be reached (E0614).
    """
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(place.folder, error) from None
    backend = open_backend(place)
    directions = [StudyDirection.MINIMIZE] * objectives

    def study(part: str, pruner: BasePruner) -> optuna.Study:
        return optuna.create_study(
            study_name=place.name(part),
            storage=backend,
            pruner=pruner,
            directions=directions,
            load_if_exists=True,
        )

    cells = study("cells", pruner or NopPruner())
    _check_settings(cells, place, settings)
    return Storage(cells, study("baseline", NopPruner()), study("seeds", NopPruner()))


def load_storage(place: Place) -> Storage:
    """The studies at ``place`` as they are; RnndslError (E0615) when there are none."""
    from rnndsl.search.errors import NoStudy

    if place.url is None and not (place.folder / JOURNAL).exists():
        raise RnndslError(NoStudy(None, str(place.folder), _studies_near(place.folder)))
    backend = open_backend(place)
    try:
        parts = [
            optuna.load_study(study_name=place.name(part), storage=backend)
            for part in ("cells", "baseline", "seeds")
        ]
    except KeyError:
        raise RnndslError(NoStudy(None, place.shown, "")) from None
    return Storage(*parts)


def _studies_near(folder: Path) -> str:
    parent = folder if folder.is_dir() else folder.parent
    found = sorted(str(path.parent) for path in parent.glob(f"*/{JOURNAL}"))
    return ", ".join(found[:5])


def open_backend(place: Place) -> optuna.storages.BaseStorage:
    """Optuna's storage at ``place``."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if place.url is None:
        return open_journal(place.folder / JOURNAL)
    for tries in range(_TRIES, 0, -1):
        try:
            return _open_url(place.url)
        except ImportError as error:
            missing = f"the package `{error.name}` is not installed"
            raise RnndslError(BadStorage(None, hide_password(place.url), missing)) from None
        except Exception as error:  # noqa: BLE001 - each data base has its own
            if tries == 1 or isinstance(error, (ValueError, RnndslError)):
                raise RnndslError(
                    BadStorage(None, hide_password(place.url), _first_line(error))
                ) from None
            time.sleep(0.3)
    raise AssertionError("the last try returns or raises")


def _open_url(url: str) -> optuna.storages.BaseStorage:
    found = re.fullmatch(r"grpc://([^:/]+):(\d+)/?", url)
    if found is None:
        if "://" not in url or url.startswith(("grpc:", "redis:")):
            raise ValueError("it is no URL of a data base")
        return optuna.storages.get_storage(url)
    if importlib.util.find_spec("grpc") is None:
        raise ModuleNotFoundError("grpc", name="grpcio")
    proxy = optuna.storages.GrpcStorageProxy(host=found[1], port=int(found[2]))
    _wait_for(proxy)
    return proxy


def _wait_for(proxy: optuna.storages.GrpcStorageProxy) -> None:
    """Until the proxy answers; a server of Kubernetes or Slurm may start after its clients."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        proxy.wait_server_ready(timeout=10)


def hide_password(url: str) -> str:
    """``url`` with ``***`` in the place of the password."""
    return re.sub(r"(://[^:/@]+):[^@]*@", r"\1:***@", url)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return hide_password(text[0][:300]) if text else type(error).__name__


def _check_settings(study: optuna.Study, place: Place, settings: Mapping[str, Any]) -> None:
    old = study.user_attrs.get(SETTINGS)
    if old is None:
        study.set_user_attr(SETTINGS, dict(settings))
        return
    changed = [
        name
        for name in dict.fromkeys([*old, *settings])
        if not _same(old.get(name), settings.get(name))
    ]
    if changed == ["space"] and grows(old["space"], settings["space"]):
        study.set_user_attr(SETTINGS, dict(settings))
        return
    if changed:
        differences = [_difference(name, old.get(name), settings.get(name)) for name in changed]
        raise RnndslError(StudyMismatch(None, str(place.folder), ", ".join(differences)))


def _same(old: Any, new: Any) -> bool:
    """Whether two settings are equal once both went through a storage, as JSON."""
    if isinstance(old, Sequence) and not isinstance(old, str) and isinstance(new, Sequence):
        return list(old) == list(new)
    return bool(old == new)


def _difference(name: str, old: Any, new: Any) -> str:
    long = any(isinstance(value, str) and "\n" in value for value in (old, new))
    return f"another {name}" if long else f"{name} was {old}, now {new}"

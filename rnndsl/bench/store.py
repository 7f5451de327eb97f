"""Reports in files, to be continued."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from rnndsl.bench.machine import Machine, Rates
from rnndsl.bench.report import Report, from_json
from rnndsl.diagnostics import RnndslError
from rnndsl.errors_bench import BadReport


def open_report(path: Path | None, command: str, here: Machine) -> Report:
    """The report of a file with one more command, or a new one where there is none.

    RnndslError (E0906) if the file cannot be read, or was measured on another machine or with
    another number of threads: such times do not belong in one table.
    """
    if path is None or not path.exists():
        return Report((command,), asdict(here), asdict(Rates(0.0, 0.0)))
    try:
        found = from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RnndslError(BadReport(None, str(path), str(error))) from None
    for what in ("cpu", "cores", "threads"):
        there, now = found.machine.get(what), getattr(here, what)
        if there != now:
            reason = f"its {what} is {there}, here it is {now}"
            raise RnndslError(BadReport(None, str(path), reason))
    commands = tuple(dict.fromkeys((*found.commands, command)))
    return replace(found, commands=commands, machine=asdict(here))

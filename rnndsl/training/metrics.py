"""Metrics as JSON lines: one record a line, appended whole."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from rnndsl.atomic import unwritable, write_text_atomically

Record = dict[str, Any]


class MetricsLog:
    """Appends records to ``path``; each is one write of one line, on the disk when it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: Record) -> None:
        """Add one record; RnndslError (E0123) when it cannot be written."""
        line = (json.dumps(_plain(record), allow_nan=False) + "\n").encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unwritable(self.path, error) from None

    def rewind(self, step: int) -> None:
        """Forget the records after ``step``: a run that resumes there writes them again."""
        if not self.path.exists():
            return
        kept = [r for r in read_metrics(self.path) if r.get("step", 0) <= step]
        write_text_atomically(self.path, "".join(json.dumps(r) + "\n" for r in kept))


def read_metrics(path: Path) -> list[Record]:
    """The records of ``path``; a line that a crash cut off is left out."""
    records: list[Record] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def _plain(record: Record) -> Record:
    """JSON has no infinities: they become null."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in record.items()
    }

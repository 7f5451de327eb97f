"""The folder of a run: config.json, cell.rnn, metrics.jsonl, last.pt and best.pt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnndsl.atomic import unwritable, write_text_atomically
from rnndsl.training.checkpoint import damaged
from rnndsl.training.errors import CheckpointNotFound, RunExists, training_error


@dataclass(frozen=True, slots=True)
class RunDir:
    """Where the files of one run stand."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def cell(self) -> Path:
        return self.path / "cell.rnn"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def last(self) -> Path:
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        return self.path / "best.pt"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    def create(self, config: dict[str, Any], cell_text: str) -> None:
        """Make the folder of a new run; RnndslError (E0714) when it already holds one."""
        if self.last.exists() or self.metrics.exists():
            raise training_error(RunExists(folder=str(self.path)))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.path, error) from None
        self.write_config(config)
        write_text_atomically(self.cell, cell_text)

    def write_config(self, config: dict[str, Any]) -> None:
        """Write config.json anew."""
        write_text_atomically(self.config, json.dumps(config, indent=2) + "\n")

    def remove_leftovers(self) -> None:
        """Remove files that a killed run was about to put in place."""
        for path in (self.config, self.cell, self.metrics, self.last, self.best):
            for leftover in self.path.glob(f".{path.name}.*"):
                leftover.unlink(missing_ok=True)

    def read_config(self) -> dict[str, Any]:
        """What config.json says; RnndslError when there is no run here, or it is damaged."""
        try:
            values = json.loads(self.config.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise training_error(CheckpointNotFound(path=str(self.config))) from None
        except (OSError, ValueError) as error:
            raise damaged(self.config, str(error)) from None
        if not isinstance(values, dict):
            raise damaged(self.config, "it is not a JSON object")
        return values


def free_run_dir(parent: Path, name: str) -> Path:
    """``parent/name-1``, or the first number that is not taken."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"

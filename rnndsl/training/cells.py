"""The cell of a run: found, checked for use in a language model, and kept as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rnndsl
from rnndsl.training.checkpoint import damaged
from rnndsl.training.errors import CheckpointNotFound, training_error
from rnndsl.training.rundir import RunDir

if TYPE_CHECKING:
    from rnndsl.cell import Cell


def resolve_cell(cell: str | Cell) -> Cell:
    """The cell of that name or path; RnndslError when there is none, or it has mistakes."""
    return rnndsl.load(cell) if isinstance(cell, str) else cell


def cell_source(cell: Cell) -> str:
    """The formatted text of ``cell`` with every cell that it uses, enough to build it again."""
    return cell.text


def cell_from_source(text: str, name: str) -> Cell:
    """The inverse of ``cell_source``."""
    return rnndsl.parse(text)


def stored_cell(folder: RunDir, name: str) -> Cell:
    """The cell that the run in ``folder`` was started with."""
    try:
        text = folder.cell.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise training_error(CheckpointNotFound(path=str(folder.cell))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(folder.cell, str(error)) from None
    return cell_from_source(text, name)

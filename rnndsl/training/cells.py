"""The cell of a run: found, checked for use in a language model, and kept as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import rnndsl
from rnndsl.compiler.ir import LeafRole
from rnndsl.compiler.lower import Lowered, lower
from rnndsl.training.checkpoint import damaged
from rnndsl.training.errors import CheckpointNotFound, SeveralInputs, training_error
from rnndsl.training.rundir import RunDir

if TYPE_CHECKING:
    from rnndsl.cell import Cell


def resolve_cell(cell: str | Cell) -> Cell:
    """The cell of that name or path; RnndslError when there is none, or it has mistakes."""
    return rnndsl.load(cell) if isinstance(cell, str) else cell


def lower_for_text(cell: Cell, numbers: Mapping[str, int | float]) -> Lowered:
    """The step graph of a cell that a language model can use.

    RnndslError for mistakes of the cell, and (E0718) when it reads more than the token.
    """
    lowered = lower(cell, numbers)
    inputs = [leaf.name for leaf in lowered.graph.leaves_of(LeafRole.INPUT)]
    if len(inputs) > 1:
        others = " and ".join(f"`{name}`" for name in inputs[1:])
        raise training_error(SeveralInputs(cell=cell.name, others=others))
    return lowered


def cell_source(cell: Cell) -> str:
    """The formatted text of ``cell`` with every cell that it uses, enough to build it again."""
    return str(cell)


def cell_from_source(text: str, file: str = "cell.rnn") -> Cell:
    """The inverse of ``cell_source``."""
    return rnndsl.parse(text, file=file)


def stored_cell(folder: RunDir) -> Cell:
    """The cell that the run in ``folder`` was started with."""
    try:
        text = folder.cell.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise training_error(CheckpointNotFound(path=str(folder.cell))) from None
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(folder.cell, str(error)) from None
    return cell_from_source(text, str(folder.cell))

"""The cell of a run: found, checked for use in a language model, and kept as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import rnndsl
from rnndsl.compiler.ir import LeafRole, ResultRole
from rnndsl.compiler.lower import Lowered, lower
from rnndsl.training.checkpoint import damaged
from rnndsl.training.errors import CellUnfit, CheckpointNotFound, training_error
from rnndsl.training.rundir import RunDir

if TYPE_CHECKING:
    from rnndsl.cell import Cell


def resolve_cell(cell: str | Cell) -> Cell:
    """The cell of that name or path; RnndslError when there is none, or it has mistakes."""
    return rnndsl.load(cell) if isinstance(cell, str) else cell


def lower_for_text(cell: Cell, numbers: Mapping[str, int | float]) -> Lowered:
    """The step graph of a cell that a language model can use.

    RnndslError for mistakes of the cell, and (E0718) unless it reads one vector and returns one.
    """
    lowered = lower(cell, numbers)
    graph = lowered.graph
    first, *others = graph.leaves_of(LeafRole.INPUT)
    (output,) = graph.results_of(ResultRole.OUTPUT)
    reason = ""
    if others:
        reason = "it also reads " + " and ".join(f"`{leaf.name}`" for leaf in others)
    elif first.type.rank != 1:
        reason = f"its input `{first.name}` is not a vector"
    elif graph.type_of(output.value).rank != 1:
        reason = "what it returns is not a vector"
    if reason:
        raise training_error(CellUnfit(cell=cell.name, reason=reason))
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

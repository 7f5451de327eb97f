"""The sizes of a cell: which dimension is the input's, which the hidden one, what else there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.errors import LayerOptionError
from rnndsl.cell import Cell
from rnndsl.diagnostics import did_you_mean


@dataclass(frozen=True, slots=True)
class CellSizes:
    """``dims`` binds the cell's dimensions, ``numbers`` replaces its numbers.

    ``input_dim`` is the dimension that a stacked layer sets to the size of the layer below.
    """

    dims: dict[str, int]
    numbers: dict[str, int | float]
    input_dim: str


def cell_sizes(
    cell: Cell, input_size: int | None, hidden_size: int | None, extra: Mapping[str, int | float]
) -> CellSizes:
    """Sizes from the arguments of ``layer()`` or ``compile_cell()``.

    ``input_size`` is D, or the first dimension of a cell without D; ``hidden_size`` is H, or
    the next one.  LayerOptionError when a dimension is left without a size, or a name or
    value does not fit.
    """
    parameters = cell.definition.parameters
    names = [p.name for p in parameters if p.default is None]
    numbers = [p.name for p in parameters if p.default is not None]
    for name in extra:
        if name not in names and name not in numbers:
            close = did_you_mean(name, [*names, *numbers])
            known = ", ".join([*names, *numbers]) or "none"
            raise LayerOptionError(catalogue.UnknownSize(None, name, known, close))
    dims = {name: whole_number(name, extra[name]) for name in names if name in extra}
    input_dim = _claim("D", "input_size", input_size, names, dims)
    _claim("H", "hidden_size", hidden_size, names, dims, skip=input_dim)
    for name in names:
        if name not in dims:
            keyword = {"D": "input_size", "H": "hidden_size"}.get(name, name)
            raise LayerOptionError(catalogue.MissingSize(None, name, keyword))
    chosen = {name: extra[name] for name in numbers if name in extra}
    return CellSizes({name: dims[name] for name in names}, chosen, input_dim)


def _claim(
    wanted: str,
    keyword: str,
    value: int | None,
    names: list[str],
    dims: dict[str, int],
    skip: str = "",
) -> str:
    """Give ``value`` to the dimension ``wanted``, else to the first that is free."""
    free = [name for name in names if name not in dims and name != skip]
    name = wanted if wanted in names else next(iter(free), "")
    if value is None:
        return name
    if not name or name in dims:
        known = ", ".join(names) or "none"
        raise LayerOptionError(catalogue.UnknownSize(None, keyword, known))
    dims[name] = whole_number(keyword, value)
    return name


def whole_number(name: str, value: object) -> int:
    """The value, if it is a whole number from 1; else LayerOptionError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise LayerOptionError(
            catalogue.BadOption(None, name, "a whole number from 1", repr(value))
        )
    return value

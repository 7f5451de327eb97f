"""How many parameters a model has, and how wide it is for a budget; nothing is allocated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rnndsl.backends.sizes import cell_sizes
from rnndsl.compiler.initializers import count_parameters
from rnndsl.compiler.ir import Leaf, Node, ResultRole
from rnndsl.dims import Dim, DimError
from rnndsl.training.cells import lower_for_text, resolve_cell
from rnndsl.training.errors import BadSetting, BudgetTooSmall, CellUnfit, training_error

if TYPE_CHECKING:
    from rnndsl.cell import Cell

Count = Callable[[int], int]
Numbers = Mapping[str, int | float]

# A cell may allow only some widths, such as multiples of its heads: look at most so far aside.
_NEXT_WIDTHS = 256
_WIDEST = 1 << 24


def parameter_count(
    cell: str | Cell,
    hidden: int,
    *,
    embedding: int | None = None,
    layers: int = 1,
    vocabulary: int = 0,
    tied: bool = False,
    numbers: Numbers | None = None,
) -> int:
    """Trainable parameters of ``layers`` layers of ``cell``, hidden size H = ``hidden``.

    ``embedding`` is the first layer's input size, None for ``hidden``.  With a ``vocabulary``,
    the language model's embedding, projection and decoder count too.  RnndslError for mistakes
    of the cell, and (E0707) when it does not allow this width.
    """
    count = _counter(resolve_cell(cell), embedding, layers, vocabulary, tied, numbers or {})
    try:
        return count(hidden)
    except DimError as error:
        wanted = f"a width that the cell allows ({error})"
        raise training_error(BadSetting(name="hidden", value=str(hidden), wanted=wanted)) from None


def solve_width(
    cell: str | Cell,
    budget: int,
    *,
    embedding: int | None = None,
    layers: int = 1,
    vocabulary: int = 0,
    tied: bool = False,
    numbers: Numbers | None = None,
) -> int:
    """The hidden size whose parameter count comes closest to ``budget``; the smaller of two.

    The sizes mean what they mean in ``parameter_count``.  RnndslError (E0715) when even the
    narrowest cell has more than twice the budget.
    """
    found = resolve_cell(cell)
    count = _counter(found, embedding, layers, vocabulary, tied, numbers or {})
    narrowest = _allowed(count, range(1, _NEXT_WIDTHS))
    if narrowest is None:
        reason = f"it allows no hidden size below {_NEXT_WIDTHS}"
        raise training_error(CellUnfit(cell=found.name, reason=reason))
    smallest = count(narrowest)
    if smallest > 2 * budget:
        raise training_error(
            BudgetTooSmall(cell=found.name, budget=budget, width=narrowest, smallest=smallest)
        )
    return _closest(count, narrowest, budget)


def _closest(count: Count, narrowest: int, budget: int) -> int:
    """Bisection: counts grow with the width, among the widths that are allowed."""
    low, high = narrowest, narrowest
    while high < _WIDEST and count(high) < budget:
        low = high
        high = _allowed(count, _from(2 * high)) or _WIDEST
    while True:
        middle = _allowed(count, range((low + high) // 2, high)) or high
        if middle in (low, high):
            middle = _allowed(count, range(low + 1, high)) or high
        if middle == high:
            break
        low, high = (middle, high) if count(middle) < budget else (low, middle)
    return min((low, high), key=lambda width: (abs(count(width) - budget), width))


def _from(width: int) -> Sequence[int]:
    return range(width, width + _NEXT_WIDTHS)


def _allowed(count: Count, widths: Sequence[int]) -> int | None:
    """The first of ``widths`` that the cell allows."""
    for width in widths:
        try:
            count(width)
        except DimError:
            continue
        return width
    return None


def _counter(
    cell: Cell, embedding: int | None, layers: int, vocabulary: int, tied: bool, numbers: Numbers
) -> Count:
    """The parameter count as a function of the width; it raises DimError for some widths."""
    lowered = lower_for_text(cell, numbers)
    (output,) = lowered.graph.results_of(ResultRole.OUTPUT)
    (output_size,) = lowered.graph.type_of(output.value).shape
    values: tuple[Leaf | Node, ...] = (*lowered.graph.leaves, *lowered.graph.nodes)
    dimensions = {d for value in values for d in value.type.shape}

    def count(hidden: int) -> int:
        width = hidden if embedding is None else embedding
        total, inputs = 0, width
        for _ in range(layers):
            sizes = cell_sizes(cell, inputs, hidden, numbers).dims
            for dimension in dimensions:  # H/4 has to be whole, even where no parameter says so
                _size(dimension, sizes)
            total += count_parameters(lowered.params, sizes, trainable_only=True)
            inputs = _size(output_size, sizes)
        return total + _ends(width, inputs, vocabulary, tied)

    return count


def _ends(width: int, last: int, vocabulary: int, tied: bool) -> int:
    """Parameters of embedding, projection and decoder; ``last`` is the last layer's output."""
    if vocabulary == 0:
        return 0
    shared = vocabulary * width + vocabulary  # the embedding, and the decoder's bias
    if not tied:
        return shared + vocabulary * last
    return shared + (last * width if last != width else 0)


def _size(dimension: Dim, sizes: Mapping[str, int]) -> int:
    size = int(dimension.bind(sizes))
    if size < 1:
        raise DimError(f"dimension {dimension} is {size}")
    return size

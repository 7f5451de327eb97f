"""``rnndsl.layer``: from a cell and sizes to a module."""

from __future__ import annotations

import inspect
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.errors import LayerOptionError
from rnndsl.backends.sizes import CellSizes, cell_sizes, whole_number
from rnndsl.backends.torch.backends import BACKENDS
from rnndsl.backends.torch.direction import Direction
from rnndsl.backends.torch.forms import check_form
from rnndsl.backends.torch.memory import budget_bytes
from rnndsl.backends.torch.module import Layer
from rnndsl.backends.torch.options import Options
from rnndsl.backends.torch.program import RECOMPUTE
from rnndsl.cell import Cell, load
from rnndsl.compiler.ir import LeafRole
from rnndsl.compiler.lower import Lowered, lower
from rnndsl.compiler.pipeline import UnknownPassError, find_pipeline
from rnndsl.compiler.sizes import bind_sizes
from rnndsl.kept import kept
from rnndsl.loading import standard_name


def layer(
    cell: str | Path | Cell,
    input_size: int | None = None,
    hidden_size: int | None = None,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    dropout: float = 0.0,
    batch_first: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    backend: str = "auto",
    memory_budget: int | str | None = None,
    form: str = "auto",
    passes: str = "default",
    recompute: str = "cheap",
    check_finite: bool = False,
    **sizes: float,
) -> Layer:
    """A torch module that runs a cell over sequences, called like ``torch.nn.LSTM``.

    Args:
        cell: a name of the standard library, the path of a ``.rnn`` file, or a Cell.
        input_size: the cell's dimension D (its first, if it has no D).
        hidden_size: the cell's dimension H (its next, if it has no H).
        num_layers: layers on top of each other; each reads the output of the one below.
        bidirectional: also run from the last step to the first, and join the two outputs.
        dropout: between layers, while training.
        batch_first: streams are [B, T, *shape] instead of [T, B, *shape].
        dtype, device: of the parameters; float32, float64, bfloat16 and float16 are supported.
        backend: what the cell is compiled with: ``"torch"``, ``"tvm"``, or ``"auto"``: TVM for
            tensors on the CPU, PyTorch for other devices and dtypes, decided at each call.
            Where apache-tvm is not installed, ``"auto"`` takes PyTorch and logs one warning; a
            cell that TVM fails to compile is an error.
        memory_budget: how many bytes of saved values the backward pass of each layer and
            direction may hold, such as ``"64MiB"``; beyond that it runs parts of the forward
            pass again.  By default it holds all and repeats nothing.
        form: how linear recurrences go through time: ``"steps"``, ``"chunked"`` or
            ``"convolution"`` (docs/recurrences.md); ``"auto"`` takes the cheapest for each.
        recompute: what the backward pass computes again instead of being given it: what is
            ``"cheap"``, or ``"most"``, which saves little and repeats products (docs/memory.md).
        passes: of the compiler, on the cell's graph before differentiation: a pipeline's name, or
            names with commas between (``rnndsl list passes``); ``"none"`` runs none.
        check_finite: after each call look for NaN and infinities, and raise NonFiniteError
            with the step and the value where the first one arose.
        sizes: the cell's other dimensions and its numbers, such as ``depth=3``.

    Raises:
        RnndslError: the cell has a mistake, or a size does not fit it.
    """
    if not isinstance(cell, str | Path | Cell):
        raise _bad("cell", "a name, a path or a Cell", cell)
    found = cell if isinstance(cell, Cell) else load(cell)
    whole_number("num_layers", num_layers)
    if not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
        raise _bad("dropout", "a probability from 0 to 1", dropout)
    flags = {"bidirectional": bidirectional, "batch_first": batch_first}
    for name, value in {**flags, "check_finite": check_finite}.items():
        if not isinstance(value, bool):
            raise _bad(name, "True or False", value)
    _check_device(device)
    kind = dtype or torch.get_default_dtype()
    if kind not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        raise _bad("dtype", "float32, float64, bfloat16 or float16", kind)
    chosen = cell_sizes(found, input_size, hidden_size, sizes)
    lowered = _lowered(found, chosen)
    _check_input_names(lowered)
    engine = choose_backend(backend)
    budget = budget_bytes(memory_budget)
    check_form(lowered, found, form)
    _check_passes(passes)
    if recompute not in RECOMPUTE:
        raise _bad("recompute", " or ".join(map(repr, RECOMPUTE)), recompute)
    directions: dict[str, Direction] = {}
    dims = chosen.dims
    for index in range(num_layers):
        bound = replace(lowered, graph=bind_sizes(lowered.graph, dims, found.sources()))
        for suffix in ("", "_reverse")[: 1 + bidirectional]:
            directions[f"{index}{suffix}"] = Direction(
                bound, dims, bool(suffix), engine, kind, device, budget, form, passes, recompute
            )
        if index == 0:
            dims = _dims_above(lowered, chosen, directions["0"], num_layers, bidirectional)
    options = Options(num_layers, bidirectional, float(dropout), batch_first, check_finite, budget)
    return Layer(found, directions, options)


def _lowered(cell: Cell, chosen: CellSizes) -> Lowered:
    """The cell's graph; those of the standard library are kept on disk."""
    name = standard_name(cell)
    if name is None:
        return lower(cell, chosen.numbers)
    numbers = [[key, repr(value)] for key, value in sorted(chosen.numbers.items())]
    return kept("lowered", [name, numbers], lambda: lower(cell, chosen.numbers))


def choose_backend(name: str) -> str:
    """The backend that a name stands for; LayerOptionError if it is not installed."""
    if name == "tvm" and find_spec("tvm") is None:
        reason = 'install it with pip install "rnndsl[tvm]"'
        raise LayerOptionError(catalogue.UnknownBackend(None, name, reason))
    if name not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise LayerOptionError(catalogue.UnknownBackend(None, name, f"there are {known}"))
    return name


def _check_device(device: object) -> None:
    """LayerOptionError unless tensors can be made there."""
    try:
        torch.empty(0, device=device)  # type: ignore[call-overload]
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise _bad("device", f"one that torch can use here ({reason})", device) from None


def _check_passes(passes: object) -> None:
    """LayerOptionError unless these are passes."""
    if not isinstance(passes, str):
        raise _bad("passes", "names of passes with commas between", passes)
    try:
        find_pipeline(passes)
    except UnknownPassError as error:
        raise _bad("passes", f"passes that there are ({error})", passes) from None


def _check_input_names(lowered: Lowered) -> None:
    """Inputs after the first are given by keyword, beside the call's own arguments."""
    for leaf in lowered.graph.leaves_of(LeafRole.INPUT)[1:]:
        if leaf.name in _CALL_ARGUMENTS:
            raise LayerOptionError(catalogue.InputNameTaken(None, leaf.name))


_CALL_ARGUMENTS = frozenset(["self", *inspect.signature(Layer.forward).parameters]) - {"inputs"}


def _bad(name: str, expected: str, got: object) -> LayerOptionError:
    return LayerOptionError(catalogue.BadOption(None, name, expected, repr(got)))


def _dims_above(
    lowered: Lowered, chosen: CellSizes, lowest: Direction, num_layers: int, bidirectional: bool
) -> dict[str, int]:
    """The sizes of the layers above the lowest; LayerOptionError if they cannot be stacked."""
    dims = chosen.dims
    if num_layers == 1 and not bidirectional:
        return dims
    output = lowest.output_shape
    if not output:
        raise _unstackable("its output is a single number")
    if num_layers == 1:
        return dims
    graph = lowered.graph
    main = graph.leaves_of(LeafRole.INPUT)[0].type.shape
    if len(output) != 1 or len(main) != 1:
        raise _unstackable("its first input and its output must be vectors")
    size = output[0] * (1 + bidirectional)
    above = {**dims, chosen.input_dim: size} if chosen.input_dim else dims
    if int(main[0].bind(above)) != size:
        raise _unstackable(f"its output has size {size}, its input {int(main[0].bind(dims))}")
    for leaf in (*graph.leaves_of(LeafRole.STATE), *graph.leaves_of(LeafRole.INPUT)[1:]):
        if any(int(d.bind(above)) != int(d.bind(dims)) for d in leaf.type.shape):
            kind = leaf.role.value
            raise _unstackable(f"{kind} {leaf.name} would have another shape in each layer")
    return above


def _unstackable(reason: str) -> LayerOptionError:
    return LayerOptionError(catalogue.CannotStack(None, reason))

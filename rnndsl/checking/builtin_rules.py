"""Type rules of the language's functions: operand types and options to the result's type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rnndsl.dims import Dim, dim
from rnndsl.typed import Option
from rnndsl.types import (
    TypeRuleError,
    ValueType,
    any_batched,
    axis_of,
    element_count,
    elementwise_type,
    known,
    shape_text,
)

Operands = Sequence[ValueType]
Options = Mapping[str, Option]
TypeRule = Callable[[str, Operands, Options], ValueType]


def int_option(options: Options, key: str) -> int:
    """A whole-number option that has a value."""
    value = options[key]
    assert isinstance(value, int)
    return value


def dim_option(options: Options, key: str) -> Dim:
    """A dimension option; whole numbers are dimensions too."""
    value = options[key]
    assert isinstance(value, (int, Dim))
    return dim(value)


def shape_option(options: Options) -> tuple[Dim, ...]:
    """The shape that stands in brackets."""
    value = options["shape"]
    assert isinstance(value, tuple)
    return tuple(d if isinstance(d, Dim) else dim(d) for d in value)


def elementwise(name: str, operands: Operands, options: Options) -> ValueType:
    """Equal shapes; scalars fit any shape."""
    return elementwise_type(operands, f"`{name}`")


def reduction(name: str, operands: Operands, options: Options) -> ValueType:
    """The axis disappears; without an axis all of them do."""
    (operand,) = operands
    _needs_axis(name, operand)
    if options["axis"] is None:
        return ValueType((), operand.batched)
    axis = axis_of(int_option(options, "axis"), operand)
    return ValueType(operand.shape[:axis] + operand.shape[axis + 1 :], operand.batched)


def along_axis(name: str, operands: Operands, options: Options) -> ValueType:
    """The shape stays."""
    (operand,) = operands
    _needs_axis(name, operand)
    axis_of(int_option(options, "axis"), operand)
    return operand


def pair_reduction(name: str, operands: Operands, options: Options) -> ValueType:
    """Two equal shapes; the last axis disappears."""
    left, right = operands
    if left.shape != right.shape:
        raise TypeRuleError(f"`{name}` needs equal shapes: left is {left}, right is {right}", 1)
    _needs_axis(name, left)
    return ValueType(left.shape[:-1], any_batched(operands))


def _needs_axis(name: str, operand: ValueType) -> None:
    if not operand.rank:
        raise TypeRuleError(f"`{name}` needs a vector or more, not a scalar", 0)


def matmul(name: str, operands: Operands, options: Options) -> ValueType:
    """[A, B] times [B], [A, B] times [B, C], or [A] times [A, B]."""
    left, right = operands
    batched = any_batched(operands)
    if (left.rank, right.rank) == (1, 1):
        raise TypeRuleError(
            "`@` multiplies a matrix, and both sides are vectors", 1, "`dot` or `outer` may fit"
        )
    if left.rank not in (1, 2) or right.rank not in (1, 2):
        raise TypeRuleError(
            f"`@` needs a matrix and a vector or matrix: left is {left}, right is {right}",
            1,
            "`einsum` contracts any axes",
        )
    if left.shape[-1] != right.shape[0]:
        raise TypeRuleError(
            f"`@` needs the last axis of the left, {left}, to equal the first axis of the "
            f"right, {right}",
            1,
        )
    return ValueType(left.shape[:-1] + right.shape[1:], batched)


def outer(name: str, operands: Operands, options: Options) -> ValueType:
    """[A] and [B] to [A, B]."""
    for position, operand in enumerate(operands):
        if operand.rank != 1:
            raise TypeRuleError(f"`outer` needs vectors, not {operand}", position)
    left, right = operands
    return ValueType(left.shape + right.shape, any_batched(operands))


def einsum(name: str, operands: Operands, options: Options) -> ValueType:
    """Sums of products over the letters that the result does not name."""
    parts, output = parse_einsum(str(options["spec"]))
    if len(parts) != len(operands):
        raise TypeRuleError(f"the text names {len(parts)} operands, and {len(operands)} are given")
    sizes: dict[str, Dim] = {}
    for position, (letters, operand) in enumerate(zip(parts, operands, strict=True)):
        if len(letters) != operand.rank:
            raise TypeRuleError(
                f"`{letters}` names {len(letters)} axes, and the operand is {operand}", position
            )
        for letter, size in zip(letters, operand.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise TypeRuleError(
                    f"letter `{letter}` stands for {sizes[letter]} and for {size}", position
                )
    return ValueType(tuple(sizes[letter] for letter in output), any_batched(operands))


def parse_einsum(spec: str) -> tuple[tuple[str, ...], str]:
    """``"ij,j->i"`` as ``(("ij", "j"), "i")``; TypeRuleError when it is not of that form."""
    inputs, arrow, output = spec.replace(" ", "").partition("->")
    parts = tuple(inputs.split(","))
    every = (*parts, output)
    legal = bool(arrow) and all(c.isascii() and c.islower() for part in every for c in part)
    if (
        not legal
        or any(len(set(part)) != len(part) for part in every)
        or not set(output) <= set("".join(parts))
    ):
        raise TypeRuleError(
            f'"{spec}" is not a sum of products such as "ij,j->i": lower-case letters, each once '
            "per operand, and results that an operand has"
        )
    return parts, output


def transpose(name: str, operands: Operands, options: Options) -> ValueType:
    """The axes in reverse order."""
    (operand,) = operands
    return ValueType(operand.shape[::-1], operand.batched)


def inverse(name: str, operands: Operands, options: Options) -> ValueType:
    """A square matrix made of parameters."""
    (operand,) = operands
    if operand.rank != 2 or operand.shape[0] != operand.shape[1]:
        raise TypeRuleError(f"`inverse` needs a square matrix, not {operand}", 0)
    if operand.batched:
        raise TypeRuleError("`inverse` takes only values made of parameters", 0)
    return operand


def slice_(name: str, operands: Operands, options: Options) -> ValueType:
    """The part from ``start`` up to ``stop`` of the axis."""
    (operand,) = operands
    axis = axis_of(int_option(options, "axis"), operand)
    start, stop = dim_option(options, "start"), dim_option(options, "stop")
    size = operand.shape[axis]
    if any((known(d) or 0) < 0 for d in (start, stop - start, size - stop)):
        raise TypeRuleError(f"{start} to {stop} is not a part of an axis of length {size}", 0)
    return _resized(operand, axis, stop - start)


def slice_update(name: str, operands: Operands, options: Options) -> ValueType:
    """The shape of the first operand."""
    whole, part = operands
    axis = axis_of(int_option(options, "axis"), whole)
    start = dim_option(options, "start")
    if part.rank != whole.rank or _resized(part, axis, dim(1)) != _resized(
        ValueType(whole.shape, part.batched), axis, dim(1)
    ):
        raise TypeRuleError(f"{part} is not a part of {whole} along axis {axis}", 1)
    end = whole.shape[axis] - start - part.shape[axis]
    if (known(start) or 0) < 0 or (known(end) or 0) < 0:
        raise TypeRuleError(f"{part} at {start} reaches outside {whole}", 1)
    return ValueType(whole.shape, any_batched(operands))


def concat(name: str, operands: Operands, options: Options) -> ValueType:
    """Operands that agree but for the axis, one after the other."""
    first = operands[0]
    _needs_axis(name, first)
    axis = axis_of(int_option(options, "axis"), first)
    size = dim(0)
    for position, operand in enumerate(operands):
        if operand.rank != first.rank or (
            _resized(operand, axis, dim(0)).shape != _resized(first, axis, dim(0)).shape
        ):
            raise TypeRuleError(
                f"`concat` needs operands that agree but for axis {axis}: operand 1 is {first}, "
                f"operand {position + 1} is {operand}",
                position,
            )
        size = size + operand.shape[axis]
    return ValueType(_resized(first, axis, size).shape, any_batched(operands))


def stack(name: str, operands: Operands, options: Options) -> ValueType:
    """Equal shapes, along a new first axis."""
    for position, operand in enumerate(operands):
        if operand.shape != operands[0].shape:
            raise TypeRuleError(
                f"`stack` needs equal shapes: operand 1 is {operands[0]}, "
                f"operand {position + 1} is {operand}",
                position,
            )
    return ValueType((dim(len(operands)), *operands[0].shape), any_batched(operands))


def reshape(name: str, operands: Operands, options: Options) -> ValueType:
    """As many elements in the same order."""
    (operand,) = operands
    shape = shape_option(options)
    if element_count(shape) != element_count(operand.shape):
        raise TypeRuleError(
            f"{operand} has {element_count(operand.shape)} elements, and {shape_text(shape)} "
            f"has {element_count(shape)}",
            0,
        )
    return ValueType(shape, operand.batched)


def broadcast(name: str, operands: Operands, options: Options) -> ValueType:
    """The operand's axes become the axes of the result from ``axis`` on (default: the last)."""
    (operand,) = operands
    shape = shape_option(options)
    start = len(shape) - operand.rank
    if options["axis"] is not None:
        start = int_option(options, "axis")
    if start < 0 or shape[start : start + operand.rank] != operand.shape:
        raise TypeRuleError(
            f"{operand} does not stand at axis {max(start, 0)} of {shape_text(shape)}",
            0,
            "`axis = k` says which axis of the result the value's first axis becomes",
        )
    return ValueType(shape, operand.batched)


def gather(name: str, operands: Operands, options: Options) -> ValueType:
    """The entries with these numbers."""
    (operand,) = operands
    axis = axis_of(int_option(options, "axis"), operand)
    indices = options["indices"]
    assert isinstance(indices, tuple)
    size = known(operand.shape[axis])
    for index in indices:
        if not isinstance(index, int) or index < 0 or (size is not None and index >= size):
            raise TypeRuleError(f"{index} is not an index of an axis of length {size}", 0)
    return _resized(operand, axis, dim(len(indices)))


def pad(name: str, operands: Operands, options: Options) -> ValueType:
    """Zeros before and after."""
    (operand,) = operands
    axis = axis_of(int_option(options, "axis"), operand)
    before, after = dim_option(options, "before"), dim_option(options, "after")
    if (known(before) or 0) < 0 or (known(after) or 0) < 0:
        raise TypeRuleError("`pad` cannot take away: counts must not be negative", 0)
    return _resized(operand, axis, before + operand.shape[axis] + after)


def chunk_sum(name: str, operands: Operands, options: Options) -> ValueType:
    """A vector cut in equal chunks, summed: [n*H] to [H]."""
    (operand,) = operands
    count = int_option(options, "chunks")
    if operand.rank != 1 or count < 1:
        raise TypeRuleError(f"`chunk_sum` needs a vector and a positive count, not {operand}", 0)
    size = operand.shape[0] / dim(count)
    if not size.names and known(size) is None:
        raise TypeRuleError(f"{operand} is not {count} equal chunks", 0)
    return ValueType((size,), operand.batched)


def constant(name: str, operands: Operands, options: Options) -> ValueType:
    """A shared value of the shape in brackets."""
    shape = shape_option(options)
    for operand in operands:
        if operand.rank:
            raise TypeRuleError(f"`{name}` needs a scalar, not {operand}", 0)
    if name == "identity" and len(shape) != 2:
        raise TypeRuleError("`identity` makes a matrix, such as `identity[H, H]()`")
    if name == "iota":
        axis_of(int_option(options, "axis"), ValueType(shape, False))
    return ValueType(shape, any_batched(operands))


def same(name: str, operands: Operands, options: Options) -> ValueType:
    """The type of the operand."""
    return operands[0]


def straight_through(name: str, operands: Operands, options: Options) -> ValueType:
    """Two equal shapes."""
    left, right = operands
    if left.shape != right.shape:
        raise TypeRuleError(f"`ste` needs equal shapes: left is {left}, right is {right}", 1)
    return ValueType(left.shape, any_batched(operands))


def _resized(operand: ValueType, axis: int, size: Dim) -> ValueType:
    shape = (*operand.shape[:axis], size, *operand.shape[axis + 1 :])
    return ValueType(shape, operand.batched)

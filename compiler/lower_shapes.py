"""Lowering of products, reductions, normalisers and functions of shape."""

from __future__ import annotations

from collections.abc import Sequence

from rnndsl.checking.builtin_rules import parse_einsum
from rnndsl.compiler.lower_emit import Emitter, Lowering, axis_option, size_of
from rnndsl.dims import Dim, dim
from rnndsl.typed import TypedValue
from rnndsl.types import element_count

_MATMULS = {(2, 1): "ij,j->i", (2, 2): "ij,jk->ik", (1, 2): "i,ij->j"}


def _matmul(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    left, right = operands
    spec = _MATMULS[len(e.shape(left)), len(e.shape(right))]
    return _contract(e, spec, left, right)


def _contract(e: Emitter, spec: str, left: int, right: int) -> int:
    return e.op("contract", left, right, spec=spec, sum_batch=False)


def _outer(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    return _contract(e, "i,j->ij", *operands)


def _einsum(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    """From left to right, keeping the letters that later operands or the result need."""
    parts, output = parse_einsum(str(value.option("spec")))
    total, letters = operands[0], parts[0]
    for position, (part, operand) in enumerate(zip(parts[1:], operands[1:], strict=True), 2):
        later = set(output).union(*parts[position:])
        both = dict.fromkeys(letters + part)
        kept = "".join(c for c in both if c in later)
        if position == len(parts):
            kept = output
        total = _contract(e, f"{letters},{part}->{kept}", total, operand)
        letters = kept
    return _arrange(e, total, letters, output)


def _arrange(e: Emitter, value: int, letters: str, output: str) -> int:
    """Sum over the letters that the result lacks, and put the others in order."""
    for letter in letters:
        if letter not in output:
            value = e.op("reduce_sum", value, axis=letters.index(letter))
            letters = letters.replace(letter, "")
    if letters == output:
        return value
    return e.op("transpose", value, perm=tuple(letters.index(c) for c in output))


def _transpose(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    rank = len(e.shape(operands[0]))
    if rank < 2:
        return operands[0]
    return e.op("transpose", operands[0], perm=tuple(reversed(range(rank))))


def _inverse(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    return e.op("inverse", operands[0])


# ------------------------------------------------------------------------- reductions


def _flat(e: Emitter, value: TypedValue, operand: int) -> tuple[int, int]:
    """The operand and the one axis to reduce; all axes are first joined into one."""
    axis = axis_option(e, value, operand)
    if axis is not None:
        return operand, axis
    shape = e.shape(operand)
    if len(shape) == 1:
        return operand, 0
    return e.op("reshape", operand, shape=(element_count(shape),)), 0


def _reduce(op: str) -> Lowering:
    def lowering(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
        operand, axis = _flat(e, value, operands[0])
        return e.op(op, operand, axis=axis)

    return lowering


def _mean_over(e: Emitter, operand: int, axis: int) -> int:
    total = e.op("reduce_sum", operand, axis=axis)
    return e.op("div", total, e.size(e.shape(operand)[axis], e.shape(total)))


def _mean(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    return _mean_over(e, *_flat(e, value, operands[0]))


def _centred(e: Emitter, operand: int, axis: int) -> int:
    mean = _mean_over(e, operand, axis)
    return e.op("sub", operand, e.along(mean, axis, e.shape(operand)))


def _var(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    operand, axis = _flat(e, value, operands[0])
    centred = _centred(e, operand, axis)
    return _mean_over(e, e.op("mul", centred, centred), axis)


def _min_of(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    operand, axis = _flat(e, value, operands[0])
    return e.op("neg", e.op("reduce_max", e.op("neg", operand), axis=axis))


def _norm(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    operand, axis = _flat(e, value, operands[0])
    return e.op("sqrt", e.op("reduce_sum", e.op("mul", operand, operand), axis=axis))


def _shifted(e: Emitter, operand: int, axis: int) -> tuple[int, int]:
    """The operand less its largest element, and that element; gradients of the two cancel."""
    top = e.op("stop_grad", e.op("reduce_max", operand, axis=axis))
    return e.op("sub", operand, e.along(top, axis, e.shape(operand))), top


def _softmax(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    (operand,) = operands
    axis = axis_option(e, value, operand)
    assert axis is not None
    shifted, _ = _shifted(e, operand, axis)
    weights = e.op("exp", shifted)
    total = e.op("reduce_sum", weights, axis=axis)
    return e.op("div", weights, e.along(total, axis, e.shape(operand)))


def _logsumexp(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    operand, axis = _flat(e, value, operands[0])
    shifted, top = _shifted(e, operand, axis)
    total = e.op("reduce_sum", e.op("exp", shifted), axis=axis)
    return e.op("add", e.op("log", total), top)


def _cumsum(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    axis = axis_option(e, value, operands[0])
    assert axis is not None
    return e.op("cumsum", operands[0], axis=axis, reverse=bool(value.option("reverse")))


def _cummax(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    axis = axis_option(e, value, operands[0])
    assert axis is not None
    return e.op("cummax", operands[0], axis=axis)


def _l2_normalize(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    (operand,) = operands
    axis = axis_option(e, value, operand)
    assert axis is not None
    squares = e.op("reduce_sum", e.op("mul", operand, operand), axis=axis)
    length = e.op("sqrt", e.const("max", squares, _float(value, "eps")))
    return e.op("div", operand, e.along(length, axis, e.shape(operand)))


def _float(value: TypedValue, key: str) -> float:
    number = value.option(key)
    assert isinstance(number, (int, float))
    return float(number)


def _standardize(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    (operand,) = operands
    axis = len(e.shape(operand)) - 1
    centred = _centred(e, operand, axis)
    variance = _mean_over(e, e.op("mul", centred, centred), axis)
    deviation = e.op("sqrt", e.const("add", variance, _float(value, "eps")))
    return e.op("div", centred, e.along(deviation, axis, e.shape(operand)))


def _dot_over(e: Emitter, left: int, right: int) -> int:
    front = "abcdefgh"[: len(e.shape(left)) - 1]
    return _contract(e, f"{front}i,{front}i->{front}", left, right)


def _dot(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    return _dot_over(e, *operands)


def _cosine(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    a, b = operands
    product = _dot_over(e, a, b)
    squares = e.op("mul", _dot_over(e, a, a), _dot_over(e, b, b))
    eps = _float(value, "eps")
    return e.op("div", product, e.op("sqrt", e.const("max", squares, eps * eps)))


# ------------------------------------------------------------------------------ shape


def _part(e: Emitter, operand: int, axis: int, start: Dim, stop: Dim) -> int:
    return e.op("slice", operand, axis=axis, bounds=(start, stop))


def _slice(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    axis = axis_option(e, value, operands[0])
    assert axis is not None
    start, stop = size_of(value.option("start")), size_of(value.option("stop"))
    return _part(e, operands[0], axis, start, stop)


def _slice_update(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    whole, part = operands
    axis = axis_option(e, value, whole)
    assert axis is not None
    start = size_of(value.option("start"))
    stop, end = start + e.shape(part)[axis], e.shape(whole)[axis]
    pieces = [part]
    if start != dim(0):
        pieces.insert(0, _part(e, whole, axis, dim(0), start))
    if stop != end:
        pieces.append(_part(e, whole, axis, stop, end))
    return e.op("concat", *pieces, axis=axis) if len(pieces) > 1 else part


def _concat(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    axis = axis_option(e, value, operands[0])
    assert axis is not None
    return e.op("concat", *operands, axis=axis) if len(operands) > 1 else operands[0]


def _stack(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    rows = [e.op("reshape", v, shape=(dim(1), *e.shape(v))) for v in operands]
    return e.op("concat", *rows, axis=0) if len(rows) > 1 else rows[0]


def _reshape(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    if e.shape(operands[0]) == value.type.shape:
        return operands[0]
    return e.op("reshape", operands[0], shape=value.type.shape)


def _broadcast(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    (operand,) = operands
    shape, rank = value.type.shape, len(e.shape(operand))
    if rank == len(shape):
        return operand
    if not rank:
        return e.spread(operand, shape)
    axis = value.option("axis")
    start = axis if isinstance(axis, int) else len(shape) - rank
    return e.op("broadcast", operand, shape=shape, axes=tuple(range(start, start + rank)))


def _gather(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    axis = axis_option(e, value, operands[0])
    indices = value.option("indices")
    assert axis is not None
    assert isinstance(indices, tuple)
    return e.op("gather", operands[0], axis=axis, indices=indices)


def _roll(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    axis, shift = axis_option(e, value, operands[0]), value.option("shift")
    assert axis is not None
    assert isinstance(shift, int)
    return e.op("roll", operands[0], axis=axis, shift=shift)


def _pad(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    axis = axis_option(e, value, operands[0])
    assert axis is not None
    bounds = (size_of(value.option("before")), size_of(value.option("after")))
    return e.op("pad", operands[0], axis=axis, bounds=bounds)


def _chunk_sum(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    count = size_of(value.option("chunks"))
    rows = e.op("reshape", operands[0], shape=(count, *value.type.shape))
    return e.op("reduce_sum", rows, axis=0)


def _entry(e: Emitter, value: TypedValue, operands: Sequence[int]) -> int:
    index = value.option("index")
    assert isinstance(index, int)
    row = _part(e, operands[0], 0, dim(index), dim(index + 1))
    return e.op("reshape", row, shape=value.type.shape)


SHAPED: dict[str, Lowering] = {
    "@": _matmul,
    "outer": _outer,
    "einsum": _einsum,
    "transpose": _transpose,
    "inverse": _inverse,
    "sum": _reduce("reduce_sum"),
    "max_of": _reduce("reduce_max"),
    "argmax": _reduce("argmax"),
    "min_of": _min_of,
    "mean": _mean,
    "var": _var,
    "norm": _norm,
    "softmax": _softmax,
    "logsumexp": _logsumexp,
    "cumsum": _cumsum,
    "cummax": _cummax,
    "l2_normalize": _l2_normalize,
    "standardize": _standardize,
    "dot": _dot,
    "cosine": _cosine,
    "slice": _slice,
    "slice_update": _slice_update,
    "concat": _concat,
    "stack": _stack,
    "reshape": _reshape,
    "broadcast": _broadcast,
    "gather": _gather,
    "roll": _roll,
    "pad": _pad,
    "chunk_sum": _chunk_sum,
    "entry": _entry,
}

"""Type rules of the ops: operand types and attributes to the result's type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from rnndsl.compiler.ir import AttrValue, Type
from rnndsl.dims import Dim, dim

TypeRule = Callable[[Sequence[Type], Mapping[str, AttrValue]], Type]


class OpTypeError(TypeError):
    """Operands or attributes do not fit an op; the message says which and why."""


def dims_attr(attrs: Mapping[str, AttrValue], key: str) -> tuple[Dim, ...]:
    """An attribute that is a tuple of dimensions."""
    value = attrs[key]
    if not isinstance(value, tuple) or not all(isinstance(d, Dim) for d in value):
        raise OpTypeError(f"attribute {key} must be a tuple of dimensions, not {value!r}")
    return value  # type: ignore[return-value]


def ints_attr(attrs: Mapping[str, AttrValue], key: str) -> tuple[int, ...]:
    """An attribute that is a tuple of integers."""
    value = attrs[key]
    if not isinstance(value, tuple) or not all(isinstance(i, int) for i in value):
        raise OpTypeError(f"attribute {key} must be a tuple of integers, not {value!r}")
    return value  # type: ignore[return-value]


def int_attr(attrs: Mapping[str, AttrValue], key: str) -> int:
    """An attribute that is one integer."""
    value = attrs[key]
    if not isinstance(value, int):
        raise OpTypeError(f"attribute {key} must be an integer, not {value!r}")
    return value


def _batched(operands: Sequence[Type]) -> bool:
    return any(operand.batched for operand in operands)


def _axis(operand: Type, attrs: Mapping[str, AttrValue]) -> int:
    axis = int_attr(attrs, "axis")
    if not 0 <= axis < operand.rank:
        raise OpTypeError(f"axis {axis} is not an axis of {operand}")
    return axis


def _resized(operand: Type, axis: int, size: Dim) -> Type:
    shape = (*operand.shape[:axis], size, *operand.shape[axis + 1 :])
    return Type(shape, operand.batched)


def elementwise(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """Equal shapes; the result has that shape."""
    shapes = {operand.shape for operand in operands}
    if len(shapes) != 1:
        raise OpTypeError(f"shapes differ: {', '.join(map(str, operands))}")
    return Type(operands[0].shape, _batched(operands))


def reduction(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """The axis disappears."""
    (operand,) = operands
    axis = _axis(operand, attrs)
    return Type(operand.shape[:axis] + operand.shape[axis + 1 :], operand.batched)


def along_axis(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """The shape stays; the op works along the axis."""
    (operand,) = operands
    _axis(operand, attrs)
    return operand


def pair_along_axis(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """Two operands of one shape, which stays; the op works along the axis."""
    _axis(operands[0], attrs)
    return elementwise(operands, attrs)


def broadcast(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """Operand axis k becomes axis ``axes[k]`` of ``shape``; the others are repeated."""
    (operand,) = operands
    shape, axes = dims_attr(attrs, "shape"), ints_attr(attrs, "axes")
    if len(axes) != operand.rank or list(axes) != sorted(set(axes)):
        raise OpTypeError(f"axes {axes} must be increasing, one for each axis of {operand}")
    if any(not 0 <= axis < len(shape) for axis in axes):
        raise OpTypeError(f"axes {axes} are not axes of the result")
    for size, axis in zip(operand.shape, axes, strict=True):
        if size != shape[axis]:
            raise OpTypeError(f"axis {axis} of the result is {shape[axis]}, not {size}")
    return Type(shape, operand.batched)


def _count(shape: Sequence[Dim]) -> Dim:
    total = dim(1)
    for size in shape:
        total = total * size
    return total


def reshape(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """As many elements as before, in the same (row-major) order."""
    (operand,) = operands
    shape = dims_attr(attrs, "shape")
    if _count(shape) != _count(operand.shape):
        raise OpTypeError(f"{operand} does not have {_count(shape)} elements")
    return Type(shape, operand.batched)


def transpose(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """Result axis k is operand axis ``perm[k]``."""
    (operand,) = operands
    perm = ints_attr(attrs, "perm")
    if sorted(perm) != list(range(operand.rank)):
        raise OpTypeError(f"perm {perm} is not a permutation of the axes of {operand}")
    return Type(tuple(operand.shape[axis] for axis in perm), operand.batched)


def concat(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """Operands that agree but for the axis, one after the other."""
    first = operands[0]
    axis = _axis(first, attrs)
    size = dim(0)
    for operand in operands:
        if operand.rank != first.rank or _resized(operand, axis, dim(0)).shape != (
            _resized(first, axis, dim(0)).shape
        ):
            raise OpTypeError(f"{operand} does not line up with {first}")
        size = size + operand.shape[axis]
    return Type(_resized(first, axis, size).shape, _batched(operands))


def _bounds(attrs: Mapping[str, AttrValue]) -> tuple[Dim, Dim]:
    bounds = dims_attr(attrs, "bounds")
    if len(bounds) != 2:
        raise OpTypeError(f"bounds must be two dimensions, not {bounds}")
    return bounds[0], bounds[1]


def slice_(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """The part ``[start, stop)`` of the axis."""
    (operand,) = operands
    axis = _axis(operand, attrs)
    start, stop = _bounds(attrs)
    size = stop - start
    if not (size.names or start.names or operand.shape[axis].names) and not (
        0 <= int(start) <= int(stop) <= int(operand.shape[axis])
    ):
        raise OpTypeError(f"[{start}, {stop}) is outside axis {axis} of {operand}")
    return _resized(operand, axis, size)


def pad(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """Zeros before and after along the axis."""
    (operand,) = operands
    axis = _axis(operand, attrs)
    before, after = _bounds(attrs)
    return _resized(operand, axis, before + operand.shape[axis] + after)


def gather(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """The entries ``indices`` of the axis."""
    (operand,) = operands
    axis = _axis(operand, attrs)
    return _resized(operand, axis, dim(len(ints_attr(attrs, "indices"))))


def scatter_add(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """The adjoint of gather: entry k is added at ``indices[k]`` of an axis of zeros."""
    (operand,) = operands
    shape = dims_attr(attrs, "shape")
    axis = _axis(operand, attrs)
    if _resized(operand, axis, dim(0)).shape != _resized(Type(shape, False), axis, dim(0)).shape:
        raise OpTypeError(f"{operand} does not scatter into [{', '.join(map(str, shape))}]")
    return Type(shape, operand.batched)


@lru_cache(maxsize=1 << 10)
def parse_spec(spec: AttrValue) -> tuple[str, str, str]:
    """``"ij,j->i"`` as ``("ij", "j", "i")``; OpTypeError when it is not of that form."""
    text = str(spec)
    inputs, arrow, output = text.partition("->")
    left, comma, right = inputs.partition(",")
    letters = left + right + output
    legal = arrow and comma and all(c.isascii() and c.islower() for c in letters)
    repeats = any(len(set(part)) != len(part) for part in (left, right, output))
    if not legal or repeats or not set(output) <= set(left + right):
        raise OpTypeError(f"{text!r} is not a contraction such as 'ij,j->i'")
    return left, right, output


def contract(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """Sum of products over the letters that the result does not name."""
    left, right, output = parse_spec(attrs["spec"])
    sizes: dict[str, Dim] = {}
    for letters, operand in zip((left, right), operands, strict=True):
        if len(letters) != operand.rank:
            raise OpTypeError(f"{letters!r} does not name the axes of {operand}")
        for letter, size in zip(letters, operand.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise OpTypeError(f"{letter!r} is {sizes[letter]} and {size}")
    shape = tuple(sizes[letter] for letter in output)
    if attrs["sum_batch"]:
        if not all(operand.batched for operand in operands):
            raise OpTypeError("sum_batch needs two batched operands")
        return Type(shape, batched=False)
    return Type(shape, _batched(operands))


def batch_sum(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """The sum over the batch: shared."""
    (operand,) = operands
    if not operand.batched:
        raise OpTypeError("batch_sum needs a batched operand")
    return Type(operand.shape, batched=False)


def full(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """A shared constant."""
    return Type(dims_attr(attrs, "shape"), batched=False)


def iota(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """A shared constant: each element's index along the axis."""
    made = full(operands, attrs)
    _axis(made, attrs)
    return made


def inverse(operands: Sequence[Type], attrs: Mapping[str, AttrValue]) -> Type:
    """The inverse of a shared square matrix."""
    (operand,) = operands
    if operand.rank != 2 or operand.shape[0] != operand.shape[1] or operand.batched:
        raise OpTypeError(f"{operand} is not a shared square matrix")
    return operand

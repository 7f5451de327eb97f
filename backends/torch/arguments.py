"""What a layer is called on: layouts brought to [T, B, *shape], everything checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.torch.errors import LayerInputError
from rnndsl.compiler.ir import Type
from rnndsl.diagnostics import Diagnostic, did_you_mean

Lengths = Tensor | Sequence[int]


class Batch(NamedTuple):
    """One call's streams, [T, B, *shape] each, and how to give results back.

    ``valid`` [T, B] is 1 where a sequence still runs, None if all are as long as the batch.
    ``expected`` is what they were checked against.
    """

    expected: Expected
    inputs: tuple[Tensor, ...]
    valid: Tensor | None
    reset: Tensor | None
    unbatched: bool
    packed: PackedSequence | None


@dataclass(frozen=True, slots=True)
class Expected:
    """The cell's inputs by name, and the dtype and device that it computes in.

    ``sizes`` are the inputs' own shapes as numbers.
    """

    inputs: Mapping[str, Type]
    sizes: Mapping[str, tuple[int, ...]]
    dtype: torch.dtype
    device: torch.device
    batch_first: bool

    @property
    def main(self) -> str:
        return next(iter(self.inputs))


def fail(problem: Diagnostic) -> LayerInputError:
    return LayerInputError(problem)


def arrange(
    expected: Expected,
    x: Tensor | PackedSequence,
    extra: Mapping[str, Tensor | PackedSequence],
    lengths: Lengths | None,
    reset: Tensor | None,
) -> Batch:
    """Check and align all inputs of a call; LayerInputError says what does not fit."""
    if lengths is None and reset is None and not extra:
        found = _usual(expected, x)
        if found is not None:
            return found
    given = {expected.main: x, **_named(expected, extra)}
    packed = x if isinstance(x, PackedSequence) else None
    if packed is not None:
        return _unpacked(expected, packed, given, lengths, reset)
    x = tensor_of(f"input `{expected.main}`", x)
    unbatched = x.dim() == expected.inputs[expected.main].rank + 1
    first = expected.batch_first and not unbatched
    streams = {
        name: _stream(expected, name, tensor_of(f"input `{name}`", value), unbatched, first)
        for name, value in given.items()
    }
    time, batch = streams[expected.main].shape[:2]
    valid = None if lengths is None else _valid(expected, lengths, time, batch)
    flags = None if reset is None else _flags(expected, reset, unbatched, first, time, batch)
    inputs = _checked(expected, streams)
    return Batch(expected, inputs, valid, flags, unbatched, None)


def _usual(expected: Expected, x: Tensor | PackedSequence) -> Batch | None:
    """The batch of a call with one stream [T, B, *shape] that fits as it is, else None."""
    if not isinstance(x, Tensor) or len(expected.inputs) != 1 or not _is_dense(x):
        return None
    shape = x.shape
    fits = (
        shape[2:] == expected.sizes[expected.main]
        and len(shape) > 1
        and x.dtype == expected.dtype
        and x.device == expected.device
    )
    if not fits or 0 in shape[:2]:
        return None
    stream = x.transpose(0, 1) if expected.batch_first else x
    return Batch(expected, (stream,), None, None, False, None)


def _named(
    expected: Expected, extra: Mapping[str, Tensor | PackedSequence]
) -> dict[str, Tensor | PackedSequence]:
    names = list(expected.inputs)[1:]
    for name in extra:
        if name not in names:
            close = did_you_mean(name, names)
            known = ", ".join(expected.inputs)
            raise fail(catalogue.UnknownInput(None, name, known, close))
    for name in names:
        if extra.get(name) is None:
            raise fail(catalogue.MissingInput(None, name))
    return {name: extra[name] for name in names}


def tensor_of(what: str, value: object) -> Tensor:
    """The value, if it is a tensor whose elements all lie in memory."""
    if not isinstance(value, Tensor):
        raise fail(catalogue.BadOption(None, what, "a tensor", f"a {type(value).__name__}"))
    if not _is_dense(value):
        kind = "a nested one" if value.is_nested else f"one of layout {value.layout}"
        raise fail(catalogue.BadOption(None, what, "a dense tensor", kind))
    return value


def _is_dense(value: Tensor) -> bool:
    """Whether all elements lie in memory, at places that its strides tell."""
    return value.layout is torch.strided and not value.is_nested


def _unpacked(
    expected: Expected,
    packed: PackedSequence,
    given: Mapping[str, Tensor | PackedSequence],
    lengths: Lengths | None,
    reset: Tensor | None,
) -> Batch:
    """Streams of packed sequences, in the order in which the user gave the sequences."""
    if lengths is not None:
        what = "lengths beside a PackedSequence"
        raise fail(catalogue.BadOption(None, what, "left out", "given"))
    _, sizes = pad_packed_sequence(packed)
    streams = {}
    for name, value in given.items():
        if isinstance(value, PackedSequence):
            padded, own = pad_packed_sequence(value)
            streams[name] = _stream(expected, name, padded, False, False)
            if not torch.equal(own, sizes):
                wanted, got = str(sizes.tolist()), str(own.tolist())
                raise fail(catalogue.UnequalPacking(None, name, expected.main, wanted, got))
        else:
            tensor = tensor_of(f"input `{name}`", value)
            streams[name] = _stream(expected, name, tensor, False, expected.batch_first)
    inputs = _checked(expected, streams)
    time, batch = inputs[0].shape[:2]
    flags = None
    if reset is not None:
        flags = _flags(expected, reset, False, expected.batch_first, time, batch)
    return Batch(expected, inputs, _mask(expected, sizes, time), flags, False, packed)


def _layout(expected: Expected, name: str, unbatched: bool, first: bool) -> str:
    lead = ["T"] if unbatched else (["B", "T"] if first else ["T", "B"])
    return f"[{', '.join([*lead, *map(str, expected.inputs[name].shape)])}]"


def _stream(expected: Expected, name: str, value: Tensor, unbatched: bool, first: bool) -> Tensor:
    kind = expected.inputs[name]
    what = f"input `{name}`"
    rank = kind.rank + (1 if unbatched else 2)
    layout = ""
    if value.dim() != rank or value.shape[rank - kind.rank :] != expected.sizes[name]:
        layout = _layout(expected, name, unbatched, first)
    if value.dim() != rank:
        either = f"{kind.rank + 1} or {kind.rank + 2}" if name == expected.main else str(rank)
        raise fail(catalogue.WrongRank(None, what, either, value.dim(), layout))
    own = value.shape[rank - kind.rank :]
    for axis, (size, got) in enumerate(zip(expected.sizes[name], own, strict=True)):
        if size != got:
            label = "its last axis" if axis == kind.rank - 1 else f"own axis {axis}"
            raise fail(catalogue.WrongSize(None, what, label, size, got, layout))
    if unbatched:
        return value.unsqueeze(1)
    return value.transpose(0, 1) if first else value


def _checked(expected: Expected, streams: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Equal T and B, nothing empty, the dtype and device of the layer."""
    main = streams[expected.main]
    for name, value in streams.items():
        what = f"input `{name}`"
        for axis, label in enumerate(("T", "B")):
            if value.shape[axis] == 0:
                raise fail(catalogue.EmptyAxis(None, what, label))
            if value.shape[axis] != main.shape[axis]:
                layout = f"the same T and B as input `{expected.main}`"
                size, got = main.shape[axis], value.shape[axis]
                raise fail(catalogue.WrongSize(None, what, label, size, got, layout))
    return tuple(place(expected, f"input `{n}`", streams[n]) for n in expected.inputs)


def place(expected: Expected, what: str, value: Tensor) -> Tensor:
    """The tensor, if it has the layer's dtype and device; under autocast it is converted."""
    if value.device != expected.device:
        raise fail(catalogue.WrongDevice(None, what, str(expected.device), str(value.device)))
    if value.dtype != expected.dtype:
        if value.is_floating_point() and torch.is_autocast_enabled(value.device.type):
            return value.to(expected.dtype)
        raise fail(catalogue.WrongDtype(None, what, str(expected.dtype), str(value.dtype)))
    return value


def _valid(expected: Expected, lengths: Lengths, time: int, batch: int) -> Tensor:
    try:
        # Not on the default device: numbers that lie here can be checked.
        found = lengths if isinstance(lengths, Tensor) else torch.as_tensor(lengths, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        text = f"found a {type(lengths).__name__} that is not such a list"
        raise fail(catalogue.BadLengths(None, batch, time, text)) from None
    whole = not found.is_floating_point() and not found.is_complex() and found.dtype != torch.bool
    if not whole or found.shape != (batch,):
        text = f"found {found.dtype} of shape {list(found.shape)}"
        raise fail(catalogue.BadLengths(None, batch, time, text))
    # Reading values that lie on another device would wait for it.
    readable = found.device.type == "cpu" and not torch.compiler.is_compiling()
    if readable and not bool(((found >= 1) & (found <= time)).all()):
        raise fail(catalogue.BadLengths(None, batch, time, f"found {found.tolist()}"))
    return _mask(expected, found, time)


def _mask(expected: Expected, lengths: Tensor, time: int) -> Tensor:
    steps = torch.arange(time, device=expected.device)
    return (steps[:, None] < lengths.to(expected.device)[None, :]).to(expected.dtype)


def _flags(
    expected: Expected, reset: Tensor, unbatched: bool, first: bool, time: int, batch: int
) -> Tensor:
    """Restart flags [T, B], 1 where the states restart before the step."""
    reset = tensor_of("reset", reset)
    flags = reset.unsqueeze(1) if unbatched else reset
    flags = flags.transpose(0, 1) if first else flags
    layout = "[T]" if unbatched else ("[B, T]" if first else "[T, B]")
    if flags.dim() != 2:
        raise fail(catalogue.WrongRank(None, "reset", layout, reset.dim(), layout))
    for axis, size in enumerate((time, batch)):
        if flags.shape[axis] != size:
            label = "TB"[axis]
            got = flags.shape[axis]
            raise fail(catalogue.WrongSize(None, "reset", label, size, got, layout))
    return flags.to(expected.device, expected.dtype)

"""States as a user holds them, and as each layer and direction takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.torch.arguments import Expected, fail, place, tensor_of
from rnndsl.compiler.ir import Type

State = Tensor | tuple[Tensor, ...]


def split_states(
    expected: Expected,
    states: Mapping[str, Type],
    sizes: Mapping[str, tuple[int, ...]],
    given: State | Sequence[Tensor] | None,
    places: int,
    batch: int,
    unbatched: bool,
) -> list[list[Tensor]]:
    """For each layer and direction its states [B, *shape]; empty lists where none are given.

    LayerInputError says which state does not fit, and how.
    """
    if given is None or not states:
        return [[] for _ in range(places)]
    if not isinstance(given, Tensor | Sequence):
        kind = f"a {type(given).__name__}"
        raise fail(catalogue.BadOption(None, "state", "a tensor or a tuple of tensors", kind))
    tensors = [given] if isinstance(given, Tensor) else list(given)
    if len(tensors) != len(states):
        names = ", ".join(states)
        raise fail(catalogue.WrongStateCount(None, len(tensors), len(states), names))
    checked = [
        _checked(expected, name, kind, sizes[name], tensor, places, batch, unbatched)
        for (name, kind), tensor in zip(states.items(), tensors, strict=True)
    ]
    return [list(parts) for parts in zip(*[tensor.unbind(0) for tensor in checked], strict=True)]


def _checked(
    expected: Expected,
    name: str,
    kind: Type,
    sizes: tuple[int, ...],
    tensor: Tensor,
    places: int,
    batch: int,
    unbatched: bool,
) -> Tensor:
    usual = (places, batch, *sizes) if not unbatched else (places, *sizes)
    if (
        isinstance(tensor, Tensor)
        and tensor.shape == usual
        and tensor.dtype == expected.dtype
        and tensor.device == expected.device
    ):
        return tensor.unsqueeze(1) if unbatched else tensor
    what = f"state `{name}`"
    lead = {"layers*directions": places} | ({} if unbatched else {"B": batch})
    layout = f"[{', '.join([*lead, *map(str, kind.shape)])}]"
    rank = len(lead) + kind.rank
    if tensor_of(what, tensor).dim() != rank:
        raise fail(catalogue.WrongRank(None, what, str(rank), tensor.dim(), layout))
    labels = [*lead, *(f"own axis {axis}" for axis in range(kind.rank))]
    wanted = [*lead.values(), *sizes]
    for label, size, got in zip(labels, wanted, tensor.shape, strict=True):
        if size != got:
            raise fail(catalogue.WrongSize(None, what, label, size, got, layout))
    tensor = place(expected, what, tensor)
    return tensor.unsqueeze(1) if unbatched else tensor


def given_states(given: State | Sequence[Tensor] | None) -> list[Tensor] | None:
    """The states that a user gave; none where none are given.  Nothing is checked, but None for
    what is not made of tensors, or of none."""
    if given is None:
        return []
    tensors = [given] if isinstance(given, Tensor) else given
    if not isinstance(tensors, tuple | list) or not tensors:
        return None
    if not all(type(one) is Tensor for one in tensors):
        return None
    return list(tensors)


def join_states(finals: Sequence[Sequence[Tensor]], unbatched: bool) -> State:
    """The states of all layers and directions, stacked; a single state is passed bare."""
    if len(finals) == 1:
        joined = tuple([tensor.unsqueeze(0) for tensor in finals[0]])
    else:
        joined = tuple([torch.stack(tensors) for tensors in zip(*finals, strict=True)])
    if unbatched:
        joined = tuple(tensor.squeeze(1) for tensor in joined)
    return state_of(joined)


def state_of(joined: Sequence[Tensor]) -> State:
    """States as a user gets them: a single one bare."""
    return joined[0] if len(joined) == 1 else tuple(joined)

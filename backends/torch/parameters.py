"""Parameters of one layer: a tree of modules whose state_dict keys are the cell's own names."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor


def parameter_paths(names: Sequence[str], taken: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Where each parameter is registered: its name, split at the dots.

    A part that torch.nn.Module uses for itself (``type``), a first part that the module above
    uses (``taken``), or a part that names both a parameter and a group of parameters, gets a
    trailing underscore.
    """
    groups = {
        name.rsplit(".", count)[0] for name in names for count in range(1, 1 + name.count("."))
    }
    parts = {part for name in names for part in name.split(".")}
    above = _TAKEN | frozenset(taken)
    found = {}
    for name in names:
        first, *rest = name.split(".")
        path = [_free(first, above, parts), *(_free(part, _TAKEN, parts) for part in rest)]
        if name in groups:
            path[-1] = _underscored(path[-1], parts)
        found[name] = tuple(path)
    return found


def _free(part: str, taken: Container[str], parts: Container[str]) -> str:
    return _underscored(part, parts) if part in taken else part


def _underscored(part: str, parts: Container[str]) -> str:
    """The part with as many underscores as it takes to differ from all parts of names."""
    while part in parts:
        part += "_"
    return part


_TAKEN = frozenset(dir(nn.Module()))


class Group(nn.Module):
    """Parameters that share a prefix; it holds them and does nothing else."""


def register(root: nn.Module, path: tuple[str, ...], value: Tensor, trainable: bool) -> None:
    """Put a parameter (a buffer, if it is frozen) below ``root``."""
    module = root
    for part in path[:-1]:
        if part not in module._modules:
            module.add_module(part, Group())
        child = module._modules[part]
        assert child is not None
        module = child
    if trainable:
        module.register_parameter(path[-1], nn.Parameter(value))
    else:
        module.register_buffer(path[-1], value)


def next_seed() -> int | None:
    """A seed drawn from torch's default generator, so that torch.manual_seed decides it; None
    where tensors are made without their numbers."""
    drawn = torch.randint(0, 2**62, (), dtype=torch.int64, device="cpu")
    return None if isinstance(drawn, FakeTensor) else int(drawn)

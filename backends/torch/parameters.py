"""Parameters of one layer: a tree of modules whose state_dict keys are the cell's own names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def parameter_paths(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Where each parameter is registered: its name, split at the dots.

    A part that torch.nn.Module uses for itself (``type``), or that names both a parameter
    and a group of parameters, gets a trailing underscore.
    """
    groups = {
        name.rsplit(".", count)[0] for name in names for count in range(1, 1 + name.count("."))
    }
    found = {}
    for name in names:
        *parents, last = name.split(".")
        own = f"{last}_" if name in groups else last
        found[name] = tuple(_free(part) for part in (*parents, own))
    return found


def _free(part: str) -> str:
    return f"{part}_" if part in _TAKEN else part


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


def next_seed() -> int:
    """A seed drawn from torch's default generator, so that torch.manual_seed decides it."""
    return int(torch.randint(0, 2**62, (), dtype=torch.int64, device="cpu"))

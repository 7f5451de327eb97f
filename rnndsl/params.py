"""What a lowered cell says about its parameters."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.dims import Dim


@dataclass(frozen=True, slots=True)
class Init:
    """An initialiser by name with its numbers, such as ``uniform(-0.1, 0.1)``."""

    name: str
    args: tuple[float, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{a:g}' for a in self.args)})" if self.args else self.name


DEFAULT_INIT = Init("default_uniform")


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """One parameter: the key and shape of its array, and how it starts.

    ``hidden`` is the size that the default initialiser uniform(±1/sqrt(hidden)) reads: the
    ``H`` of the cell that declares it, else the number of values that one result sums over;
    None for a declared ``param`` of a cell without ``H`` (then its last axis counts).
    """

    name: str
    shape: tuple[Dim, ...]
    init: Init
    trainable: bool
    hidden: Dim | None

"""A space: a cell with choices left open, as a finite table of conditional choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from rnndsl.syntax import CellDefinition, Expr


@dataclass(frozen=True, slots=True)
class Option:
    """One way to fill a hole.

    ``value`` is what stands in the hole's place; the holes inside it are references to
    ``choices``, which are made only when this option is taken.
    """

    label: str
    value: Expr
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A hole: its name, unique in the space, and at least one option; ``grown`` is a place of
    a grown expression."""

    name: str
    options: tuple[Option, ...]
    grown: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(option.label for option in self.options)


@dataclass(frozen=True)
class Space:
    """A cell with holes.

    ``template`` is the definition with every hole replaced by a reference, a Hole without
    options.  ``roots`` are the choices that every cell of the space makes, in order;
    ``table`` holds these and all the choices that depend on them.  ``others`` are the cells
    that the template may use.  ``text`` is the formatted source of the space.
    """

    name: str
    template: CellDefinition
    roots: tuple[str, ...]
    table: Mapping[str, Choice] = field(repr=False)
    others: tuple[CellDefinition, ...] = ()
    text: str = field(default="", repr=False)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """Every choice of the space, those made always first."""
        nested = [choice for name, choice in self.table.items() if name not in self.roots]
        return (*(self.table[name] for name in self.roots), *nested)

    def nested(self, option: Option) -> tuple[str, ...]:
        """The choices that ``option`` adds: a choice that is made anyway is not made again."""
        return tuple(name for name in option.choices if name not in self._root_set)

    @cached_property
    def _root_set(self) -> frozenset[str]:
        return frozenset(self.roots)

"""The typed cell: one flat list of typed equations, after loops, tests and sub-cells are gone."""

from __future__ import annotations

from dataclasses import dataclass, field

from rnndsl.dims import Dim
from rnndsl.params import ParamSpec
from rnndsl.source import Span
from rnndsl.types import Static, ValueType

Option = Static | str | None | tuple[int, ...] | tuple[Dim, ...]

INPUT, STATE, PARAM = "input", "state", "param"
LEAVES = (INPUT, STATE, PARAM)


@dataclass(frozen=True, slots=True)
class TypedValue:
    """One value: a leaf (``function`` is input, state or param) or a function of earlier ones.

    ``options`` are the static arguments, in the order of the function's signature.
    ``name`` is the full name in the cell: ``i``, ``h'``, ``y.0`` in a loop, ``k.c`` in a
    sub-cell; empty for a value without one.
    """

    function: str
    operands: tuple[int, ...]
    options: tuple[tuple[str, Option], ...]
    type: ValueType
    name: str = ""
    span: Span | None = field(default=None, compare=False)

    def option(self, key: str) -> Option:
        """The option ``key``; KeyError if the value has none."""
        return dict(self.options)[key]


@dataclass(frozen=True, slots=True)
class TypedState:
    """A state: its leaf, its value at the next step, and its initial value (None: zeros)."""

    name: str
    leaf: int
    next: int
    init: int | None


@dataclass(frozen=True, slots=True)
class TypedCell:
    """A cell whose every value has a type; ``values`` are in order of evaluation.

    ``names`` gives the value of each named thing, aliases included.  ``dims`` are the
    dimensions that are still open.
    """

    name: str
    dims: tuple[str, ...]
    values: tuple[TypedValue, ...]
    inputs: tuple[int, ...]
    states: tuple[TypedState, ...]
    params: tuple[ParamSpec, ...]
    output: int
    names: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return typed_text(self)


def typed_text(cell: TypedCell) -> str:
    """The cell as text, one named or shared value per line, each with its type."""
    uses = [0] * len(cell.values)
    for value in cell.values:
        for operand in value.operands:
            uses[operand] += 1
    roots = {cell.output, *(s.next for s in cell.states)}
    roots |= {s.init for s in cell.states if s.init is not None}
    texts: list[str] = []
    lines = [f"cell {cell.name}({', '.join(cell.dims)}):"]
    inits = {s.leaf: s.init for s in cell.states}
    specs = {spec.name: spec for spec in cell.params}
    for index, value in enumerate(cell.values):
        kind = ("" if value.type.batched else "shared ") + str(value.type)
        if value.function in LEAVES:
            texts.append(value.name)
            start = inits.get(index)
            suffix = f" = {_name(cell, start)}" if start is not None else ""
            if value.function == PARAM:
                spec = specs[value.name]
                suffix = f" = {spec.init}" + ("" if spec.trainable else " frozen")
            lines.append(f"    {value.function} {value.name}: {value.type}{suffix}")
            continue
        text = _equation(value, texts)
        trivial = not value.operands and len(text) < 12
        if value.name or index in roots or (uses[index] > 1 and not trivial) or len(text) > 400:
            texts.append(value.name or f"%{index}")
            lines.append(f"    {texts[-1]}: {kind} = {text}")
        else:
            texts.append(text)
    lines += [f"    next {s.name} = {texts[s.next]}" for s in cell.states]
    lines.append(f"    return {texts[cell.output]}")
    return "\n".join(lines) + "\n"


def _name(cell: TypedCell, index: int) -> str:
    return cell.values[index].name or f"%{index}"


def _equation(value: TypedValue, texts: list[str]) -> str:
    if value.function in ("number", "size"):
        return str(value.option("value"))
    shown = [texts[v] for v in value.operands]
    if not value.function.isidentifier():
        return f"({f' {value.function} '.join(shown)})"
    shown += [
        f"{key} = {_option_text(option)}" for key, option in value.options if option is not None
    ]
    return f"{value.function}({', '.join(shown)})"


def _option_text(option: Option) -> str:
    if isinstance(option, tuple):
        return f"[{', '.join(map(str, option))}]"
    return f'"{option}"' if isinstance(option, str) else str(option)

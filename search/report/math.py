"""The equations of a cell as MathML, which browsers typeset by themselves.

A state before the step is h with the index t-1, after it with t; `linear` of some operands is
W with the name of its target, applied to them.
"""

from __future__ import annotations

from html import escape

from rnndsl.syntax import (
    Argument,
    Assign,
    Attribute,
    Binary,
    Call,
    CellDefinition,
    Conditional,
    Expr,
    Index,
    Input,
    Name,
    Number,
    Return,
    State,
    Unary,
)

_FUNCTIONS = {"sigmoid": "σ", "relu": "ReLU", "softplus": "softplus"}
_OPERATORS = {"*": "⊙", "-": "−", "<=": "≤", ">=": "≥", "==": "=", "!=": "≠"}
_TIGHT = {"+": 1, "-": 1, "*": 2, "/": 2, "@": 2, "**": 4}
_TIGHTEST = 9


def equations(cell: CellDefinition) -> list[str]:
    """One MathML formula for each line of a cell that says something; empty when the cell has
    parts (loops, sub-cells) that read better as text."""
    writer = _Writer(cell)
    lines: list[str] = []
    for statement in cell.body:
        if isinstance(statement, Assign):
            writer.target = statement.target.name
            right, _ = writer.write(statement.value)
            lines.append(_formula(f"{writer.name(statement.target)}<mo>=</mo>{right}"))
        elif not isinstance(statement, Input | State | Return):
            return []
    return lines


def _formula(inner: str) -> str:
    return f'<div><math displaystyle="true"><mrow>{inner}</mrow></math></div>'


class _Writer:
    """Writes the expressions of one cell."""

    def __init__(self, cell: CellDefinition) -> None:
        self.states = {part.name for part in cell.body if isinstance(part, State)}
        self.inputs = {part.name for part in cell.body if isinstance(part, Input)}
        self.target = ""

    def write(self, node: Expr) -> tuple[str, int]:
        """MathML of an expression, and how tightly its outermost operator binds."""
        match node:
            case Number():
                return f"<mn>{escape(node.text)}</mn>", _TIGHTEST
            case Name():
                return self.name(node), _TIGHTEST
            case Unary():
                inner = self._inside(node.operand, 3)
                return f"<mo>{_OPERATORS.get(node.op, node.op)}</mo>{inner}", 3
            case Binary():
                return self._binary(node)
            case Call():
                return self._call(node), _TIGHTEST
            case Conditional():
                value, test = self.write(node.value)[0], self.write(node.test)[0]
                other = "" if node.orelse is None else self.write(node.orelse)[0]
                return f"{value}<mtext> if </mtext>{test}<mtext> else </mtext>{other}", 0
            case Attribute():
                base = self.write(node.base)[0]
                return f"<mrow>{base}<mo>.</mo>{_identifier(node.name)}</mrow>", _TIGHTEST
            case Index():
                base, index = self.write(node.base)[0], self.write(node.index)[0]
                return f"<msub><mrow>{base}</mrow><mrow>{index}</mrow></msub>", _TIGHTEST
        return f"<mtext>{escape(type(node).__name__)}</mtext>", _TIGHTEST

    def name(self, node: Name) -> str:
        if node.name in self.states:
            time = "<mi>t</mi>" if node.primed else "<mi>t</mi><mo>−</mo><mn>1</mn>"
            return f"<msub>{_identifier(node.name)}<mrow>{time}</mrow></msub>"
        if node.name in self.inputs:
            return f"<msub>{_identifier(node.name)}<mi>t</mi></msub>"
        return _identifier(node.name) + ("<mo>′</mo>" if node.primed else "")

    def _binary(self, node: Binary) -> tuple[str, int]:
        tight = _TIGHT.get(node.op, 0)
        if node.op == "/":
            left, right = self.write(node.left)[0], self.write(node.right)[0]
            return f"<mfrac><mrow>{left}</mrow><mrow>{right}</mrow></mfrac>", _TIGHTEST
        if node.op == "**":
            left, right = self._inside(node.left, tight + 1), self.write(node.right)[0]
            return f"<msup><mrow>{left}</mrow><mrow>{right}</mrow></msup>", _TIGHTEST
        left = self._inside(node.left, tight)
        right = self._inside(node.right, tight + (1 if node.op != "+" else 0))
        sign = "" if node.op == "@" else f"<mo>{escape(_OPERATORS.get(node.op, node.op))}</mo>"
        return f"{left}{sign}{right}", tight

    def _inside(self, node: Expr, least: int) -> str:
        text, tight = self.write(node)
        return text if tight >= least else f"<mrow><mo>(</mo>{text}<mo>)</mo></mrow>"

    def _call(self, node: Call) -> str:
        function = node.callee.name if isinstance(node.callee, Name) else ""
        operands = [a for a in node.arguments if not a.name]
        if function == "linear":
            return self._linear(node, operands)
        written = "<mo>,</mo>".join(self.write(a.value)[0] for a in operands)
        shown = _FUNCTIONS.get(function, function)
        style = "" if len(shown) > 1 else ' mathvariant="normal"'
        return f"<mrow><mi{style}>{escape(shown)}</mi><mo>(</mo>{written}<mo>)</mo></mrow>"

    def _linear(self, node: Call, operands: list[Argument]) -> str:
        given = [a.value for a in node.arguments if a.name == "name"]
        names = [value.name for value in given if isinstance(value, Name)]
        matrix = f"<msub><mi>W</mi>{_identifier((names or [self.target])[0])}</msub>"
        written = [self.write(a.value)[0] for a in operands]
        if len(written) == 1 and isinstance(operands[0].value, Name):
            return f"<mrow>{matrix}<mspace width='0.15em'/>{written[0]}</mrow>"
        return f"<mrow>{matrix}<mo>[</mo>{'<mo>,</mo>'.join(written)}<mo>]</mo></mrow>"


def _identifier(name: str) -> str:
    return f"<mi>{escape(name)}</mi>"

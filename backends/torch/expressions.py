"""One PyTorch expression for each op of the graph.

Every expression counts an example's own axes from the right, so the same table serves
shared values (no leading axes), one time step ([B, ...]) and whole streams ([T, B, ...]).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rnndsl.compiler.ir import Node, Type


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand as it stands in the code: an identifier or a number, and its type.

    ``lead`` is the text of its leading axes: ``"T, B, "``, ``"B, "`` or ``""``.
    """

    text: str
    type: Type
    lead: str = ""
    literal: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """What an expression may need besides its operands.

    ``like`` names a tensor that has the dtype and device of the computation; ``indices``
    maps a tuple of gather indices to the name of the tensor that holds them; ``scans`` gives
    the name of the module of scans.
    """

    like: str
    indices: Callable[[tuple[int, ...]], str]
    scans: Callable[[], str]


Expression = Callable[[Node, tuple[Operand, ...], Site], str]

_UNARY = {
    "neg": "-{0}",
    "abs": "{0}.abs()",
    "sign": "{0}.sign()",
    "exp": "{0}.exp()",
    "log": "{0}.log()",
    "log1p": "{0}.log1p()",
    "sqrt": "{0}.sqrt()",
    "sin": "{0}.sin()",
    "cos": "{0}.cos()",
    "tanh": "{0}.tanh()",
    "sigmoid": "{0}.sigmoid()",
    "relu": "{0}.relu()",
    # Beyond 40 the two branches are the same number in float64.
    "softplus": "F.softplus({0}, threshold=40)",
    "logsigmoid": "F.logsigmoid({0})",
    "erf": "{0}.erf()",
    "floor": "{0}.floor()",
    "round": "{0}.round()",
    "step": "({0} > 0).to({0}.dtype)",
    "stop_grad": "{0}",
    "inverse": "torch.linalg.inv({0})",
}

_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARISON = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_BINARY_CALL = {"pow": "torch.pow({0}, {1})", "mod": "torch.remainder({0}, {1})"}
_BOUND = {"max": ("torch.maximum", "min"), "min": ("torch.minimum", "max")}

# Ops whose operands may be written as plain numbers where they are constants.
TAKES_LITERALS = frozenset({*_ARITHMETIC, *_COMPARISON, *_BINARY_CALL, *_BOUND, "where"})


def _template(pattern: str) -> Expression:
    return lambda node, operands, site: pattern.format(*(o.text for o in operands))


def _comparison(symbol: str) -> Expression:
    def build(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
        a, b = operands
        return f"({a.text} {symbol} {b.text}).to({site.like}.dtype)"

    return build


def _bound(function: str, keyword: str) -> Expression:
    def build(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
        a, b = operands
        if a.literal:
            a, b = b, a
        if b.literal:
            return f"{a.text}.clamp({keyword}={b.text})"
        return f"{function}({a.text}, {b.text})"

    return build


def sizes(value: object) -> tuple[int, ...]:
    """The numbers in an attribute that is a tuple of dimensions or of numbers."""
    assert isinstance(value, tuple)
    return tuple(int(v) for v in value)


def _axis(node: Node, operand: Operand) -> int:
    """The attribute ``axis``, counted from the right (negative)."""
    axis = node.attr("axis")
    assert isinstance(axis, int)
    return axis - operand.type.rank


def shape_text(lead: str, shape: tuple[int, ...]) -> str:
    """``(T, B, 3)``: a shape with its leading axes."""
    inner = lead + ", ".join(map(str, shape))
    return f"({inner},)" if shape and not lead and len(shape) == 1 else f"({inner})"


def _reduce(pattern: str) -> Expression:
    def build(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
        (a,) = operands
        return pattern.format(a.text, axis=_axis(node, a), like=site.like)

    return build


def _cumsum(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    (a,) = operands
    axis = _axis(node, a)
    if node.attr("reverse"):
        return f"{a.text}.flip({axis}).cumsum({axis}).flip({axis})"
    return f"{a.text}.cumsum({axis})"


def _scan(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    factor, addend = operands
    rest = f"{factor.text}, {addend.text}, {_axis(node, addend)}, {node.attr('reverse')}"
    return f'{site.scans()}.along("{node.op}", {rest})'


def _broadcast(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    (a,) = operands
    axes, shape = sizes(node.attr("axes")), sizes(node.attr("shape"))
    kept = a.type.sizes
    widened = [1] * len(shape)
    for size, axis in zip(kept, axes, strict=True):
        widened[axis] = size
    text = a.text
    if len(widened) != len(kept):
        text = f"{text}.reshape{shape_text(a.lead, tuple(widened))}"
    if tuple(widened) == shape:
        return text
    return f"{text}.expand{shape_text(a.lead, shape)}"


def _reshape(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    (a,) = operands
    shape = shape_text(a.lead, sizes(node.attr("shape")))
    return f"{a.text}.reshape{'(())' if shape == '()' else shape}"


def _permuted(a: Operand, perm: tuple[int, ...]) -> str:
    lead = a.lead.count(",")
    order = ", ".join(map(str, [*range(lead), *(lead + p for p in perm)]))
    return f"{a.text}.permute({order})"


def _transpose(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    return _permuted(operands[0], sizes(node.attr("perm")))


def _concat(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    lead = max((o.lead for o in operands), key=len)
    parts = [
        o.text if o.lead == lead else f"{o.text}.expand{shape_text(lead, o.type.sizes)}"
        for o in operands
    ]
    return f"torch.cat([{', '.join(parts)}], {_axis(node, operands[0])})"


def _slice(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    (a,) = operands
    start, stop = sizes(node.attr("bounds"))
    return f"{a.text}.narrow({_axis(node, a)}, {start}, {stop - start})"


def _pad(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    (a,) = operands
    before, after = sizes(node.attr("bounds"))
    amounts = [0] * (2 * (-_axis(node, a) - 1)) + [before, after]
    return f"F.pad({a.text}, {tuple(amounts)})"


def _gather(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    (a,) = operands
    return f"{a.text}.index_select({_axis(node, a)}, {site.indices(sizes(node.attr('indices')))})"


def _scatter_add(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    (a,) = operands
    zeros = f"{site.like}.new_zeros({shape_text(a.lead, sizes(node.attr('shape')))})"
    indices = site.indices(sizes(node.attr("indices")))
    return f"{zeros}.index_add({_axis(node, a)}, {indices}, {a.text})"


def _roll(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    (a,) = operands
    return f"{a.text}.roll({node.attr('shift')}, {_axis(node, a)})"


def _batch_sum(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    (a,) = operands
    lead = tuple(range(a.lead.count(",")))
    return f"{a.text}.sum({lead if len(lead) > 1 else lead[0]})"


def _full(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    value = node.attr("value")
    assert isinstance(value, int | float)
    return f"{site.like}.new_full({shape_text('', sizes(node.attr('shape')))}, {number(value)})"


def _iota(node: Node, operands: tuple[Operand, ...], site: Site) -> str:
    shape = sizes(node.attr("shape"))
    axis = node.attr("axis")
    assert isinstance(axis, int)
    text = f"torch.arange({shape[axis]}, dtype={site.like}.dtype, device={site.like}.device)"
    if len(shape) == 1:
        return text
    widened = tuple(size if k == axis else 1 for k, size in enumerate(shape))
    return f"{text}.reshape{shape_text('', widened)}.expand{shape_text('', shape)}"


def number(value: float) -> str:
    """A float as Python source."""
    if math.isnan(value):
        return "math.nan"
    if math.isinf(value):
        return "math.inf" if value > 0 else "-math.inf"
    return repr(float(value))


EXPRESSIONS: dict[str, Expression] = {
    **{op: _template(pattern) for op, pattern in _UNARY.items()},
    **{op: _template(f"{{0}} {symbol} {{1}}") for op, symbol in _ARITHMETIC.items()},
    **{op: _comparison(symbol) for op, symbol in _COMPARISON.items()},
    **{op: _template(pattern) for op, pattern in _BINARY_CALL.items()},
    **{op: _bound(function, keyword) for op, (function, keyword) in _BOUND.items()},
    "where": _template("torch.where({0} != 0, {1}, {2})"),
    "reduce_sum": _reduce("{0}.sum({axis})"),
    "reduce_max": _reduce("{0}.amax({axis})"),
    "argmax": _reduce("{0}.argmax({axis}).to({like}.dtype)"),
    "cumsum": _cumsum,
    "cummax": _reduce("{0}.cummax({axis}).values"),
    "linear_scan": _scan,
    "max_scan": _scan,
    "broadcast": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "concat": _concat,
    "slice": _slice,
    "pad": _pad,
    "gather": _gather,
    "scatter_add": _scatter_add,
    "roll": _roll,
    "batch_sum": _batch_sum,
    "full": _full,
    "iota": _iota,
}

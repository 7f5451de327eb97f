"""How ops are written in a drawing: symbols of operators, and short forms of shared values."""

from __future__ import annotations

from rnndsl.compiler.drawing.text import Label, name, number, op, plain
from rnndsl.compiler.ir import Graph, Leaf, Node

# Operators that stand between their operands.
INFIX = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "div": "÷",
    "mod": "mod",
    "lt": "<",
    "le": "≤",
    "gt": ">",
    "ge": "≥",
    "eq": "=",
    "ne": "≠",
    "max": "max",
    "min": "min",
    "pow": "^",
}

# Functions of one value whose usual sign is not their name.
FUNCTIONS = {
    "sigmoid": "σ",
    "neg": "−",
    "abs": "|·|",
    "sqrt": "√",
    "log1p": "log 1+",
    "stop_grad": "stop ∇",
    "logsigmoid": "log σ",
    "reduce_sum": "Σ",
    "reduce_max": "max",
    "cumsum": "cumsum",
    "cummax": "cummax",
    "linear_scan": "scan",
    "max_scan": "max scan",
    "batch_sum": "Σ batch",
    "concat": "concat",
    "scatter_add": "scatter +",
    "layer_norm": "LayerNorm",
    "rms_norm": "RMSNorm",
}

# A few einsum patterns have signs of their own; letters are renamed in order of appearance.
_CONTRACTIONS = {
    "a,a->": "·",
    "a,b->ab": "⊗",
    "ab,b->a": "@",
    "a,ab->b": "@",
    "ab,a->b": "@",
    "a,ba->b": "@",
    "ab,bc->ac": "@",
}

# What separate.py calls the derived parameters that the user gave no name.
DERIVED = "derived."

# A shared value longer than this is not written out.
_LONGEST = 14


def contraction(spec: str) -> str:
    """The sign of an einsum pattern, or the pattern itself.

    A first axis that all share, such as heads, makes no difference to the sign.
    """
    whole = spec
    operands, _, result = spec.partition("->")
    left, _, right = operands.partition(",")
    if result and left[:1] == right[:1] == result[:1]:
        spec = f"{left[1:]},{right[1:]}->{result[1:]}"
    letters: dict[str, str] = {}
    renamed = "".join(
        letters.setdefault(c, chr(ord("a") + len(letters))) if c.isalpha() else c for c in spec
    )
    return _CONTRACTIONS.get(renamed, whole)


def function(node: Node) -> str:
    """The text of a node that is drawn as a function of its operands."""
    attrs = dict(node.attrs)
    if node.op == "contract":
        return contraction(str(attrs["spec"]))
    if node.op == "slice":
        bounds = attrs["bounds"]
        assert isinstance(bounds, tuple)
        return f"[{bounds[0]} : {bounds[1]}]"
    if node.op == "roll":
        return f"roll {attrs['shift']}"
    return FUNCTIONS.get(node.op, INFIX.get(node.op, node.op.replace("_", " ")))


def shared(graph: Graph, value: int) -> Label:
    """A value that does not vary, as short as can be: a number, a name, or a small formula."""
    found = graph.definition(value)
    if isinstance(found, Leaf) and found.name.startswith(DERIVED):
        return op("…")  # the compiler's own name would tell nobody anything
    if isinstance(found, Leaf) or found.name:
        return name(found.name)
    if found.op == "full":
        return op(number(float(found.attr("value"))))  # type: ignore[arg-type]
    if found.op in ("broadcast", "reshape", "transpose"):
        return shared(graph, found.operands[0])
    parts = [shared(graph, operand) for operand in found.operands]
    if len(parts) == 1:
        text = (*op(function(found) + "("), *parts[0], *op(")"))
    elif len(parts) == 2 and found.op in INFIX:
        text = (*op("("), *parts[0], *op(f" {INFIX[found.op]} "), *parts[1], *op(")"))
    else:
        text = op(function(found))
    return text if len(plain(text)) <= _LONGEST else op("…")


def with_shared(node: Node, graph: Graph, is_varying: list[bool]) -> Label:
    """An operator with its shared operands written in, as ``1 −`` and ``× γ``."""
    if node.op in INFIX and len(node.operands) == 2:
        sign = op(INFIX[node.op])
        left, right = (shared(graph, operand) for operand in node.operands)
        if is_varying[0]:
            return (*sign, *op(" "), *right)
        if node.op in ("add", "mul"):
            return (*sign, *op(" "), *left)
        return (*left, *op(" "), *sign)
    pairs = zip(node.operands, is_varying, strict=True)
    texts = [op("·") if varies else shared(graph, operand) for operand, varies in pairs]
    inside = tuple(run for text in texts for run in (*op(", "), *text))[1:]
    return (*op(function(node) + "("), *inside, *op(")"))

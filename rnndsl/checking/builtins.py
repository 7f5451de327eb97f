"""The table of everything callable in the language: signature, type rule, one line of meaning."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from rnndsl.checking import builtin_rules as rules
from rnndsl.checking.builtin_rules import TypeRule
from rnndsl.checking.static import power


class Kind(Enum):
    """What an argument may be."""

    VALUE = "a value"
    VALUES = "values"  # any number of them
    NUMBER = "a number"
    INT = "a whole number"
    INTS = "whole numbers"  # any number of them
    DIM = "a dimension"
    TEXT = "text in quotes"
    FLAG = "a number, `true` or `false`"
    NAME = "a name"
    INIT = "an initialiser"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a function; ``default`` is REQUIRED when it must be given."""

    name: str
    kind: Kind
    default: object


REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function or operator.

    ``shaped`` functions take their result's shape in brackets.  ``fold`` computes with plain
    numbers.  ``makes_params`` functions have no type rule here: the checker expands them.
    """

    name: str
    parameters: tuple[Parameter, ...]
    rule: TypeRule | None
    doc: str
    shaped: bool = False
    fold: Callable[..., float] | None = None
    infix: bool = False

    @property
    def makes_params(self) -> bool:
        return self.rule is None

    @property
    def signature(self) -> str:
        """``slice(v, start, stop, axis = 0)``."""
        if self.infix:
            return f" {self.name} ".join(p.name for p in self.parameters)
        shown = []
        for parameter in self.parameters:
            text = parameter.name
            if parameter.kind in (Kind.VALUES, Kind.INTS):
                text += ", ..."
            elif parameter.default is not REQUIRED:
                text += f" = {_default_text(parameter.default)}"
            shown.append(text)
        return f"{self.name}{'[...]' if self.shaped else ''}({', '.join(shown)})"


def _default_text(default: object) -> str:
    if default is None:
        return "none"
    return "true" if default is True else str(default)  # 1 equals True and is none


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _parameters(text: str, kinds: dict[str, Kind]) -> tuple[Parameter, ...]:
    """From ``"v, axis=None"``: names not in ``kinds`` are values."""
    made = []
    for part in filter(None, text.replace(" ", "").split(",")):
        name, equals, default = part.partition("=")
        value: object = REQUIRED
        if equals:
            value = _DEFAULTS.get(default)
            if default not in _DEFAULTS:
                value = int(default) if default.lstrip("-").isdigit() else float(default)
        made.append(Parameter(name, kinds.get(name, Kind.VALUE), value))
    return tuple(made)


def _softplus(x: float) -> float:
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


_DEFAULTS: dict[str, object] = {"None": None, "True": True}

_KINDS = {
    "axis": Kind.INT,
    "start": Kind.DIM,
    "stop": Kind.DIM,
    "before": Kind.DIM,
    "after": Kind.DIM,
    "shift": Kind.INT,
    "chunks": Kind.INT,
    "indices": Kind.INTS,
    "values": Kind.VALUES,
    "spec": Kind.TEXT,
    "eps": Kind.NUMBER,
    "reverse": Kind.FLAG,
}


def _make(
    name: str,
    parameters: str,
    rule: TypeRule,
    doc: str,
    fold: Callable[..., float] | None = None,
    shaped: bool = False,
) -> Builtin:
    return Builtin(name, _parameters(parameters, _KINDS), rule, doc, shaped, fold)


def _infix(name: str, doc: str, rule: TypeRule = rules.elementwise) -> Builtin:
    return Builtin(name, _parameters("a, b", {}), rule, doc, infix=True)


_E = rules.elementwise

_TABLE = (
    # Operators.
    _infix("+", "sum"),
    _infix("-", "difference"),
    _infix("*", "product, element by element"),
    _infix("/", "quotient"),
    _infix("**", "power"),
    _infix("@", "matrix times vector or matrix", rules.matmul),
    _infix("<", "1 where less, else 0"),
    _infix("<=", "1 where less or equal, else 0"),
    _infix(">", "1 where greater, else 0"),
    _infix(">=", "1 where greater or equal, else 0"),
    _infix("==", "1 where equal, else 0"),
    _infix("!=", "1 where different, else 0"),
    # Elementwise, one operand.
    _make("neg", "v", _E, "-v", lambda x: -x),
    _make("sigmoid", "v", _E, "1 / (1 + exp(-v))", _sigmoid),
    _make("tanh", "v", _E, "hyperbolic tangent", math.tanh),
    _make("relu", "v", _E, "max(v, 0)", lambda x: max(x, 0)),
    _make("leaky_relu", "v, slope=0.01", _E, "v where v > 0, else slope * v"),
    _make("prelu", "v, slope", _E, "v where v > 0, else slope * v, with a slope of its own"),
    _make("elu", "v, alpha=1", _E, "v where v > 0, else alpha * (exp(v) - 1)"),
    _make("selu", "v", _E, "elu with the two constants of self-normalising networks"),
    _make("silu", "v", _E, "v * sigmoid(v)"),
    _make("swish", "v, beta=1", _E, "v * sigmoid(beta * v)"),
    _make("gelu", "v", _E, "v times the normal distribution function of v (exact, by erf)"),
    _make("softplus", "v", _E, "log(1 + exp(v)), stable", _softplus),
    _make("hard_sigmoid", "v, slope=0.16666666666666666", _E, "clip(slope * v + 1/2, 0, 1)"),
    _make("exp", "v", _E, "exponential", math.exp),
    _make("log", "v", _E, "natural logarithm", math.log),
    _make("log1p", "v", _E, "log(1 + v)", math.log1p),
    _make("logsigmoid", "v", _E, "log(sigmoid(v)), stable"),
    _make("sqrt", "v", _E, "square root", math.sqrt),
    _make("rsqrt", "v", _E, "1 / sqrt(v)", lambda x: 1 / math.sqrt(x)),
    _make("abs", "v", _E, "absolute value", abs),
    _make("sign", "v", _E, "-1, 0 or 1; its gradient is zero", lambda x: (x > 0) - (x < 0)),
    _make("sin", "v", _E, "sine", math.sin),
    _make("cos", "v", _E, "cosine", math.cos),
    _make("erf", "v", _E, "error function", math.erf),
    _make("floor", "v", _E, "largest whole number not above v; its gradient is zero", math.floor),
    _make("round", "v", _E, "nearest whole number, halves to even; its gradient is zero", round),
    _make("step", "v", _E, "1 where v > 0, else 0; its gradient is zero", lambda x: int(x > 0)),
    # Elementwise, several operands.
    _make("min", "a, b", _E, "the smaller; with one value: the smallest element", min),
    _make("max", "a, b", _E, "the larger; with one value: the largest element", max),
    _make("pow", "a, b", _E, "a ** b", power),
    _make("mod", "a, b", _E, "remainder with the sign of b", operator.mod),
    _make(
        "where", "test, a, b", _E, "a where test is not 0, else b", lambda t, a, b: a if t else b
    ),
    _make("lerp", "a, b, w", _E, "a + w * (b - a)", lambda a, b, w: a + w * (b - a)),
    _make("gate3", "a, b, g", _E, "sigmoid(g) * a + (1 - sigmoid(g)) * b"),
    _make(
        "clip",
        "v, low, high",
        _E,
        "min(max(v, low), high)",
        lambda v, low, high: min(max(v, low), high),
    ),
    _make("modrelu", "v, bias", _E, "sign(v) * relu(abs(v) + bias)"),
    # Reductions and normalisers.
    _make("sum", "v, axis=None", rules.reduction, "sum over an axis, or over all"),
    _make("mean", "v, axis=None", rules.reduction, "mean over an axis, or over all"),
    _make("var", "v, axis=None", rules.reduction, "mean squared distance from the mean"),
    _make("max_of", "v, axis=None", rules.reduction, "largest element over an axis, or over all"),
    _make("min_of", "v, axis=None", rules.reduction, "smallest element over an axis, or over all"),
    _make("norm", "v, axis=None", rules.reduction, "square root of the sum of squares"),
    _make("logsumexp", "v, axis=None", rules.reduction, "log(sum(exp(v))), stable"),
    _make("argmax", "v, axis=None", rules.reduction, "index of the largest element"),
    _make("softmax", "v, axis=-1", rules.along_axis, "exp(v) / sum(exp(v)), stable"),
    _make("cumsum", "v, axis=-1, reverse=0", rules.along_axis, "running sum"),
    _make("cummax", "v, axis=-1", rules.along_axis, "running maximum"),
    _make(
        "l2_normalize", "v, axis=-1, eps=1e-12", rules.along_axis, "v / sqrt(max(sum(v*v), eps))"
    ),
    _make("dot", "a, b", rules.pair_reduction, "sum of products over the last axis"),
    _make("cosine", "a, b, eps=1e-8", rules.pair_reduction, "dot(a, b) / (norm(a) * norm(b))"),
    # Products.
    _make("outer", "a, b", rules.outer, "all products: [A] and [B] to [A, B]"),
    _make("einsum", "spec, values", rules.einsum, "sum of products over letters"),
    _make("transpose", "v", rules.transpose, "axes in reverse order"),
    _make("inverse", "v", rules.inverse, "inverse of a matrix made of parameters"),
    # Shape.
    _make("slice", "v, start, stop, axis=0", rules.slice_, "the part from start up to stop"),
    _make("slice_update", "v, start, part, axis=0", rules.slice_update, "v with a part replaced"),
    _make("concat", "values, axis=0", rules.concat, "one after the other along an axis"),
    _make("stack", "values", rules.stack, "along a new first axis"),
    _make("reshape", "v", rules.reshape, "the same elements in another shape", shaped=True),
    _make("broadcast", "v, axis=None", rules.broadcast, "repeated to a shape", shaped=True),
    _make("gather", "v, indices, axis=0", rules.gather, "the entries with these numbers"),
    _make("roll", "v, shift, axis=0", rules.along_axis, "moved around by shift places"),
    _make("pad", "v, before, after, axis=0", rules.pad, "zeros added before and after"),
    _make("chunk_sum", "v, chunks", rules.chunk_sum, "sum of equal chunks of a vector"),
    # Gradients.
    _make("stop_grad", "v", rules.same, "v, through which no gradient flows"),
    _make("ste", "a, b", rules.straight_through, "the value of a with the gradient of b"),
    # Constants.
    _make("zeros", "", rules.constant, "zeros", shaped=True),
    _make("ones", "", rules.constant, "ones", shaped=True),
    _make("full", "value", rules.constant, "one value everywhere", shaped=True),
    _make("identity", "", rules.constant, "ones on the diagonal", shaped=True),
    _make("iota", "axis=0", rules.constant, "0, 1, 2, ... along an axis", shaped=True),
    # Functions that make parameters.
    Builtin(
        "linear",
        (
            Parameter("values", Kind.VALUES, REQUIRED),
            Parameter("bias", Kind.FLAG, True),
            Parameter("init", Kind.INIT, None),
            Parameter("name", Kind.NAME, None),
        ),
        None,
        "a weight times each value, summed, plus a bias",
        shaped=True,
    ),
    Builtin(
        "layer_norm",
        (
            Parameter("v", Kind.VALUE, REQUIRED),
            Parameter("eps", Kind.NUMBER, 1e-5),
            Parameter("scale", Kind.FLAG, 1),
            Parameter("shift", Kind.FLAG, 0),
            Parameter("name", Kind.NAME, None),
        ),
        None,
        "zero mean and unit variance over the last axis, then gamma * v + beta",
    ),
)

BUILTINS: dict[str, Builtin] = {record.name: record for record in _TABLE}

# What a call with one value (and perhaps an axis) means.
REDUCING = {"max": "max_of", "min": "min_of"}

FUNCTIONS = tuple(name for name, record in BUILTINS.items() if not record.infix)

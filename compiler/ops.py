"""The op table: one record per op with its type rule, meaning, derivative and cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from rnndsl.compiler import op_derivatives as dv
from rnndsl.compiler import op_meaning as mean
from rnndsl.compiler import op_types as ty
from rnndsl.compiler.ir import Attrs, AttrValue, Graph, Node, Type
from rnndsl.compiler.op_derivatives import Derivative
from rnndsl.compiler.op_meaning import Meaning
from rnndsl.compiler.op_types import TypeRule

# Floating-point operations of one example, given bound operand types and the result's.
Flops = Callable[[Sequence[Type], Type, Mapping[str, AttrValue]], int]


@dataclass(frozen=True, slots=True)
class Op:
    """Everything the compiler knows of an op.

    ``arity`` is None for any number of operands.  ``derivative`` is None for ops that occur
    in backward graphs alone.  ``elementwise`` ops compute each element from the elements at
    the same place; ``commutative`` ones may swap their two operands.
    """

    name: str
    doc: str
    arity: int | None
    attrs: tuple[str, ...]
    type_rule: TypeRule
    meaning: Meaning
    derivative: Derivative | None
    flops: Flops
    elementwise: bool = False
    commutative: bool = False


def _per_element(cost: int) -> Flops:
    return lambda types, out, attrs: cost * prod(out.sizes)


def _per_operand_element(types: Sequence[Type], out: Type, attrs: Mapping[str, AttrValue]) -> int:
    return prod(types[0].sizes)


def _no_flops(types: Sequence[Type], out: Type, attrs: Mapping[str, AttrValue]) -> int:
    return 0


def _contract_flops(types: Sequence[Type], out: Type, attrs: Mapping[str, AttrValue]) -> int:
    left, right, _ = ty.parse_spec(attrs["spec"])
    sizes = dict(zip(left + right, (*types[0].sizes, *types[1].sizes), strict=True))
    return 2 * prod(sizes.values())


def _inverse_flops(types: Sequence[Type], out: Type, attrs: Mapping[str, AttrValue]) -> int:
    return 2 * out.sizes[0] ** 3


def _unary(name: str, doc: str, meaning: Meaning, derivative: Derivative, cost: int = 1) -> Op:
    flops = _per_element(cost)
    return Op(name, doc, 1, (), ty.elementwise, meaning, derivative, flops, elementwise=True)


def _binary(
    name: str, doc: str, meaning: Meaning, derivative: Derivative, commutative: bool = False
) -> Op:
    return Op(
        name, doc, 2, (), ty.elementwise, meaning, derivative, _per_element(1), True, commutative
    )


def _moving(
    name: str, doc: str, attrs: tuple[str, ...], rule: TypeRule, meaning: Meaning, dx: Derivative
) -> Op:
    return Op(name, doc, 1, attrs, rule, meaning, dx, _no_flops)


# Transcendental functions are counted as this many operations, about what a vectorised
# polynomial costs.
_SMOOTH = 10

_TABLE = (
    # elementwise, one operand
    _unary("neg", "-x", mean.unary(np.negative), dv.neg),
    _unary("abs", "|x|", mean.unary(np.abs), dv.scaled_by(dv.d_abs)),
    _unary("sign", "-1, 0 or 1", mean.unary(np.sign), dv.no_gradient),
    _unary("exp", "e^x", mean.unary(np.exp), dv.scaled_by(dv.d_exp), _SMOOTH),
    _unary("log", "natural logarithm", mean.unary(np.log), dv.log, _SMOOTH),
    _unary("log1p", "log(1 + x)", mean.unary(np.log1p), dv.log1p, _SMOOTH),
    _unary("sqrt", "square root", mean.unary(np.sqrt), dv.scaled_by(dv.d_sqrt)),
    _unary("sin", "sine", mean.unary(np.sin), dv.scaled_by(dv.d_sin), _SMOOTH),
    _unary("cos", "cosine", mean.unary(np.cos), dv.scaled_by(dv.d_cos), _SMOOTH),
    _unary("tanh", "hyperbolic tangent", mean.unary(np.tanh), dv.scaled_by(dv.d_tanh), _SMOOTH),
    _unary(
        "sigmoid", "1/(1 + e^-x)", mean.unary(mean.sigmoid), dv.scaled_by(dv.d_sigmoid), _SMOOTH
    ),
    _unary("relu", "max(x, 0)", mean.unary(lambda x: np.maximum(x, 0)), dv.scaled_by(dv.d_relu)),
    _unary(
        "softplus", "log(1 + e^x)", mean.unary(mean.softplus), dv.scaled_by(dv.d_softplus), _SMOOTH
    ),
    _unary(
        "logsigmoid",
        "log(sigmoid(x))",
        mean.unary(lambda x: -mean.softplus(-x)),
        dv.scaled_by(dv.d_logsigmoid),
        _SMOOTH,
    ),
    _unary("erf", "error function", mean.unary(mean.erf), dv.scaled_by(dv.d_erf), _SMOOTH),
    _unary("floor", "largest whole number <= x", mean.unary(np.floor), dv.no_gradient),
    _unary("round", "nearest whole number, halves to even", mean.unary(np.round), dv.no_gradient),
    _unary("step", "1 where x > 0, else 0", mean.unary(mean.step), dv.no_gradient),
    _unary(
        "stop_grad", "x, through which no gradient flows", mean.unary(lambda x: x), dv.no_gradient
    ),
    # elementwise, two operands of equal shape
    _binary("add", "x + y", mean.binary(np.add), dv.add, commutative=True),
    _binary("sub", "x - y", mean.binary(np.subtract), dv.sub),
    _binary("mul", "x * y", mean.binary(np.multiply), dv.mul, commutative=True),
    _binary("div", "x / y", mean.binary(np.divide), dv.div),
    _binary("max", "the larger", mean.binary(np.maximum), dv.maximum),
    _binary("min", "the smaller", mean.binary(np.minimum), dv.minimum),
    _binary("pow", "x to the power y", mean.binary(np.power), dv.power),
    _binary("mod", "remainder, with the divisor's sign", mean.binary(np.mod), dv.modulo),
    _binary("lt", "1 where x < y, else 0", mean.compare(np.less), dv.no_gradient),
    _binary("le", "1 where x <= y, else 0", mean.compare(np.less_equal), dv.no_gradient),
    _binary("gt", "1 where x > y, else 0", mean.compare(np.greater), dv.no_gradient),
    _binary("ge", "1 where x >= y, else 0", mean.compare(np.greater_equal), dv.no_gradient),
    _binary("eq", "1 where x == y, else 0", mean.compare(np.equal), dv.no_gradient, True),
    _binary("ne", "1 where x != y, else 0", mean.compare(np.not_equal), dv.no_gradient, True),
    Op(
        "where",
        "the second where the first is not 0, else the third",
        3,
        (),
        ty.elementwise,
        mean.where,
        dv.where,
        _per_element(1),
        elementwise=True,
    ),
    # along one axis
    Op(
        "reduce_sum",
        "sum over an axis",
        1,
        ("axis",),
        ty.reduction,
        mean.axiswise(lambda x, axis: x.sum(axis=axis)),
        dv.reduce_sum,
        _per_operand_element,
    ),
    Op(
        "reduce_max",
        "largest element of an axis; ties share the gradient",
        1,
        ("axis",),
        ty.reduction,
        mean.axiswise(lambda x, axis: x.max(axis=axis)),
        dv.reduce_max,
        _per_operand_element,
    ),
    Op(
        "argmax",
        "index of the first largest element",
        1,
        ("axis",),
        ty.reduction,
        mean.axiswise(mean.argmax),
        dv.no_gradient,
        _per_operand_element,
    ),
    Op(
        "cumsum",
        "running sum along an axis",
        1,
        ("axis", "reverse"),
        ty.along_axis,
        mean.cumsum,
        dv.cumsum,
        _per_element(1),
    ),
    Op(
        "cummax",
        "running maximum along an axis",
        1,
        ("axis",),
        ty.along_axis,
        mean.axiswise(lambda x, axis: np.maximum.accumulate(x, axis=axis)),
        dv.cummax,
        _per_element(1),
    ),
    Op(
        "linear_scan",
        "y = a y' + x along an axis, y' the one before; from the operands a, x",
        2,
        ("axis", "reverse"),
        ty.pair_along_axis,
        mean.scan(lambda before, a, x: a * before + x),
        dv.linear_scan,
        _per_element(2),
    ),
    Op(
        "max_scan",
        "y = max(a + y', x) along an axis, y' the one before; from the operands a, x",
        2,
        ("axis", "reverse"),
        ty.pair_along_axis,
        mean.scan(lambda before, a, x: np.maximum(a + before, x)),
        dv.max_scan,
        _per_element(2),
    ),
    # shape
    _moving(
        "broadcast",
        "repeat along new axes",
        ("axes", "shape"),
        ty.broadcast,
        mean.broadcast,
        dv.broadcast,
    ),
    _moving(
        "reshape",
        "the same elements in another shape",
        ("shape",),
        ty.reshape,
        mean.reshape,
        dv.reshape,
    ),
    _moving("transpose", "reorder the axes", ("perm",), ty.transpose, mean.transpose, dv.transpose),
    Op(
        "concat",
        "one after the other along an axis",
        None,
        ("axis",),
        ty.concat,
        mean.concat,
        dv.concat,
        _no_flops,
    ),
    _moving("slice", "a part of an axis", ("axis", "bounds"), ty.slice_, mean.slice_, dv.slice_),
    _moving("pad", "zeros before and after", ("axis", "bounds"), ty.pad, mean.pad, dv.pad),
    _moving(
        "gather",
        "chosen entries of an axis",
        ("axis", "indices"),
        ty.gather,
        mean.gather,
        dv.gather,
    ),
    _moving(
        "scatter_add",
        "entries added at chosen places",
        ("axis", "indices", "shape"),
        ty.scatter_add,
        mean.scatter_add,
        dv.scatter_add,
    ),
    _moving("roll", "rotate along an axis", ("axis", "shift"), ty.along_axis, mean.roll, dv.roll),
    # linear algebra
    Op(
        "contract",
        "sum of products (einsum of two operands)",
        2,
        ("spec", "sum_batch"),
        ty.contract,
        mean.contract,
        dv.contract,
        _contract_flops,
    ),
    Op(
        "inverse",
        "matrix inverse",
        1,
        (),
        ty.inverse,
        mean.unary(np.linalg.inv),
        dv.inverse,
        _inverse_flops,
    ),
    Op(
        "batch_sum",
        "sum over the batch",
        1,
        (),
        ty.batch_sum,
        mean.batch_sum,
        None,
        _per_operand_element,
    ),
    # constants
    Op(
        "full",
        "one number everywhere",
        0,
        ("shape", "value"),
        ty.full,
        mean.full,
        dv.no_gradient,
        _no_flops,
    ),
    Op(
        "iota",
        "index along an axis",
        0,
        ("axis", "shape"),
        ty.iota,
        mean.iota,
        dv.no_gradient,
        _no_flops,
    ),
)

OPS: Mapping[str, Op] = {op.name: op for op in _TABLE}


@lru_cache(maxsize=1 << 14)
def result_type(op: str, operands: tuple[Type, ...], attrs: Attrs) -> Type:
    """The type of a node; OpTypeError when operands or attributes do not fit the op.

    Passes build the same nodes again and again.
    """
    return OPS[op].type_rule(operands, dict(attrs))


def node_flops(graph: Graph, node: Node) -> int:
    """Operations of a node of a bound graph, for one example and time step."""
    types = [graph.type_of(value) for value in node.operands]
    return OPS[node.op].flops(types, node.type, dict(node.attrs))


def graph_flops(graph: Graph) -> int:
    """Operations of one evaluation of a bound graph for one example."""
    return sum(node_flops(graph, node) for node in graph.nodes)

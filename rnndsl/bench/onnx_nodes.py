"""ONNX nodes for each op of the graph, with the batch as a leading axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from rnndsl.compiler.ir import Node, Type
from rnndsl.compiler.op_types import parse_spec

Array = Any


@dataclass(slots=True)
class Writer:
    """Collects nodes, and the arrays of constants.  Values are names."""

    prefix: str
    batch: int
    nodes: list[NodeProto] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)

    def node(self, op: str, *operands: str, **attributes: Any) -> str:
        """Add a node with one result; its name."""
        result = f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(operands), [result], **attributes))
        return result

    def constant(self, value: Array) -> str:
        """Add a constant; its name."""
        name = f"{self.prefix}c{len(self.arrays)}"
        self.arrays[name] = np.ascontiguousarray(value)
        return name

    def constants(self) -> list[TensorProto]:
        """The constants that nodes use; they are not wanted among results."""
        used = {operand for node in self.nodes for operand in node.input}
        return [
            numpy_helper.from_array(array, name)
            for name, array in self.arrays.items()
            if name in used
        ]

    def number(self, value: float) -> str:
        return self.constant(np.float32(value))

    def whole(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))


# Of the writer, the node, its operands' names and types.  Shared operands are constants with
# a leading axis of length 1.
Emit = Callable[[Writer, Node, Sequence[str], Sequence[Type]], str]


def _simple(op: str) -> Emit:
    return lambda w, node, names, types: w.node(op, *names)


def _comparison(op: str) -> Emit:
    return lambda w, node, names, types: _as_float(w, w.node(op, *names))


def _as_float(w: Writer, name: str) -> str:
    return w.node("Cast", name, to=TensorProto.FLOAT)


def _attrs(node: Node) -> dict[str, Any]:
    """Dimensions as numbers."""
    return {
        key: tuple(int(v) for v in value) if isinstance(value, tuple) else value
        for key, value in node.attrs
        if key != "spec"
    }


def _axis(node: Node) -> int:
    return int(_attrs(node)["axis"]) + 1


def _not_equal(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    return _as_float(w, w.node("Not", w.node("Equal", *names)))


def _mod(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    whole = w.node("Floor", w.node("Div", *names))
    return w.node("Sub", names[0], w.node("Mul", whole, names[1]))


def _where(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    test = w.node("Cast", names[0], to=TensorProto.BOOL)
    return w.node("Where", test, *names[1:])


def _reduce(op: str) -> Emit:
    def emit(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
        return w.node(op, names[0], w.whole(_axis(node)), keepdims=0)

    return emit


def _argmax(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    return _as_float(w, w.node("ArgMax", names[0], axis=_axis(node), keepdims=0))


def _cumsum(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    axis = w.constant(np.int64(_axis(node)))
    return w.node("CumSum", names[0], axis, reverse=int(_attrs(node)["reverse"]))


def _broadcast(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    places = _attrs(node)["axes"]
    sizes = node.type.sizes
    ones = [size if k in places else 1 for k, size in enumerate(sizes)]
    apart = w.node("Reshape", names[0], w.whole(-1, *ones))
    return w.node("Expand", apart, w.whole(w.batch, *sizes))


def _reshape(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    return w.node("Reshape", names[0], w.whole(-1, *node.type.sizes))


def _transpose(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    return w.node("Transpose", names[0], perm=[0, *(k + 1 for k in _attrs(node)["perm"])])


def _concat(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    parts = [
        name if kind.batched else w.node("Expand", name, w.whole(w.batch, *kind.sizes))
        for name, kind in zip(names, types, strict=True)
    ]
    return w.node("Concat", *parts, axis=_axis(node))


def _slice(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    start, stop = _attrs(node)["bounds"]
    return w.node("Slice", names[0], w.whole(start), w.whole(stop), w.whole(_axis(node)))


def _pad(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    bounds, axis, rank = _attrs(node)["bounds"], _axis(node), node.type.rank + 1
    pads = [bounds[side] if k == axis else 0 for side in (0, 1) for k in range(rank)]
    return w.node("Pad", names[0], w.whole(*pads))


def _gather(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    return w.node("Gather", names[0], w.whole(*_attrs(node)["indices"]), axis=_axis(node))


def _roll(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    axis, shift = _axis(node), int(_attrs(node)["shift"])
    size = node.type.sizes[axis - 1]
    places = [(k - shift) % size for k in range(size)]
    return w.node("Gather", names[0], w.whole(*places), axis=axis)


def _contract(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    """A product with a shared matrix is MatMul; everything else is left to Einsum."""
    left, right, out = parse_spec(node.attr("spec"))
    first, second = types
    plain = (len(left), len(right)) == (2, 1) and out == left[0] and right == left[1]
    if plain and not first.batched and second.batched:
        return w.node("MatMul", names[1], w.constant(w.arrays[names[0]][0].T))
    letter = next(c for c in "zyxwvutsrq" if c not in left + right)
    sides, operands = [], []
    for name, axes, kind in zip(names, (left, right), types, strict=True):
        sides.append((letter if kind.batched else "") + axes)
        operands.append(name if kind.batched else w.constant(w.arrays[name][0]))
    equation = f"{','.join(sides)}->{letter}{out}"
    return w.node("Einsum", *operands, equation=equation)


def _log1p(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    return w.node("Log", w.node("Add", names[0], w.number(1.0)))


def _log_sigmoid(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    return w.node("Neg", w.node("Softplus", w.node("Neg", names[0])))


def _step(w: Writer, node: Node, names: Sequence[str], types: Sequence[Type]) -> str:
    return _as_float(w, w.node("Greater", names[0], w.number(0.0)))


NODES: Mapping[str, Emit] = {
    **{
        ours: _simple(theirs)
        for ours, theirs in {
            "neg": "Neg",
            "abs": "Abs",
            "sign": "Sign",
            "exp": "Exp",
            "log": "Log",
            "sqrt": "Sqrt",
            "sin": "Sin",
            "cos": "Cos",
            "tanh": "Tanh",
            "sigmoid": "Sigmoid",
            "relu": "Relu",
            "softplus": "Softplus",
            "erf": "Erf",
            "floor": "Floor",
            "round": "Round",
            "stop_grad": "Identity",
            "add": "Add",
            "sub": "Sub",
            "mul": "Mul",
            "div": "Div",
            "max": "Max",
            "min": "Min",
            "pow": "Pow",
        }.items()
    },
    "lt": _comparison("Less"),
    "le": _comparison("LessOrEqual"),
    "gt": _comparison("Greater"),
    "ge": _comparison("GreaterOrEqual"),
    "eq": _comparison("Equal"),
    "ne": _not_equal,
    "log1p": _log1p,
    "logsigmoid": _log_sigmoid,
    "step": _step,
    "mod": _mod,
    "where": _where,
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_max": _reduce("ReduceMax"),
    "argmax": _argmax,
    "cumsum": _cumsum,
    "broadcast": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "concat": _concat,
    "slice": _slice,
    "pad": _pad,
    "gather": _gather,
    "roll": _roll,
    "contract": _contract,
}

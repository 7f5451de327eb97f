"""From the values of a graph to the blocks and wires of a diagram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rnndsl.compiler.drawing.diagram import Block, Diagram, Shape, Wire
from rnndsl.compiler.drawing.symbols import FUNCTIONS, INFIX, function, shared, with_shared
from rnndsl.compiler.drawing.text import Label, name, op, plain, word
from rnndsl.compiler.drawing.values import CallName, Reading, read
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from rnndsl.compiler.ops import OPS


def diagram(
    graph: Graph,
    stage_of: Mapping[int, int] | None = None,
    stages: tuple[str, ...] = (),
    call_name: CallName = lambda span: "",
) -> Diagram:
    """What to draw of a step graph.

    ``stage_of`` maps values to stages of a plan, whose kinds are ``stages``; blocks never
    mix stages.  ``call_name`` tells which call of the user's file a span covers, so that
    the ops of a ``layer_norm`` become one block.
    """
    reading = read(graph, stage_of or {}, call_name)
    sources = _sources(graph)
    inner = _merge_gates(reading, _inner_blocks(reading))
    sinks = _sinks(reading)
    blocks = (*sources, *inner, *sinks)
    return Diagram(graph.name, blocks, _wires(reading, blocks), stages)


def _sources(graph: Graph) -> list[Block]:
    shapes = {LeafRole.INPUT: Shape.INPUT, LeafRole.STATE: Shape.STATE}
    return [
        Block(shapes[leaf.role], name(leaf.name), values=(value,), name=leaf.name)
        for value, leaf in enumerate(graph.leaves)
        if leaf.role in shapes
    ]


def _inner_blocks(reading: Reading) -> list[Block]:
    members: dict[int, list[int]] = {}
    for value in sorted(reading.root):
        members.setdefault(reading.root[value], []).append(value)
    return [_block(reading, tuple(members[root])) for root in sorted(members)]


def _block(reading: Reading, values: tuple[int, ...]) -> Block:
    root = values[-1]
    node = reading.node(root)
    stage = reading.stage_of.get(root)
    if root in reading.linear:
        return Block(Shape.LINEAR, *_linear_text(reading, values), values=values, stage=stage)
    if len(values) > 1 and node.span is not None:
        called = reading.call_name(node.span)
        label = op(FUNCTIONS.get(called, called.replace("_", " ")))
        return Block(Shape.FUNCTION, label, values=values, stage=stage, ordered=True)
    varying = [v in reading.varying for v in node.operands]
    if not all(varying):
        label = with_shared(node, reading.graph, varying)
    elif node.op == "mul" and len(set(reading.inputs(root))) == 1:
        label = op("( )²")
    else:
        label = op(function(node))
    infix = node.op in INFIX and OPS[node.op].elementwise
    small = infix or (OPS[node.op].elementwise and len(plain(label)) <= 5)
    shape = Shape.POINT if small else Shape.FUNCTION
    ordered = sum(varying) > 1 and not OPS[node.op].commutative
    return Block(shape, label, values=values, stage=stage, ordered=ordered)


def _linear_text(reading: Reading, values: tuple[int, ...]) -> tuple[Label, Label]:
    """``linear`` for what the function makes, else the matrix by its own name."""
    matrices = [
        operand
        for value in values
        if reading.node(value).op == "contract"
        for operand in reading.node(value).operands
        if operand not in reading.varying
    ]
    texts = [shared(reading.graph, matrix) for matrix in matrices]
    if len(texts) == 1 and not plain(texts[0]).endswith("weight") and len(plain(texts[0])) < 12:
        return (*texts[0], *op(" ·")), ()
    return op("linear"), ()


def _merge_gates(reading: Reading, blocks: list[Block]) -> list[Block]:
    """Put a function of one value onto the linear map that feeds it and nothing else."""
    by_root = {block.values[-1]: block for block in blocks}
    merged: list[Block] = []
    for block in blocks:
        base = _base_of_gate(reading, block, by_root)
        if base is None:
            merged.append(block)
            continue
        merged.remove(base)
        pre_activation = reading.names.get(base.values[-1], "")
        note = name(pre_activation) if pre_activation else ()
        values = (*base.values, *block.values)
        note = (*base.label, *op(" "), *note) if note else base.label
        merged.append(replace(block, shape=Shape.GATE, note=_small(note), values=values))
    return merged


def _base_of_gate(reading: Reading, block: Block, by_root: Mapping[int, Block]) -> Block | None:
    root = block.values[-1]
    if len(block.values) != 1 or not OPS[reading.node(root).op].elementwise:
        return None
    inputs = reading.inputs(root)
    if len(inputs) != 1 or len(reading.node(root).operands) != 1:
        return None
    (value,) = inputs
    base = by_root.get(value)
    alone = len(reading.users[value]) == 1 and value not in reading.exits
    if base is None or base.shape is not Shape.LINEAR or base.stage != block.stage or not alone:
        return None
    return base


def _small(label: Label) -> Label:
    return word(plain(label))


def _sinks(reading: Reading) -> list[Block]:
    results = [r for r in reading.graph.results if r.role is not ResultRole.VALUE]
    states = {r.value for r in results if r.role is ResultRole.STATE}
    returned = {r.value for r in results if r.role is ResultRole.OUTPUT}
    sinks = []
    marked: set[int] = set()
    for result in results:
        if result.role is ResultRole.STATE:
            emits = result.value in returned - marked
            marked.add(result.value)
            label = name(f"{result.name}'")
            values = (result.value,)
            sinks.append(Block(Shape.NEXT, label, (), values, result.name, returned=emits))
        elif result.value not in states:
            called = reading.names.get(reading.resolve(result.value), "")
            label = name(called) if called else word("output")
            values = (result.value,)
            emits = bool(called) and result.role is ResultRole.OUTPUT
            sinks.append(Block(Shape.OUTPUT, label, (), values, result.name, returned=emits))
    return sinks


def _wires(reading: Reading, blocks: tuple[Block, ...]) -> tuple[Wire, ...]:
    owner = {v: i for i, b in enumerate(blocks) if b.shape not in (Shape.NEXT, Shape.OUTPUT)
             for v in b.values}  # fmt: skip
    targets: dict[int, list[tuple[int, int]]] = {}
    for index, block in enumerate(blocks):
        for position, value in enumerate(_operands(reading, block)):
            if value in owner:
                targets.setdefault(value, []).append((index, position))
    return tuple(
        Wire(owner[value], tuple(targets[value]), _wire_label(reading, value, blocks, targets))
        for value in sorted(targets)
    )


def _operands(reading: Reading, block: Block) -> list[int]:
    """The values that enter a block, each once unless it is an operator on both."""
    if block.shape in (Shape.INPUT, Shape.STATE):
        return []
    if block.shape in (Shape.NEXT, Shape.OUTPUT):
        return [reading.resolve(v) for v in block.values if v in reading.varying]
    inside = set(block.values)
    found = [v for value in block.values for v in reading.inputs(value) if v not in inside]
    return list(dict.fromkeys(found))


def _wire_label(
    reading: Reading,
    value: int,
    blocks: tuple[Block, ...],
    targets: Mapping[int, list[tuple[int, int]]],
) -> Label:
    """The user's name of a value, unless the block at its end says it already."""
    called = reading.names.get(value, "")
    ends = {plain(blocks[i].label) for i, _ in targets[value]}
    return name(called) if called and plain(name(called)) not in ends else ()

"""Plan to Python source on torch operations.

The source is one function of (inputs, states, params), each a tuple of tensors in the order
of the graph's leaves: inputs [T, B, *shape], states [B, *shape], params [*shape].  It returns
(outputs, states, sums) in the order of the graph's results.
"""

from __future__ import annotations

from rnndsl.backends.torch.contractions import contraction, matrix_by_row, weight_and_vector
from rnndsl.backends.torch.expressions import (
    EXPRESSIONS,
    TAKES_LITERALS,
    Operand,
    Site,
    number,
    shape_text,
)
from rnndsl.backends.torch.naming import identifier, unique, value_names
from rnndsl.backends.torch.source import HEADER
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, Stage, StageKind

LEAD = {0: "", 1: "B, ", 2: "T, B, "}


def emit_plan(plan: Plan) -> str:
    """The source of a step plan as one module with the function ``<graph name>``."""
    return _Emitter(plan.graph, plan).module()


def emit_shared(graph: Graph) -> str:
    """The source of a prepare graph: a function of (params, like) that returns its values.

    ``like`` is any tensor that has the dtype and device of the result.
    """
    return _Emitter(graph, None).shared_module()


def function_name(graph: Graph) -> str:
    """The name of the function that is generated for a graph."""
    return identifier(graph.name)


class _Emitter:
    """Writes one function.  ``streams[v]`` is the text of value v outside of loops."""

    def __init__(self, graph: Graph, plan: Plan | None) -> None:
        self.graph = graph
        self.plan = plan
        self.names = value_names(graph)
        self.taken = {*self.names, "torch", "F", "math", "T", "B", "inputs", "states", "params"}
        self.hoisted: dict[str, str] = {}
        self.prelude: list[str] = []
        self.body: list[str] = []
        self.loop: list[str] = []  # lines of the loop that is being written
        self.like = "like"
        self.local: dict[int, str] = {}  # values of the current time step
        self.streams: dict[int, str] = {}
        self.states: dict[str, str] = {}  # state name -> text of its value now
        self.uses = self._count_uses()
        self.last_use: dict[int, int] = {}
        self.fused = self._fused_products()

    # ------------------------------------------------------------------ whole functions

    def module(self) -> str:
        assert self.plan is not None
        graph = self.graph
        inputs = self._leaf_names(LeafRole.INPUT)
        states = self._leaf_names(LeafRole.STATE)
        params = self._leaf_names(LeafRole.PARAM)
        head = [f"def {function_name(graph)}(inputs, states, params):"]
        for names, group in ((inputs, "inputs"), (states, "states"), (params, "params")):
            if names:
                head.append(f"    {', '.join(names)}{',' * (len(names) == 1)} = {group}")
        self.like = inputs[0]
        head.append(f"    T, B = {self.like}.shape[:2]")
        for value, leaf in enumerate(graph.leaves):
            if leaf.role is not LeafRole.STATE:
                self.streams[value] = self.names[value]
            else:
                self.states[leaf.name] = self.names[value]
        listed = {v for stage in self.plan.stages for v in stage.values}
        late = self._sums(listed)
        for value, node in graph.node_values():
            if not node.type.batched and value not in listed and value not in late:
                self._assign(value, node, self.prelude, 0)
        for stage in self.plan.stages:
            write = self._scan if stage.kind is StageKind.SCAN else self._parallel
            write(stage)
        for value in sorted(late):
            node = graph.definition(value)
            assert isinstance(node, Node)
            self._assign(value, node, self.body, 2)
        self.body.append(f"return {self._returned()}")
        return self._text(head)

    def shared_module(self) -> str:
        params = self._leaf_names(LeafRole.PARAM)
        head = [f"def {function_name(self.graph)}(params, like):"]
        if params:
            head.append(f"    {', '.join(params)}{',' * (len(params) == 1)} = params")
        self.streams.update(enumerate(self.names[: len(self.graph.leaves)]))
        for value, node in self.graph.node_values():
            self._assign(value, node, self.body, 0)
        values = [self.streams_or_constant(r.value) for r in self.graph.results]
        self.body.append(f"return {_tuple(values)}")
        return self._text(head)

    def _text(self, head: list[str]) -> str:
        lines = head + [f"    {line}" if line else "" for line in (*self.prelude, *self.body)]
        return HEADER + "\n".join(lines) + "\n"

    def _leaf_names(self, role: LeafRole) -> list[str]:
        return [
            name
            for name, leaf in zip(self.names, self.graph.leaves, strict=False)
            if leaf.role is role
        ]

    # --------------------------------------------------------------------------- analysis

    def _count_uses(self) -> list[int]:
        uses = [0] * (len(self.graph.leaves) + len(self.graph.nodes))
        for node in self.graph.nodes:
            for operand in node.operands:
                uses[operand] += 1
        for result in self.graph.results:
            uses[result.value] += 1
        return uses

    def _fused_products(self) -> dict[int, tuple[int, int]]:
        """Sums W·v + u that become one call: the sum's value -> (product, u)."""
        graph, stage_of = self.graph, self._stage_of()
        found: dict[int, tuple[int, int]] = {}
        products: set[int] = set()
        for value, node in graph.node_values():
            if node.op != "add" or value not in stage_of or node.type.rank != 1:
                continue
            for product, other in (node.operands, node.operands[::-1]):
                made = graph.definition(product)
                if not isinstance(made, Node) or self.uses[product] != 1 or product in products:
                    continue
                if stage_of.get(product) != stage_of[value]:
                    continue
                operands = tuple(self._typed(v) for v in made.operands)
                scan = self._stage(stage_of[value]).kind is StageKind.SCAN
                if weight_and_vector(made, operands) is None:
                    continue
                if graph.type_of(other).batched and not scan:
                    continue  # a stream of addends: one more pass is all that it costs
                found[value] = (product, other)
                products.add(product)
                break
        return found

    def _stage_of(self) -> dict[int, int]:
        if self.plan is None:
            return {}
        return {v: k for k, stage in enumerate(self.plan.stages) for v in stage.values}

    def _stage(self, index: int) -> Stage:
        assert self.plan is not None
        return self.plan.stages[index]

    def _typed(self, value: int) -> Operand:
        kind = self.graph.type_of(value)
        return Operand(self.names[value], kind, LEAD[1 if kind.batched else 0])

    def _sums(self, listed: set[int]) -> set[int]:
        """Shared values outside every stage that depend on a sum over time."""
        found: set[int] = set()
        for value, node in self.graph.node_values():
            if node.type.batched or value in listed:
                continue
            kinds = [self.graph.type_of(v).batched for v in node.operands]
            if any(kinds) or any(v in found or self._is_sum(v, listed) for v in node.operands):
                found.add(value)
        return found

    def _is_sum(self, value: int, listed: set[int]) -> bool:
        return value in listed and not self.graph.type_of(value).batched

    # ------------------------------------------------------------------------- statements

    def _operand(self, value: int, depth: int, literal: bool) -> Operand:
        """A value as operand of a statement with ``depth`` leading axes."""
        kind = self.graph.type_of(value)
        constant = self._constant(value) if literal else None
        if constant is not None:
            return Operand(number(constant), kind, "", literal=True)
        text = self.local.get(value) or self.streams_or_constant(value)
        return Operand(text, kind, LEAD[depth if kind.batched else 0])

    def streams_or_constant(self, value: int) -> str:
        """The text of a value outside of loops; constants are made when first asked for."""
        if value not in self.streams:
            node = self.graph.definition(value)
            if not isinstance(node, Node):
                raise KeyError(f"{self.graph.name}: {self.names[value]} has no stream")
            if node.op != "full":
                raise KeyError(f"{self.graph.name}: {self.names[value]} is used before it is made")
            text = EXPRESSIONS["full"](node, (), self._site())
            self.prelude.append(f"{self.names[value]} = {text}")
            self.streams[value] = self.names[value]
        return self.streams[value]

    def _site(self) -> Site:
        return Site(self.like, self._indices)

    def _indices(self, indices: tuple[int, ...]) -> str:
        return self._hoist_as(
            f"torch.tensor({list(indices)}, device={self.like}.device)", "indices"
        )

    def _hoist(self, text: str, suffix: str) -> str:
        return self._hoist_as(f"{text}{suffix}", f"{text}_t")

    def _hoist_as(self, expression: str, name: str) -> str:
        if expression not in self.hoisted:
            self.hoisted[expression] = unique(name, self.taken)
            place = self.prelude if self.plan is not None else self.body
            place.append(f"{self.hoisted[expression]} = {expression}")
        return self.hoisted[expression]

    def _assign(self, value: int, node: Node, lines: list[str], depth: int) -> None:
        """Write the statement that computes a node; ``depth`` leading axes if batched."""
        if node.op == "full":
            return
        name = self.names[value]
        lines.append(f"{name} = {self._expression(value, node, depth)}")
        if depth == 1:
            self.local[value] = name
        else:
            self.streams[value] = name

    def _expression(self, value: int, node: Node, depth: int) -> str:
        if value in self.fused:
            return self._fused(*self.fused[value], depth)
        # A number will do for a constant, as long as one of the last two operands is a tensor.
        literal = node.op in TAKES_LITERALS and any(
            self._constant(v) is None for v in node.operands[-2:]
        )
        first = 1 if node.op == "where" else 0
        operands = tuple(
            self._operand(v, depth, literal and position >= first)
            for position, v in enumerate(node.operands)
        )
        if node.op == "contract":
            return contraction(node, operands, self._hoist)
        return EXPRESSIONS[node.op](node, operands, self._site())

    def _constant(self, value: int) -> float | None:
        """The number that all elements of a value are, if it is a constant."""
        node = self.graph.definition(value)
        while isinstance(node, Node) and node.op in ("broadcast", "reshape"):
            node = self.graph.definition(node.operands[0])
        if not isinstance(node, Node) or node.op != "full":
            return None
        number = node.attr("value")
        assert isinstance(number, int | float)
        return float(number)

    def _fused(self, product: int, addend: int, depth: int) -> str:
        node = self.graph.definition(product)
        assert isinstance(node, Node)
        operands = tuple(self._operand(v, depth, False) for v in node.operands)
        found = weight_and_vector(node, operands)
        assert found is not None
        weight, vector, transposed = found
        other = self._operand(addend, depth, False)
        if not other.lead:
            matrix = f"{weight.text}.t()" if transposed else weight.text
            return f"F.linear({vector.text}, {matrix}, {other.text})"
        matrix = matrix_by_row(weight, transposed, self._hoist)
        return f"torch.addmm({other.text}, {vector.text}, {matrix})"

    # ----------------------------------------------------------------------------- stages

    def _parallel(self, stage: Stage) -> None:
        order = self._in_order(stage)
        dying = self._dying(stage, order)
        products = {product for product, _ in self.fused.values()}
        for value in order:
            node = self.graph.definition(value)
            if isinstance(node, Leaf):
                self._shift(node.name)
                continue
            if value not in products:
                self._assign(value, node, self.body, 2)
            done = [self.streams[v] for v in dying.get(value, ()) if v in self.streams]
            if done:
                self.body.append(f"del {', '.join(done)}")

    def _in_order(self, stage: Stage) -> list[int]:
        """The stage's values and delayed states: a state after the value that it delays."""
        members = {*stage.values}
        sources = {
            self.graph.leaf_index(name, LeafRole.STATE): self._state_result(name)
            for name in stage.states
        }
        order: dict[int, None] = {}
        pending = [*reversed(stage.values), *reversed(sources)]
        while pending:
            value = pending[-1]
            reads = (sources[value],) if value in sources else self._operands(value)
            waiting = [v for v in reads if (v in members or v in sources) and v not in order]
            if waiting and value not in order:
                pending.extend(waiting)
            else:
                order[pending.pop()] = None
        return list(order)

    def _operands(self, value: int) -> tuple[int, ...]:
        node = self.graph.definition(value)
        return node.operands if isinstance(node, Node) else ()

    def _dying(self, stage: Stage, order: list[int]) -> dict[int, list[int]]:
        """Streams made by nodes that nothing reads after a value of this stage."""
        assert self.plan is not None
        later = self.plan.stages[self.plan.stages.index(stage) + 1 :]
        kept = {result.value for result in self.graph.results}
        for value in (v for other in later for v in other.values):
            kept.update(self._reads(value))
        for name in (n for other in later for n in other.states):
            kept.add(self._state_result(name))
        kept.update(v for late in self._sums(set(self._stage_of())) for v in self._reads(late))
        found: dict[int, list[int]] = {}
        seen = set(kept)
        sources = {self._state_result(name) for name in stage.states}
        seen |= sources
        for value in reversed(order):
            for operand in dict.fromkeys(self._reads(value)):
                if operand in seen or not self.graph.type_of(operand).batched:
                    continue
                seen.add(operand)
                if isinstance(self.graph.definition(operand), Node):
                    found.setdefault(value, []).append(operand)
        return found

    def _reads(self, value: int) -> tuple[int, ...]:
        if value in self.fused:
            product, other = self.fused[value]
            made = self.graph.definition(product)
            assert isinstance(made, Node)
            return (*made.operands, other)
        return self._operands(value)

    def _state_result(self, name: str) -> int:
        for result in self.graph.results:
            if result.role is ResultRole.STATE and result.name == name:
                return result.value
        raise KeyError(f"{self.graph.name}: state {name} has no next value")

    def _stream(self, value: int) -> str:
        """A value as [T, B, *shape], shared values repeated."""
        text = self.streams_or_constant(value)
        kind = self.graph.type_of(value)
        return text if kind.batched else f"{text}.expand{shape_text('T, B, ', kind.sizes)}"

    def _shift(self, name: str) -> None:
        """A state on no cycle: its stream is its next value's, one step late."""
        assert self.plan is not None
        leaf = self.graph.leaf_index(name, LeafRole.STATE)
        source = self._state_result(name)
        first, text = self.states[name], self._stream(source)
        late, early, last = f"{text}[:-1]", f"{first}.unsqueeze(0)", "-1"
        if self.plan.reverse:
            late, early, last = f"{text}[1:]", late, "0"
            early = f"{first}.unsqueeze(0)"
        if self.uses[leaf]:
            parts = [late, early] if self.plan.reverse else [early, late]
            stream = unique(f"{self.names[leaf]}_stream", self.taken)
            self.body.append(f"{stream} = torch.cat([{', '.join(parts)}])")
            self.streams[leaf] = stream
        final = unique(f"{self.names[leaf]}_final", self.taken)
        self.body.append(f"{final} = {text}[{last}]")
        self.states[name] = final

    def _scan(self, stage: Stage) -> None:
        assert self.plan is not None
        leaves = {self.graph.leaf_index(n, LeafRole.STATE): n for n in stage.states}
        if not stage.values and all(self._state_result(n) == v for v, n in leaves.items()):
            for leaf in leaves:  # a state that never changes
                sizes = self.graph.type_of(leaf).sizes
                self.streams[leaf] = f"{self.names[leaf]}.expand{shape_text('T, B, ', sizes)}"
            return
        inside = {*stage.values, *leaves}
        products = {product for product, _ in self.fused.values()}
        wanted = self._read_outside(stage, inside)
        self.local = {leaf: self.names[leaf] for leaf in leaves}
        consumed = self._streams_read(stage, inside)
        pairs = [(unique(f"{self.streams[v]}_t", self.taken), self.streams[v]) for v in consumed]
        for value, (name, _) in zip(consumed, pairs, strict=True):
            self.local[value] = name
        collected = {v: unique(f"{self.names[v]}_steps", self.taken) for v in wanted}
        self.loop = [f"{collected[v]}.append({self.names[v]})" for v in wanted if v in leaves]
        for value in stage.values:
            node = self.graph.definition(value)
            assert isinstance(node, Node)
            if not node.type.batched:
                raise NotImplementedError(f"{self.graph.name}: a sum over the batch in a loop")
            if value not in products:
                self._assign(value, node, self.loop, 1)
                if value in collected:
                    self.loop.append(f"{collected[value]}.append({self.names[value]})")
        self._carry(stage)
        if collected:
            empty = ", ".join("[]" for _ in collected)
            self.body.append(f"{', '.join(collected.values())} = {empty}")
        self.body.append(self._loop_header(pairs))
        self.body.extend(f"    {line}" for line in self.loop or ["pass"])
        order = "[::-1]" if self.plan.reverse else ""
        for value, steps in collected.items():
            name = self.names[value]
            if value in leaves:  # the name of a state is its last value now
                name = unique(f"{name}_stream", self.taken)
            self.body.append(f"{name} = torch.stack({steps}{order})")
            self.streams[value] = name
        self.local = {}

    def _carry(self, stage: Stage) -> None:
        """The end of the loop's body: every state takes its next value, all at once."""
        targets, sources = [], []
        for name in stage.states:
            target = self.names[self.graph.leaf_index(name, LeafRole.STATE)]
            result = self._state_result(name)
            source = self.local.get(result) or self._operand(result, 1, False).text
            if target != source:
                targets.append(target)
                sources.append(source)
        if targets:
            self.loop.append(f"{', '.join(targets)} = {', '.join(sources)}")

    def _loop_header(self, pairs: list[tuple[str, str]]) -> str:
        assert self.plan is not None
        if not pairs:
            return "for _ in range(T):"
        pattern = "reversed({}.unbind())" if self.plan.reverse else "{}.unbind()"
        streams = [pattern.format(stream) for _, stream in pairs]
        names = [name for name, _ in pairs]
        if len(pairs) == 1:
            return f"for {names[0]} in {streams[0]}:"
        line = f"for {', '.join(names)} in zip({', '.join(streams)}):"
        if len(line) <= 96:
            return line
        indented = [f"        {text}," for text in names]
        zipped = [f"        {text}," for text in streams]
        return "\n".join(["for (", *indented, "    ) in zip(", *zipped, "    ):"])

    def _streams_read(self, stage: Stage, inside: set[int]) -> list[int]:
        """Batched values from outside that the stage reads, in order of first use."""
        read = [v for value in stage.values for v in self._reads(value)]
        read += [self._state_result(name) for name in stage.states]
        return [v for v in dict.fromkeys(read) if v not in inside and self.graph.type_of(v).batched]

    def _read_outside(self, stage: Stage, inside: set[int]) -> list[int]:
        """Values of a scan whose whole streams are wanted after it."""
        assert self.plan is not None
        wanted = {r.value for r in self.graph.results if r.role is not ResultRole.STATE}
        for other in self.plan.stages:
            if other is not stage:
                wanted.update(v for value in other.values for v in self._reads(value))
                wanted.update(self._state_result(name) for name in other.states)
        listed = set(self._stage_of())
        wanted.update(v for late in self._sums(listed) for v in self._reads(late))
        return sorted(wanted & inside)

    # ---------------------------------------------------------------------------- results

    def _returned(self) -> str:
        outputs, sums, finals = [], [], []
        placed = {n for stage in (self.plan.stages if self.plan else ()) for n in stage.states}
        for result in self.graph.results:
            kind = self.graph.type_of(result.value)
            match result.role:
                case ResultRole.OUTPUT:
                    outputs.append(self._stream(result.value))
                case ResultRole.SUM:
                    text = self.streams_or_constant(result.value)
                    sums.append(text if self._is_total(result.value) else f"{text} * T")
                case ResultRole.STATE:
                    if result.name not in placed:
                        self._shift(result.name)
                    text = self.states[result.name]
                    finals.append(
                        text if kind.batched else f"{text}.expand{shape_text('B, ', kind.sizes)}"
                    )
                case ResultRole.VALUE:
                    raise NotImplementedError(f"{self.graph.name}: a shared result of a step")
        return ", ".join(map(_tuple, (outputs, finals, sums)))

    def _is_total(self, value: int) -> bool:
        listed = set(self._stage_of())
        return value in self._sums(listed) or self._is_sum(value, listed)


def _tuple(texts: list[str]) -> str:
    return f"({', '.join(texts)}{',' * (len(texts) == 1)})"

"""Plan to Python source on torch operations.

The source is one function of (inputs, states, params), each a tuple of tensors in the order
of the graph's leaves: inputs [T, B, *shape], states [B, *shape], params [*shape].  It returns
(outputs, states, sums) in the order of the graph's results.
"""

from __future__ import annotations

from collections.abc import Sequence

from rnndsl.backends.torch.analysis import PlanFacts
from rnndsl.backends.torch.naming import RESERVED, identifier
from rnndsl.backends.torch.partitions import partitions
from rnndsl.backends.torch.source import HEADER
from rnndsl.backends.torch.statements import Statements
from rnndsl.compiler.forms.choose import CONVOLUTION, STEPS, rank_one
from rnndsl.compiler.forms.scan_map import MapKind, ScanMap, scan_map
from rnndsl.compiler.ir import Graph, Leaf, LeafRole, ResultRole
from rnndsl.compiler.plan import Plan, Stage, StageKind

_LINE = 100


def function_name(graph: Graph) -> str:
    """The name of the function that is generated for a graph."""
    name = identifier(graph.name)
    return f"{name}_" if name in RESERVED else name


def emit_plan(plan: Plan) -> str:
    """The source of a step plan as one module with the function ``<graph name>``."""
    return _PlanWriter(plan).module()


def emit_shared(graph: Graph) -> str:
    """The source of a prepare graph: a function of (params, like) that returns its values.

    ``like`` is any tensor that has the dtype and device of the result.
    """
    write = Statements(graph, "like", {})
    params = write.leaf_names(LeafRole.PARAM)
    write.streams.update(enumerate(params))
    body = _unpacked(params, "params")
    groups = partitions(graph)
    for value, _ in graph.node_values():
        # Views and constants that a statement asks for stand right before it.
        if value not in groups:
            write.assign(value, write.prelude, 0)
        elif value not in write.streams:
            write.cut(groups[value], write.prelude)
    values = [write.stream(result.value) for result in graph.results]
    lines = [*body, *write.prelude, f"return {_tuple(values)}"]
    return _module(f"def {function_name(graph)}(params, like):", lines)


def _module(head: str, lines: Sequence[str]) -> str:
    return HEADER + "\n".join([head, *(f"    {line}" for line in lines)]) + "\n"


def _unpacked(names: Sequence[str], group: str) -> list[str]:
    """Assignments from a tuple, wrapped where a line would be too long."""
    if not names:
        return []
    line = f"{', '.join(names)} = {group}" if len(names) > 1 else f"({names[0]},) = {group}"
    if len(line) < _LINE:
        return [line]
    return ["(", *(f"    {name}," for name in names), f") = {group}"]


def _tuple(texts: Sequence[str]) -> str:
    return f"({', '.join(texts)}{',' * (len(texts) == 1)})"


class _PlanWriter:
    """Writes the function of one plan.  ``states[s]`` is the text of state s as it is now."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.graph = plan.graph
        self.facts = PlanFacts(plan)
        self.write = Statements(self.graph, "", self.facts.fused)
        self.body: list[str] = []
        self.states: dict[str, str] = {}

    def module(self) -> str:
        graph, write = self.graph, self.write
        lines = []
        for role, group in (
            (LeafRole.INPUT, "inputs"),
            (LeafRole.STATE, "states"),
            (LeafRole.PARAM, "params"),
        ):
            lines += _unpacked(write.leaf_names(role), group)
        lines.append(f"T, B = {write.like}.shape[:2]")
        for value, leaf in enumerate(graph.leaves):
            if leaf.role is LeafRole.STATE:
                self.states[leaf.name] = write.names[value]
            else:
                write.streams[value] = write.names[value]
        for value, node in graph.node_values():
            if not node.type.batched and not self.facts.is_total(value):
                write.assign(value, write.prelude, 0)
        for stage in self.plan.stages:
            (self._scan if stage.kind is StageKind.SCAN else self._parallel)(stage)
        for value in sorted(self.facts.late):
            write.assign(value, self.body, 2)
        returned = self._returned()
        lines += [*write.prelude, *self.body, f"return {returned}"]
        return _module(f"def {function_name(graph)}(inputs, states, params):", lines)

    # ---------------------------------------------------------------------------- parallel

    def _parallel(self, stage: Stage) -> None:
        """Statements on whole streams; streams that nothing reads any more are dropped."""
        order = self.facts.in_order(stage)
        dying = self.facts.dying(stage, order)
        for value in order:
            found = self.graph.definition(value)
            if isinstance(found, Leaf):
                self._delay(found.name)
            elif value not in self.facts.products and value not in self.write.streams:
                self.write.assign(value, self.body, 2)
            done = [self.write.streams[v] for v in dying.get(value, ()) if v in self.write.streams]
            if done:
                self.body.append(f"del {', '.join(done)}")

    def _delay(self, name: str) -> None:
        """A state on no cycle: its stream is its next value's, one step late."""
        leaf, source = self.facts.state_leaves[name], self.facts.next_values[name]
        self._late_stream(name, self.write.repeated(source), bool(self.facts.uses[leaf]))

    def _late_stream(self, name: str, text: str, is_read: bool) -> None:
        """From a state's stream after each step the one before it, if that is read, and the
        state after the last."""
        leaf = self.facts.state_leaves[name]
        first = f"{self.states[name]}.unsqueeze(0)"
        if is_read:
            parts = [f"{text}[1:]", first] if self.plan.reverse else [first, f"{text}[:-1]"]
            stream = self.write.unique(f"{self.write.names[leaf]}_stream")
            self.body.append(f"{stream} = torch.cat([{', '.join(parts)}])")
            self.write.streams[leaf] = stream
        final = self.write.unique(f"{self.write.names[leaf]}_final")
        self.body.append(f"{final} = {text}[{'0' if self.plan.reverse else '-1'}]")
        self.states[name] = final

    # -------------------------------------------------------------------------------- scan

    def _scan(self, stage: Stage) -> None:
        """A loop over time; what later stages read of it is collected in lists."""
        write, names = self.write, self.write.names
        mapped = scan_map(self.graph, stage) if stage.form != STEPS else None
        if mapped is not None:
            self._formed(stage, mapped)
            return
        leaves = [self.facts.state_leaves[name] for name in stage.states]
        if not stage.values and all(
            self.facts.next_values[name] == leaf
            for name, leaf in zip(stage.states, leaves, strict=True)
        ):
            for leaf in leaves:  # states that never change
                shape = ", ".join(["T", "B", *map(str, self.graph.type_of(leaf).sizes)])
                write.streams[leaf] = f"{names[leaf]}.expand({shape})"
            return
        collected = {v: write.unique(f"{names[v]}_steps") for v in self.facts.read_outside(stage)}
        consumed = {
            v: write.unique(f"{write.repeated(v)}_t") for v in self.facts.streams_read(stage)
        }
        write.local = {**{leaf: names[leaf] for leaf in leaves}, **consumed}
        loop = [f"{collected[v]}.append({names[v]})" for v in collected if v in leaves]
        for value in stage.values:
            if not self.graph.type_of(value).batched:
                raise NotImplementedError(f"{self.graph.name}: a sum over the batch in a loop")
            if value not in self.facts.products:
                write.assign(value, loop, 1)
                if value in collected:
                    loop.append(f"{collected[value]}.append({names[value]})")
        loop += self._carried(stage)
        for steps in collected.values():
            self.body.append(f"{steps} = []")
        self.body += self._loop_head({consumed[v]: write.streams[v] for v in consumed})
        self.body += [f"    {line}" for line in loop or ["pass"]]
        order = "[::-1]" if self.plan.reverse else ""
        for value, steps in collected.items():
            # The name of a state stands for its last value now.
            name = write.unique(f"{names[value]}_stream") if value in leaves else names[value]
            self.body.append(f"{name} = torch.stack({steps}{order})")
            write.streams[value] = name
        write.local = {}

    def _formed(self, stage: Stage, mapped: ScanMap) -> None:
        """A linear scan as one call for all steps (see scans.py)."""
        write, names = self.write, self.write.names
        first, order = self.states[mapped.state], self.plan.reverse
        factor = "None" if mapped.factor is None else write.stream(mapped.factor)
        addend = write.repeated(mapped.addend)
        axis = mapped.axis - self.graph.type_of(mapped.leaf).rank
        if mapped.kind is MapKind.DENSE:
            matrix = f"{factor}.t()" if mapped.transposed else factor
            parts = rank_one(self.graph, mapped) if stage.form == CONVOLUTION else None
            if parts is None:
                text = f"dense({matrix}, {addend}, {first}, {axis}, {order})"
            else:
                stream, vector = (write.stream(v) for v in parts)
                text = f"dense_convolved({matrix}, {vector}, {stream}, {first}, {axis}, {order})"
        else:
            function = "maximum" if mapped.kind is MapKind.MAXIMUM else "linear"
            text = f'{function}({factor}, {addend}, {first}, {order}, "{stage.form}")'
        name = names[mapped.result]
        self.body.append(f"{name} = {write.scans()}.{text}")
        write.streams[mapped.result] = name
        read = self.facts.read_outside(stage)
        others = [v for v in read if v not in (mapped.leaf, mapped.result)]
        self._late_stream(mapped.state, name, mapped.leaf in read or bool(others))
        for value in others:
            write.assign(value, self.body, 2)

    def _carried(self, stage: Stage) -> list[str]:
        """The end of the loop's body: every state takes its next value, all at once."""
        pairs = []
        for name in stage.states:
            target = self.write.names[self.facts.state_leaves[name]]
            source = self.facts.next_values[name]
            text = self.write.expanded(source, self.write.text(source), 1)
            if target != text:
                pairs.append((target, text))
        if not pairs:
            return []
        targets, sources = zip(*pairs, strict=True)
        return [f"{', '.join(targets)} = {', '.join(sources)}"]

    def _loop_head(self, streams: dict[str, str]) -> list[str]:
        """``streams`` maps the name of one step's value to the stream it comes from."""
        if not streams:
            return ["for _ in range(T):"]
        pattern = "reversed({}.unbind())" if self.plan.reverse else "{}.unbind()"
        sources = [pattern.format(stream) for stream in streams.values()]
        if len(streams) == 1:
            return [f"for {next(iter(streams))} in {sources[0]}:"]
        line = f"for {', '.join(streams)} in zip({', '.join(sources)}):"
        if len(line) < _LINE:
            return [line]
        names = [f"    {name}," for name in streams]
        return ["for (", *names, ") in zip(", *(f"    {text}," for text in sources), "):"]

    # ----------------------------------------------------------------------------- results

    def _returned(self) -> str:
        write = self.write
        outputs, finals, sums = [], [], []
        for result in self.graph.results:
            match result.role:
                case ResultRole.OUTPUT:
                    outputs.append(write.repeated(result.value))
                case ResultRole.SUM:
                    text = write.stream(result.value)
                    total = self.facts.is_total(result.value)
                    sums.append(text if total else f"{text} * T")
                case ResultRole.STATE:
                    finals.append(write.expanded(result.value, self.states[result.name], 1))
                case ResultRole.VALUE:
                    raise NotImplementedError(f"{self.graph.name}: a shared result of a step")
        return ", ".join(map(_tuple, (outputs, finals, sums)))

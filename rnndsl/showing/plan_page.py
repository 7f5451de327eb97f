"""The page of a plan: what runs when, in which loops and why, what is saved, and what it costs.

The loops are those that the TVM backend writes; it decides them without TVM being installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod

from rnndsl.backends.tvm.arranging import Arrangement, arrange
from rnndsl.backends.tvm.groups import Group, groups_of, predict_plan, value_name, work_of
from rnndsl.compiler.autodiff import Differentiated
from rnndsl.compiler.classes import ScanClass, classify
from rnndsl.compiler.cost import TYPICAL, Estimate, Prediction, Rates, Work, predict
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.plan import Plan, StageKind
from rnndsl.compiler.saving import is_view, reason
from rnndsl.showing.equations import equations
from rnndsl.showing.setting import Setting
from rnndsl.source import Span

Locate = Callable[[Span], str]
_FLOAT = 4


def setting_text(setting: Setting) -> str:
    """The machine, in a line."""
    r = _rates(setting)
    source = "measured here" if setting.rates else "typical of a server, not measured"
    return (
        f"one thread: {r.products / 1e9:.0f} Gflop/s in products, {r.elements / 1e9:.0f} in other "
        f"arithmetic; {r.near / 1e9:.0f} GB/s from the near cache, {r.far / 1e9:.0f} from the far "
        f"one, {r.memory / 1e9:.0f} from memory ({source})"
    )


def _rates(setting: Setting) -> Rates:
    return setting.rates or TYPICAL


def predicted(plan: Plan, setting: Setting) -> float:
    """Seconds of a call of a plan over a bound graph."""
    return predict_plan(plan, _rates(setting), setting.steps, setting.batch).seconds


def plan_page(heading: str, plan: Plan, setting: Setting, locate: Locate) -> str:
    """The stages of a plan over a bound graph, loop by loop."""
    arranged = arrange(plan)
    work = work_of(arranged)
    found = predict(work, _rates(setting), setting.steps, setting.batch)
    total = sum((loop for stage in work for loop in stage.loops), Work())
    each = setting.each
    order = f"last {each} first" if plan.reverse else f"first {each} first"
    stages = _plural(len(work), "stage")
    work_each = f"{total.flops:,} flops, {_bytes(total.streamed)} of streams"
    lines = [
        f"{heading}: {stages}, {order}; predicted {_time(found.seconds)}",
        f"  per example and {each} {work_each}{_intensity(total, setting)}",
        "",
    ]
    classes = {c.states: c for c in classify(arranged.plan)}
    texts = equations(arranged.plan.graph)
    for number in range(len(work)):
        lines += _stage(number, arranged, found, setting, classes, texts, locate)
    return "\n".join(lines)


def _intensity(work: Work, setting: Setting) -> str:
    if not work.streamed:
        return ""
    rates = _rates(setting)
    ridge = rates.products / rates.memory
    value = work.flops / work.streamed
    side = "arithmetic" if value > ridge else "memory"
    return f": {value:.1f} flops per byte, where {side} bounds ({ridge:.1f} is even)"


def _stage(
    number: int,
    arranged: Arrangement,
    found: Prediction,
    setting: Setting,
    classes: Mapping[tuple[str, ...], ScanClass],
    texts: Mapping[int, str],
    locate: Locate,
) -> Iterator[str]:
    plan, stage = arranged.plan, arranged.schedule.stages[number]
    scan = stage.kind is StageKind.SCAN
    each = setting.each
    how = f"scan, one {each} after the other" if scan else f"parallel, all {each}s at once"
    share = found.stages[number] / max(sum(found.stages), 1e-12)
    yield f"  stage {number + 1}: {how}; {_time(found.stages[number])}, {share:.0%}"
    if stage.states:
        shapes = (f"{s} {_shape(plan.graph, _leaf(plan.graph, s))}" for s in stage.states)
        yield f"    {'carries' if scan else f'delays by one {each}'} {', '.join(shapes)}"
    if scan and stage.states in classes:
        yield f"    {classes[stage.states].text(locate)}"
    groups = groups_of(arranged)[number]
    for k, (group, estimate) in enumerate(zip(groups, found.loops[number], strict=True), 1):
        yield from _group(f"{number + 1}.{k}", group, estimate, plan.graph, texts, scan, setting)
    moved = [v for g in groups for v in g.values if v in arranged.moved]
    if moved:
        names = ", ".join(value_name(plan.graph, v) for v in moved)
        yield f"    in the loop though not recurrent, to save their streams: {names}"
    yield f"    the stage ends: {_stage_end(number, arranged)}"
    yield ""


def _stage_end(number: int, arranged: Arrangement) -> str:
    stages = arranged.schedule.stages
    if number + 1 == len(stages):
        return "nothing is left"
    if stages[number].kind is StageKind.SCAN:
        if stages[number + 1].kind is StageKind.SCAN:
            return "the next scan is a recurrence of its own: neither needs the other's next step"
        return "what is left does not recur, and runs for all steps at once"
    states = ", ".join(stages[number + 1].states)
    return f"what is left needs {states}, step after step"


def _group(
    label: str,
    group: Group,
    estimate: Estimate,
    graph: Graph,
    texts: Mapping[int, str],
    scan: bool,
    setting: Setting,
) -> Iterator[str]:
    work = group.work
    kind = group.kind
    if kind == "loop":
        shape = _shape(graph, group.values[0])
        kind = f"one loop over {shape}, {_plural(len(group.values), 'operation')}"
    parts = [f"{work.flops:,} flops"] if work.flops else []
    parts += [f"{_bytes(work.streamed)} of streams"] if work.streamed else []
    parts += [f"{_bytes(work.kept)} in cache"] if work.kept else []
    parts += [f"{_bytes(work.shared)} of parameters"] if work.shared else []
    yield f"    {label} {kind}: {'; '.join(parts) or 'no work'}"
    rows = setting.batch if scan else setting.batch * setting.steps
    if work.flops:
        value = work.intensity(rows)
        per_byte = "" if value == float("inf") else f"{value:.1f} flops per byte; "
        yield f"      {per_byte}{_time(estimate.seconds)}, bound by {estimate.bound.value}"
    for value in group.values:
        mark = "*" if value in group.stored else " "
        yield f"      {mark} {texts[value]}"
    ends = group.ends if group.ends.startswith(("apart", "no loop")) else f"ends: {group.ends}"
    yield f"      {ends}"


def saved_text(step: Graph, found: Differentiated, forward_plan: Plan, setting: Setting) -> str:
    """What the forward pass saves, what the backward pass makes again, and why.

    ``found`` is the derivative of ``step``, over bound graphs; values of the forward pass are named
    as on the page of ``forward_plan``.
    """
    forward, shown = found.forward, arrange(forward_plan).plan.graph
    outputs = {r.value for r in step.results_of(ResultRole.OUTPUT)}
    extra = [r for r in forward.results_of(ResultRole.OUTPUT)][len(outputs) :]
    kept = {r.value: r.name for r in extra if isinstance(forward.definition(r.value), Node)}
    size = sum(_size(forward, v) for v in kept if v not in outputs)
    whole = size * setting.steps * setting.batch
    lines = [f"saved: {_bytes(size)} per example and {setting.each}, {_bytes(whole)} in all"]
    places = {r.name: r.value for r in shown.results_of(ResultRole.OUTPUT)}
    names = {v: f"{name} = {value_name(shown, places[name])}" for v, name in kept.items()}
    lines += [f"  {line}" for line in _values(step, names, True)]
    again = {v: value_name(step, v) for v in found.again if not is_view(step, v)}
    numbers = "; numbers as in `--at step`" if setting.each == "step" else ""
    lines.append(f"made again for the backward pass{numbers if again else ': nothing but views'}")
    lines += [f"  {line}" for line in _values(step, again, False)]
    return "\n".join(lines) + "\n"


def _values(graph: Graph, names: Mapping[int, str], is_saved: bool) -> Iterator[str]:
    rows = [
        (f"{name}: {_node(graph, v).op} {_shape(graph, v)}", reason(graph, v, is_saved))
        for v, name in names.items()
    ]
    width = max((len(label) for label, _ in rows), default=0)
    yield from (f"{label:{width}}  {why}" for label, why in rows)


def _node(graph: Graph, value: int) -> Node:
    node = graph.definition(value)
    assert isinstance(node, Node)
    return node


def _leaf(graph: Graph, state: str) -> int:
    return graph.leaf_index(state, LeafRole.STATE)


def _size(graph: Graph, value: int) -> int:
    return _FLOAT * prod(graph.type_of(value).sizes)


def _shape(graph: Graph, value: int) -> str:
    return f"[{', '.join(map(str, graph.type_of(value).shape))}]"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _bytes(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e4)):
        if size >= scale:
            return f"{size / min(scale, 1e3 if unit == 'kB' else scale):.1f} {unit}"
    return f"{size:,} B"


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"

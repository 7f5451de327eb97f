"""The peer ONNX Runtime for any cell: its ops one by one, in the body of a Scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from rnndsl.backends.torch.program import INIT
from rnndsl.bench import ort
from rnndsl.bench.problem import Problem
from rnndsl.bench.subject import Results, Subject
from rnndsl.compiler.interpreter import evaluate
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole
from rnndsl.compiler.ops import OPS

Arrays = Mapping[str, Any]


def why_not(problem: Problem) -> str:
    if reason := ort.no_models(problem):
        return reason
    from rnndsl.bench.onnx_nodes import NODES

    used = {node.op for node in problem.program.step.nodes if node.type.batched}
    missing = sorted(used - set(NODES))
    return f"there is no ONNX op for {', '.join(missing)}" if missing else ""


def prepare(problem: Problem) -> Subject:
    """A session: with a Scan for a sequence, with the bare step when streaming."""
    values = _prepared(problem)
    batch = problem.shape.batch
    start = {
        name: np.ascontiguousarray(np.broadcast_to(values[INIT + name], (batch, *kind.sizes)))
        for name, kind in problem.program.states.items()
    }
    streaming = problem.mode == "stream"
    session = ort.make_session(_model(problem, values, streaming))
    names = list(start)
    if streaming:
        steps = [{name: x.numpy() for name, x in step.items()} for step in problem.steps]

        def run() -> Any:
            outputs, states = [], start
            for x in steps:
                *finals, y = session.run(None, {**_inputs(x), **_states(states)})
                states = dict(zip(names, finals, strict=True))
                outputs.append(y)
            return np.stack(outputs), list(states.values())
    else:
        feed = {**_inputs({n: x.detach().numpy() for n, x in problem.inputs.items()})}
        feed |= _states(start)

        def run() -> Any:
            *finals, y = session.run(None, feed)
            return y, finals

    def read(found: Any) -> Results:
        y, finals = found
        pairs = zip(names, finals, strict=True)
        named = {f"final state {name}": torch.from_numpy(array) for name, array in pairs}
        return {"the output": torch.from_numpy(y), **named}

    return Subject(run, read)


def _states(arrays: Arrays) -> dict[str, Any]:
    return {f"state.{name}": array for name, array in arrays.items()}


def _inputs(arrays: Arrays) -> dict[str, Any]:
    return {f"input.{name}": array for name, array in arrays.items()}


def _prepared(problem: Problem) -> dict[str, Any]:
    """Parameters, what is derived from them, and initial states, computed once in float64."""
    params = {name: p.detach().double().numpy() for name, p in problem.params.items()}
    prepare = problem.program.prepare
    found = evaluate(prepare, params)
    made = {result.name: found[result.value][0] for result in prepare.results}
    return {name: np.float32(array) for name, array in {**params, **made}.items()}


def _model(problem: Problem, values: Arrays, streaming: bool) -> bytes:
    from onnx import helper

    body = _body(problem.program.step, values, problem.shape.batch)
    graph = body if streaming else _scanned(body, len(problem.program.inputs))
    opset = [helper.make_opsetid("", ort.OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=ort.IR_VERSION)
    return bytes(model.SerializeToString())


def _body(step: Graph, values: Arrays, batch: int) -> Any:
    """One step as an ONNX graph from (states, inputs) to (states, output), as Scan has it."""
    from onnx import helper

    from rnndsl.bench.onnx_nodes import NODES, Writer

    w = Writer("v", batch)
    names: list[str] = []
    for leaf in step.leaves:
        shared = leaf.role is LeafRole.PARAM
        names.append(
            w.constant(values[leaf.name][None]) if shared else f"{leaf.role.value}.{leaf.name}"
        )
    for node in step.nodes:
        operands = [names[v] for v in node.operands]
        types = [step.type_of(v) for v in node.operands]
        if node.type.batched:
            names.append(NODES[node.op](w, node, operands, types))
        else:
            arrays = [w.arrays[name] for name in operands]
            found = OPS[node.op].meaning(arrays, dict(node.attrs), types, node.type)
            names.append(w.constant(np.float32(found if operands else found[None])))
    inputs, outputs = [], []
    for role in (LeafRole.STATE, LeafRole.INPUT):
        for leaf in step.leaves_of(role):
            inputs.append(_info(f"{role.value}.{leaf.name}", (batch, *leaf.type.sizes)))
    for kind in (ResultRole.STATE, ResultRole.OUTPUT):
        for result in step.results_of(kind):
            sizes = (batch, *step.type_of(result.value).sizes)
            outputs.append(_info(f"after.{kind.value}.{result.name}", sizes))
            w.node("Expand", names[result.value], w.whole(*sizes))
            w.nodes[-1].output[0] = outputs[-1].name
    return helper.make_graph(w.nodes, "step", inputs, outputs, w.constants())


def _scanned(body: Any, streams: int) -> Any:
    """A graph with one Scan over the body."""
    from onnx import helper

    states = len(body.input) - streams
    inputs = [info.name for info in body.input]
    outputs = [f"all.{info.name}" for info in body.output]
    node = helper.make_node("Scan", inputs, outputs, body=body, num_scan_inputs=streams)

    def outside(info: Any, name: str, stream: bool) -> Any:
        sizes = [d.dim_value for d in info.type.tensor_type.shape.dim]
        return _info(name, ("T", *sizes) if stream else tuple(sizes))

    return helper.make_graph(
        [node],
        "sequence",
        [outside(info, info.name, k >= states) for k, info in enumerate(body.input)],
        [outside(info, outputs[k], k >= states) for k, info in enumerate(body.output)],
    )


def _info(name: str, sizes: tuple[int | str, ...]) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)

"""The peer ONNX Runtime: its own LSTM, GRU and RNN, on our weights."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from rnndsl.bench.problem import Problem
from rnndsl.bench.subject import Results, Subject
from rnndsl.bench.torch_nn import Counterpart, counterpart, packed

# ONNX's op, and the places in torch's order of the gates that ONNX stacks.
_OPS = {"lstm": ("LSTM", (0, 3, 1, 2)), "gru": ("GRU", (1, 0, 2)), "elman": ("RNN", (0,))}
OPSET, IR_VERSION = 18, 9


def why_not(problem: Problem) -> str:
    """Why ONNX Runtime cannot run the cell with an op of its own."""
    found = counterpart(problem.cell, problem.numbers)
    if not (reason := no_models(problem)) and (found is None or problem.numbers.get("rectified")):
        return "it has no such op"
    return reason


def no_models(problem: Problem) -> str:
    """Why ONNX Runtime cannot run anything of this kind."""
    if find_spec("onnx") is None:
        return "the package onnx, which writes its models, is not installed"
    return "it runs models, and does not train them" if problem.mode == "train" else ""


def prepare(problem: Problem) -> Subject:
    """A session with one node, on as many threads as torch has."""
    found = counterpart(problem.cell, problem.numbers)
    assert found is not None
    session = make_session(_model(problem, found))
    (stream,) = problem.inputs.values()
    x = stream.detach().numpy()
    zero = np.zeros((1, problem.shape.batch, problem.shape.hidden), np.float32)
    states = list(problem.program.states)
    steps = [x[time : time + 1] for time in range(problem.shape.steps)]

    def sequence() -> Any:
        feed = {"x": x, **dict.fromkeys(states, zero)}
        y, *finals = session.run(None, feed)
        return y, finals

    def one_by_one() -> Any:
        outputs, finals = [], [zero] * len(states)
        for now in steps:
            y, *finals = session.run(None, {"x": now, **dict(zip(states, finals, strict=True))})
            outputs.append(y)
        return np.concatenate(outputs), finals

    def read(found: Any) -> Results:
        y, finals = found
        named = {
            f"final state {n}": torch.from_numpy(a[0]) for n, a in zip(states, finals, strict=True)
        }
        return {"the output": torch.from_numpy(y[:, 0]), **named}

    return Subject(one_by_one if problem.mode == "stream" else sequence, read)


def make_session(model: bytes) -> Any:
    """A session of ONNX Runtime on the CPU, on as many threads as torch has.

    Its threads do not spin between calls: they would take part of the others' time.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(problem: Problem, found: Counterpart) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    op, order = _OPS[found.cell]
    hidden, states = problem.shape.hidden, list(problem.program.states)
    weights = _stacked(packed(found.gates, problem.params), order)
    # GRU as torch has it: r is applied after the product.
    options = {"linear_before_reset": 1} if op == "GRU" else {}
    starts = ["", *(f"{name}" for name in states)]
    finals = [f"{name}.after" for name in states]
    node = helper.make_node(
        op, ["x", "w", "r", "b", *starts], ["y", *finals], hidden_size=hidden, **options
    )
    inputs = [("x", problem.shape.input, "T"), *((name, hidden, 1) for name in states)]
    outputs = [("y", ["T", 1, "B", hidden]), *((name, [1, "B", hidden]) for name in finals)]
    graph = helper.make_graph(
        [node],
        found.cell,
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [lead, "B", size])
            for name, size, lead in inputs
        ],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    return bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION).SerializeToString()
    )


def _stacked(weights: Mapping[str, torch.Tensor], order: tuple[int, ...]) -> dict[str, Any]:
    def rows(name: str) -> Any:
        parts = weights[name].detach().chunk(len(order))
        return torch.cat([parts[k] for k in order]).numpy()

    both = np.concatenate([rows("bias_ih"), rows("bias_hh")])
    return {"w": rows("weight_ih")[None], "r": rows("weight_hh")[None], "b": both[None]}

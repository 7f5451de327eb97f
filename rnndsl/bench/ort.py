"""The peer ONNX Runtime: its own LSTM, on our weights."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from rnndsl.bench.problem import Problem
from rnndsl.bench.subject import Results, Subject
from rnndsl.bench.torch_nn import counterpart

_GATES = "iofg"  # the order in which ONNX stacks the gates of an LSTM


def why_not(problem: Problem) -> str:
    if find_spec("onnx") is None:
        return "the package onnx, which writes its models, is not installed"
    if problem.mode == "train":
        return "it runs models, and does not train them"
    found = counterpart(problem.cell, problem.numbers)
    if found is None or found.cell != "lstm":
        return "only its LSTM is compared"
    return ""


def prepare(problem: Problem) -> Subject:
    """A session with one LSTM node, on as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        _model(problem), options, providers=["CPUExecutionProvider"]
    )
    (stream,) = problem.inputs.values()
    x = stream.detach().numpy()
    zero = np.zeros((1, problem.shape.batch, problem.shape.hidden), np.float32)
    names = ["y", "h", "c"]

    def sequence() -> Any:
        return session.run(names, {"x": x, "h0": zero, "c0": zero})

    def one_by_one() -> Any:
        outputs, h, c = [], zero, zero
        for now in steps:
            y, h, c = session.run(names, {"x": now, "h0": h, "c0": c})
            outputs.append(y)
        return np.concatenate(outputs), h, c

    steps = [x[time : time + 1] for time in range(problem.shape.steps)]
    return Subject(one_by_one if problem.mode == "stream" else sequence, _read)


def _read(found: Any) -> Results:
    y, h, c = (torch.from_numpy(array) for array in found)
    return {"the output": y[:, 0], "final state h": h[0], "final state c": c[0]}


def _model(problem: Problem) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    params = {name: value.detach().numpy() for name, value in problem.params.items()}
    hidden = problem.shape.hidden
    w, r = (
        np.concatenate([params[f"{gate}.{operand}.weight"] for gate in _GATES])[None]
        for operand in "xh"
    )
    bias = np.concatenate([params[f"{gate}.bias"] for gate in _GATES])
    b = np.concatenate([bias, np.zeros_like(bias)])[None]
    node = helper.make_node(
        "LSTM", ["x", "w", "r", "b", "", "h0", "c0"], ["y", "h", "c"], hidden_size=hidden
    )
    inputs = [("x", problem.shape.input), ("h0", hidden), ("c0", hidden)]
    outputs = {"y": ["T", 1, "B", hidden], "h": [1, "B", hidden], "c": [1, "B", hidden]}
    graph = helper.make_graph(
        [node],
        "lstm",
        [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, ["T" if name == "x" else 1, "B", size]
            )
            for name, size in inputs
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        [numpy_helper.from_array(a.copy(), n) for n, a in (("w", w), ("r", r), ("b", b))],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return bytes(model.SerializeToString())

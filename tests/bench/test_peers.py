"""Who is compared: everyone computes what the cell computes, and who cannot is named."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from rnndsl.bench import compiled, peers, torch_nn
from rnndsl.bench.agreement import check_agreement
from rnndsl.bench.cases import MODES, Shape, parse_shape, parse_shapes
from rnndsl.bench.eager import reference
from rnndsl.bench.limit import OutOfTime
from rnndsl.bench.peers import PEERS, choose
from rnndsl.bench.problem import Problem, make_problem
from rnndsl.bench.runner import measure
from rnndsl.bench.subject import Results, Subject
from rnndsl.cell import load, parse
from rnndsl.diagnostics import RnndslError

TINY = Shape(4, 2, 3, 5)

STOPPED = """
cell Stopped(D, H):
    input x: [D]
    state h: [H]
    g = sigmoid(linear[H](x, h))
    h' = tanh(stop_grad(g) * h + linear[H](x, name = u))
    return h'
"""
MEMORYLESS = "cell Memoryless(D):\n    input x: [D]\n    return tanh(x)\n"


def problem(cell: str, mode: str, shape: Shape = TINY, **numbers: float) -> Problem:
    return make_problem(load(cell), shape, mode, numbers)


def measured(found: Problem, names: str) -> tuple[set[str], dict[str, str]]:
    case, _ = measure(found, choose(names), 1e-9, lambda text: None)
    return {entry.name for entry in case.entries}, case.missing


def code(caught: pytest.ExceptionInfo[RnndslError]) -> str:
    return caught.value.diagnostics[0].code


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_torch_nn_computes_what_its_cells_do(cell: str, mode: str) -> None:
    assert measured(problem(cell, mode), "torch,eager,nn")[0] == {"torch", "eager", "nn"}


def test_a_rectified_elman_is_the_relu_of_nn_rnn() -> None:
    assert "nn" in measured(problem("elman", "infer", rectified=1), "torch,nn")[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cell", ["mlstm", "rhn", "sru"])
def test_the_generated_loop_runs_any_cell(cell: str, mode: str) -> None:
    shape = Shape(4, 2, 4, 4)
    found, missing = measured(problem(cell, mode, shape), "torch,eager,hoisted,nn")
    assert found >= {"torch", "eager"}
    assert missing["nn"] == "torch.nn has no such cell"
    assert ("hoisted" in found) == (mode != "stream")


def test_the_loop_lets_no_gradient_through_where_the_cell_stops_it() -> None:
    found = make_problem(parse(STOPPED), TINY, "train", {})
    present, missing = measured(found, "torch,eager,hoisted")
    assert present == {"torch", "eager"}
    assert "stops gradients" in missing["hoisted"]


@pytest.mark.parametrize("mode", MODES)
def test_a_cell_without_states_and_parameters_is_measured(mode: str) -> None:
    found = make_problem(parse(MEMORYLESS), TINY, mode, {})
    assert measured(found, "torch,eager")[0] == {"torch", "eager"}


@pytest.mark.parametrize("mode", MODES)
def test_tvm_computes_the_same(mode: str) -> None:
    pytest.importorskip("tvm", reason="TVM is not installed")
    assert measured(problem("lstm", mode), "torch,tvm")[0] == {"torch", "tvm"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cell", ["lstm", "layernorm_lstm"])
def test_jax_computes_the_same(cell: str, mode: str) -> None:
    pytest.importorskip("jax", reason="JAX is not installed")
    assert "jax" in measured(problem(cell, mode), "torch,jax")[0]


@pytest.mark.parametrize("mode", ["infer", "stream"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_onnx_runtime_computes_the_same(cell: str, mode: str) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    assert measured(problem(cell, mode), "torch,ort,ort_scan")[0] == {"torch", "ort", "ort_scan"}


@pytest.mark.parametrize("mode", ["infer", "stream"])
@pytest.mark.parametrize("cell", ["hyperlstm", "mlstm", "sru", "recurrent_highway_hypernetwork"])
def test_a_scan_of_onnx_runtime_runs_any_cell(cell: str, mode: str) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    found, missing = measured(problem(cell, mode, Shape(3, 2, 4, 4)), "torch,ort,ort_scan")
    assert found == {"torch", "ort_scan"}
    assert missing == {"ort": "it has no such op"}


def test_onnx_runtime_does_not_train() -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    missing = measured(problem("lstm", "train"), "torch,ort,ort_scan")[1]
    assert set(missing.values()) == {"it runs models, and does not train them"}


def test_an_op_that_onnx_lacks_is_named() -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    lacking = "cell Peak(D):\n    input x: [D]\n    return cummax(x)\n"
    found = make_problem(parse(lacking), TINY, "infer", {})
    assert measured(found, "torch,ort_scan")[1] == {"ort_scan": "there is no ONNX op for cummax"}


@pytest.mark.parametrize("mode", MODES)
def test_torch_compile_computes_the_same(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")  # the other takes a minute
    found = problem("mgu", mode, Shape(2, 2, 3, 4))
    if reason := PEERS["compile"].missing(found):
        pytest.skip(reason)
    present, missing = measured(found, "torch,compile,compile_cell")
    assert "compile" in present
    assert ("compile_cell" in present) == (mode != "stream")
    assert set(missing) <= {"compile_cell"}


def test_who_takes_too_long_to_get_ready_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(found: Problem) -> Subject:
        raise OutOfTime

    monkeypatch.setattr(torch_nn, "prepare", prepare)
    found = problem("lstm", "infer")
    case, _ = measure(found, choose("torch,nn"), 1e-9, lambda text: None, limit=7)
    assert [entry.name for entry in case.entries] == ["torch"]
    assert case.missing == {"nn": "it was not ready within 7 s"}


def spoil(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Make nn's result wrong in one place."""
    honest = torch_nn.prepare

    def prepare(found: Problem) -> Subject:
        subject = honest(found)

        def read(result: object) -> Results:
            results = dict(subject.read(result))
            results[what] = results[what] + 0.05
            return results

        return replace(subject, read=read)

    monkeypatch.setattr(torch_nn, "prepare", prepare)


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ("infer", "the output"),
        ("infer", "final state c"),
        ("stream", "the output"),
        ("train", "gradient of x"),
        ("train", "gradient of f.h.weight"),
    ],
)
def test_a_wrong_result_is_an_error_and_nothing_is_timed(
    monkeypatch: pytest.MonkeyPatch, mode: str, what: str
) -> None:
    spoil(monkeypatch, what)
    timed: list[object] = []
    monkeypatch.setattr("rnndsl.bench.runner.take_turns", lambda *a: timed.append(a))
    with pytest.raises(RnndslError) as caught:
        measured(problem("lstm", mode), "torch,nn")
    assert code(caught) == "E0903"
    assert "`nn`" in str(caught.value) and what in str(caught.value)
    assert not timed


def test_a_result_that_is_not_a_number_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = reference(problem("lstm", "infer"))
    found = {name: torch.full_like(value, torch.nan) for name, value in expected.items()}
    with pytest.raises(RnndslError) as caught:
        check_agreement(problem("lstm", "infer"), "nn", found, expected)
    assert code(caught) == "E0903"


def test_who_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"jax", "onnxruntime", "tvm"}
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in gone else find_spec(name))
    found, missing = measured(problem("lstm", "infer"), "torch,tvm,jax,ort")
    assert found == {"torch"}
    assert missing["jax"] == "jax is not installed"
    assert missing.keys() == {"tvm", "jax", "ort"}


def test_nobody_left_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with pytest.raises(RnndslError) as caught:
        measured(problem("lstm", "infer"), "tvm,nn")
    assert code(caught) == "E0905"


def test_ours_are_always_there_to_compare_with() -> None:
    assert [p.name for p in choose("nn")] == ["auto", "nn"]
    assert [p.name for p in choose("nn,tvm")] == ["tvm", "nn"]
    assert [p.name for p in choose(None)] == ["auto", "eager", "nn"]
    assert {p.name for p in choose(",".join(PEERS))} == set(PEERS)


def test_an_unknown_peer_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(RnndslError) as caught:
        choose("eagre")
    assert code(caught) == "E0902"
    assert "did you mean `eager`?" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "1,2,3,0", "a,b,c,d", "1x2x3x4", "-1,2,3,4"]
)
def test_a_shape_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(RnndslError) as caught:
        parse_shape(text)
    assert code(caught) == "E0901"


def test_each_shape_is_measured_once() -> None:
    assert parse_shapes(["1,2,3,4", "1, 2, 3, 4"]) == (Shape(1, 2, 3, 4),)


def test_a_gradient_may_be_off_by_what_cancels_in_it() -> None:
    expected = {
        "the output": torch.ones(2, dtype=torch.float64),
        "gradient of w": torch.full((2,), 10.0, dtype=torch.float64),
        "gradient of b": torch.zeros(2, dtype=torch.float64),
    }
    asked = problem("lstm", "train")
    off = torch.full((2,), 5e-4)
    check_agreement(asked, "nn", expected | {"gradient of b": off}, expected)
    for name, wrong in (("gradient of b", 4 * off), ("the output", 1 + 4 * off)):
        with pytest.raises(RnndslError) as caught:
            check_agreement(asked, "nn", expected | {name: wrong}, expected)
        assert code(caught) == "E0903"

"""Exported cells: the files, the loader in a process of its own, and what can go wrong."""

from __future__ import annotations

import builtins
import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnndsl.cell import load, parse
from rnndsl.compiler.initializers import initialize
from rnndsl.compiler.interpreter import run, run_shared
from rnndsl.compiler.lower import lower
from rnndsl.compiler.op_meaning import Array
from rnndsl.compiler.separate import separate
from rnndsl.diagnostics import RnndslError

pytest.importorskip("tvm", reason="TVM is not installed")

from rnndsl.backends.tvm import Artifact, compile_cell
from rnndsl.backends.tvm.signature import Packing

SIZES = {"D": 3, "H": 5}


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return compile_cell("lstm", tmp_path_factory.mktemp("lstm"), 3, 5, weights=lstm_weights())


def lstm_weights() -> dict[str, Array]:
    return initialize(lower(load("lstm")).params, SIZES, seed=3)


def meant(name: str, x: Array, weights: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Output and final states of a cell from its declared initial states."""
    program = separate(lower(load(name)).graph.bind(SIZES))
    prepared = {**weights, **run_shared(program.prepare, weights)}
    states = {
        key.removeprefix("init."): np.broadcast_to(value, (x.shape[1], *value.shape))
        for key, value in prepared.items()
        if key.startswith("init.")
    }
    found = run(program.step, {"x": x}, states, prepared)
    return found.outputs["y"], found.states


SCRIPT = """
import json, sys
import numpy as np
from lstm import Cell
x = np.load(sys.argv[1])
cell = Cell()
y, states = cell.run(x)
assert not {"torch", "tvm", "rnndsl"} & set(sys.modules), "the loader imported too much"
carried, steps = None, []
for x_t in x:
    y_t, carried = cell.step(x_t, carried)
    steps.append(y_t)
np.savez(sys.argv[2], y=y, h=states[0], c=states[1], steps=np.stack(steps), last=carried[1])
"""


def test_a_library_runs_in_a_process_of_its_own(lstm: Artifact, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    environment = {**os.environ, "PYTHONPATH": str(lstm.loader.parent)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "x.npy"), str(tmp_path / "out.npz")]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, timeout=120)
    found = np.load(tmp_path / "out.npz")
    y, states = meant("lstm", x.astype(np.float64), lstm_weights())
    np.testing.assert_allclose(found["y"], y, atol=2e-6)
    np.testing.assert_allclose(found["h"][0], states["h"], atol=2e-6)
    np.testing.assert_allclose(found["c"][0], states["c"], atol=2e-6)
    np.testing.assert_array_equal(found["steps"], found["y"])
    np.testing.assert_array_equal(found["last"], found["c"])


def test_the_library_needs_neither_torch_nor_the_compiler(lstm: Artifact) -> None:
    content = lstm.library.read_bytes()
    assert b"TVMBackend" not in content
    assert b"libtvm" not in content


def test_states_and_inputs_are_left_as_they_were(lstm: Artifact) -> None:
    cell = lstm.load()
    x, h, c = np.ones((2, 4, 3), np.float32), *np.zeros((2, 1, 4, 5), np.float32)
    for array in (x, h, c):
        array.flags.writeable = False
    y, states = cell.run(x, (h, c))
    assert (h == 0).all() and (c == 0).all()
    again, _ = cell.run(x[:, ::-1], states)
    assert again.shape == y.shape


def test_initial_states_and_derived_parameters_are_stored(tmp_path: Path) -> None:
    text = (
        "cell GROWING(D, H):\n"
        "    input x: [D]\n"
        "    param start: [H] = normal(1)\n"
        "    param rate: [H] = normal(1)\n"
        "    state h: [H] = tanh(start)\n"
        "    h' = sigmoid(rate) * h + linear[H](x, name = a)\n"
        "    return h'\n"
    )
    cell = parse(text)
    weights = initialize(lower(cell).params, SIZES, seed=2)
    loaded = compile_cell(cell, tmp_path, 3, 5, weights=weights, dtype="float64").load()
    y, state = loaded.run(np.zeros((1, 2, 3)))
    start = np.tanh(weights["start"])
    rate = 1 / (1 + np.exp(-weights["rate"]))
    np.testing.assert_allclose(loaded.initial_states(2)[0], np.stack([start, start]))
    np.testing.assert_allclose(y[0, 0], rate * start + weights["a.bias"], atol=1e-12)
    assert isinstance(state, np.ndarray)  # a single state is bare


def test_the_manifest_says_what_was_compiled(lstm: Artifact) -> None:
    manifest = json.loads(lstm.manifest.read_text())
    layer = manifest["layers"][0]
    assert manifest["dtype"] == "float32"
    assert layer["inputs"] == [{"name": "x", "shape": [3]}]
    assert [state["name"] for state in layer["states"]] == ["h", "c"]
    assert layer["parameters"] == sorted(lstm_weights())
    assert layer["workspace"]["fixed"] > 0
    assert manifest["versions"]["apache-tvm"] != "not installed"


def test_an_export_replaces_the_one_before(tmp_path: Path) -> None:
    first = compile_cell("elman", tmp_path, 3, 5, seed=1)
    before = first.load().run(np.ones((2, 1, 3)))[0]
    second = compile_cell("elman", tmp_path, 3, 5, seed=2)
    assert second == first
    assert np.abs(second.load().run(np.ones((2, 1, 3)))[0] - before).max() > 1e-3
    left = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}  # Python's, of the loader
    assert left == {"libelman.so", "elman.weights.npz", "elman.json", "elman.py"}


def test_files_of_different_exports_are_told_apart(tmp_path: Path) -> None:
    artifact = compile_cell("elman", tmp_path, 3, 5)
    artifact.weights.write_bytes(artifact.weights.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"elman\.weights\.npz is not the file"):
        artifact.load()


def test_a_stack_of_layers_is_one_library(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import rnndsl

    torch.manual_seed(0)
    layer = rnndsl.layer("gru", 3, 5, num_layers=2)
    cell = compile_cell(layer, tmp_path).load()
    x = torch.randn(4, 2, 3)
    with torch.no_grad():
        y, state = layer(x)
        y_t, state_t = layer.step(x[0], state)
    assert isinstance(state, torch.Tensor) and isinstance(state_t, torch.Tensor)
    found, carried = cell.run(x.numpy())
    np.testing.assert_allclose(found, y.numpy(), atol=2e-6)
    np.testing.assert_allclose(carried, state.numpy(), atol=2e-6)
    found_t, carried_t = cell.step(x[0].numpy(), carried)
    np.testing.assert_allclose(found_t, y_t.numpy(), atol=2e-6)
    np.testing.assert_allclose(carried_t, state_t.numpy(), atol=2e-6)


def test_a_layer_takes_the_weights_of_a_state_dict(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import rnndsl

    layer, other = (rnndsl.layer("elman", 3, 5) for _ in range(2))
    cell = compile_cell(layer, tmp_path, weights=other.state_dict()).load()
    x = torch.randn(4, 2, 3)
    np.testing.assert_allclose(cell.run(x.numpy())[0], other(x)[0].detach().numpy(), atol=2e-6)
    both = rnndsl.layer("elman", 3, 5, bidirectional=True)
    with pytest.raises(RnndslError, match="both directions"):
        compile_cell(both, tmp_path)


# ------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 5}, r"dimension D .*has no size"),
        ({"input_size": 3, "hidden_size": 0}, "hidden_size must be a whole number from 1"),
        ({"input_size": 3, "hidden_size": 5, "numbers": {"deep": 2}}, "`deep`"),
        ({"input_size": 3, "hidden_size": 5, "weights": {}}, r"missing: a\.bias, .*, b"),
        ({"input_size": 3, "hidden_size": 5, "weights": [1]}, "found a list"),
        ({"input_size": 3, "hidden_size": 5, "dtype": "int8"}, "int8"),
        ({"input_size": 3, "hidden_size": 5, "target": "pdp11"}, "pdp11"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RnndslError, match=message):
        compile_cell(BARE, tmp_path, **arguments)


BARE = parse(
    "cell BARE(D, H):\n"
    "    input x: [D]\n"
    "    state h: [H]\n"
    "    param b: [H] = zeros\n"
    "    h' = tanh(linear[H](x, h, name = a)) + b\n"
    "    return h'\n"
)


def test_weights_of_a_wrong_shape_are_named(tmp_path: Path) -> None:
    weights = {**lstm_weights(), "i.bias": np.zeros(4)}
    with pytest.raises(RnndslError, match=r"i\.bias is \[4\], expected \[5\]"):
        compile_cell("lstm", tmp_path, 3, 5, weights=weights)
    with pytest.raises(RnndslError, match="not parameters of the cell: z"):
        compile_cell("lstm", tmp_path, 3, 5, weights={**lstm_weights(), "z": np.zeros(4)})


def test_a_missing_tvm_is_said_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_tvm(name: str, *rest: Any, **more: Any) -> Any:
        if name == "tvm":
            raise ImportError("No module named 'tvm'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_tvm)
    with pytest.raises(RnndslError, match=r"pip install 'rnndsl\[tvm\]'"):
        compile_cell("lstm", tmp_path, 3, 5)


def test_a_missing_linker_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(RnndslError, match="no linker"):
        compile_cell("lstm", tmp_path / "out", 3, 5)
    assert not (tmp_path / "out").exists()


def test_a_linker_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(RnndslError, match="could not be linked"):
        compile_cell("elman", tmp_path, 3, 5)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RnndslError, match="cannot write to"):
        compile_cell("elman", tmp_path / "file" / "out", 3, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda cell: cell.run(np.zeros((4, 2, 9))),
            r"x has shape \(4, 2, 9\), expected \[T, B, 3\]",
        ),
        (lambda cell: cell.run(np.zeros((4, 3))), r"x has shape \(4, 3\)"),
        (lambda cell: cell.run(np.zeros((0, 2, 3))), r"x is empty: T, B = \(0, 2\)"),
        (lambda cell: cell.run(np.zeros((1, 2, 3)), 3), "tuple of the states"),
        (lambda cell: cell.run(np.zeros((1, 2, 3)), z=1), "unknown inputs"),
        (lambda cell: cell.run(np.zeros((1, 2, 3)), np.zeros((1, 2, 5))), "tuple of the states"),
        (lambda cell: cell.run(np.zeros((1, 2, 3)), np.zeros((2, 1, 3, 5))), "tuple|state h"),
        (lambda cell: cell.run(np.full((1, 2, 3), "a")), "type"),
    ],
)
def test_the_loader_names_arrays_that_do_not_fit(call: Any, message: str, lstm: Artifact) -> None:
    with pytest.raises(ValueError, match=message):
        call(lstm.load())


def test_copies_and_pickles_of_a_loaded_cell_compute_the_same(lstm: Artifact) -> None:
    cell = lstm.load()
    x = np.ones((3, 2, 3))
    for again in (copy.copy(cell), copy.deepcopy(cell)):
        np.testing.assert_array_equal(again.run(x)[0], cell.run(x)[0])


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    artifact = compile_cell(BARE, tmp_path, 3, 5)
    artifact.manifest.write_text(artifact.manifest.read_text()[:100])
    with pytest.raises(ValueError, match="bare.json is not a whole manifest"):
        artifact.load()


@pytest.mark.parametrize("name", ["class", "json", "numpy", "3 gates"])
def test_the_loader_has_a_name_that_python_can_import(name: str, tmp_path: Path) -> None:
    artifact = compile_cell(BARE, tmp_path, 3, 5, name=name)
    code = f"from {artifact.name} import Cell; Cell()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_what_is_neither_cell_nor_layer_is_named(tmp_path: Path) -> None:
    with pytest.raises(RnndslError, match="a dict is neither a cell nor made by"):
        compile_cell({}, tmp_path)


def test_packing_puts_every_element_in_its_place() -> None:
    array = np.arange(2 * 5 * 3, dtype=np.float64).reshape(2, 5, 3)
    packed = Packing(order=(0, 1, 2), position=1, tile=4).pack(array)
    assert packed.shape == Packing((0, 1, 2), 1, 4).shape(array.shape) == (2, 2, 3, 4)
    for g, i, j in np.ndindex(array.shape):
        assert packed[g, i // 4, j, i % 4] == array[g, i, j]
    assert packed.sum() == array.sum()  # zeros behind the last

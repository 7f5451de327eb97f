"""Cells in cells, imports, and cells as users hold them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import rnndsl
from rnndsl.cell import Cell, check, list_cells, load, parse
from rnndsl.checking.check import typed_cell
from rnndsl.compiler.ir import LeafRole
from rnndsl.compiler.lower import lower
from rnndsl.compiler.sizes import bind_sizes
from rnndsl.diagnostics import RnndslError

SPACES = Path(rnndsl.__file__).with_name("search") / "spaces"
GATE = "cell Gate(D, H):\n    input x: [D]\n    return sigmoid(linear[H](x, name = a))\n"
USE = "cell Use(D, H):\n    input x: [D]\n    k = Gate(D, H)(x)\n    return k\n"


def codes(text: str) -> list[str]:
    return [diagnostic.code for diagnostic in check(text)]


# -------------------------------------------------------------------------------- cells


@pytest.mark.parametrize("name", list_cells())
def test_a_cells_text_parses_back_to_an_equal_cell(name: str) -> None:
    cell = load(name)
    again = parse(str(cell))
    assert again == cell
    assert hash(again) == hash(cell)
    assert lower(again).params == lower(cell).params


def test_cells_differ_when_a_sub_cell_differs() -> None:
    other = GATE.replace("sigmoid", "tanh")
    assert parse(GATE + USE) != parse(other + USE)


def test_the_last_cell_of_a_text_is_meant_unless_one_is_named() -> None:
    assert parse(GATE + USE).name == "Use"
    assert parse(GATE + USE, "gate").name == "Gate"
    with pytest.raises(RnndslError, match="did you mean `Gate`"):
        parse(GATE + USE, "Gait")


def test_an_empty_text_has_no_cell() -> None:
    assert codes("") == codes("# nothing here\n") == ["E0229"]
    with pytest.raises(RnndslError, match="E0229"):
        parse("# nothing here\n")


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "use.rnn"
    path.write_text(GATE + USE)
    assert load(path) == load(str(path)) == parse(GATE + USE)


def test_a_file_and_one_of_its_cells_stand_in_one_text(tmp_path: Path) -> None:
    path = tmp_path / "use.rnn"
    path.write_text(GATE + USE)
    assert load(f"{path}:Gate") == load(path, "Gate") == parse(GATE)
    with pytest.raises(RnndslError, match="did you mean `Gate`"):
        load(f"{path}:Gait")


def test_another_name_than_that_of_a_library_cell_is_an_error() -> None:
    assert load("lstm", "LSTM") == load("lstm")
    with pytest.raises(RnndslError, match="E0212"):
        load("lstm", "Other")


def test_a_cell_called_like_a_function_is_told_how_to_be_used() -> None:
    text = "cell A(D, H):\n    input x: [D]\n    y = LSTM(D, H)\n    return y\n"
    (mistake,) = check(text)
    assert mistake.helps() == ("did you mean `LSTM(...)(...)`?",)


@pytest.mark.parametrize("path", ["missing.rnn", "no/such/file.rnn", "a\0b.rnn"])
def test_a_missing_file_is_a_mistake_of_the_user(path: str) -> None:
    with pytest.raises(RnndslError):
        load(path)


def test_numbers_replace_defaults_and_may_fix_dimensions() -> None:
    cell = load("rhn")
    assert len(lower(cell, {"depth": 2}).params) < len(lower(cell).params)
    assert typed_cell(cell, {"H": 7}).dims == ("D",)


@pytest.mark.parametrize(
    "numbers", [{"dept": 2}, {"depth": True}, {"depth": "2"}, {"H": 0}, {"H": 1.5}, {"H": -1}]
)
def test_unfit_numbers_are_mistakes(numbers: dict[str, int]) -> None:
    with pytest.raises(RnndslError):
        lower(load("rhn"), numbers)


def test_check_gives_all_mistakes_of_a_text() -> None:
    text = "cell A(D):\n    input x: [D]\n    return y\n\ncell B(D):\n    input x: [D]\n    return tahn(x)\n"
    assert codes(text) == ["E0201", "E0202"]
    assert codes(GATE + USE) == []


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.rnn")), ids=lambda path: path.stem)
def test_the_spaces_of_the_library_have_no_mistakes(path: Path) -> None:
    assert not check(path.read_text(encoding="utf-8"))


def test_a_space_is_checked_with_each_option_of_its_numbers() -> None:
    text = (
        "space S(D, H, states = ?(1 | 2)):\n    input x: [D]\n    state h: [H]\n"
        "    if states == 1:\n        h' = linear[H](x, h)\n"
        "    else:\n        h' = linear[H](x, h, z)\n    return h'\n"
    )
    assert codes(text) == ["E0201"]
    assert codes(text.replace(", z)", ")")) == []


def test_a_cell_may_have_any_number_of_values_that_nothing_uses() -> None:
    unused = "".join(f"    v{k} = tanh(x)\n" for k in range(150))
    text = f"cell A(D, H):\n    input x: [D]\n{unused}    return x\n"
    typed_cell(parse(text))


def test_a_mistake_beside_the_options_of_a_grown_expression_is_found() -> None:
    text = 'space S(D, H):\n    input x: [D]\n    y = ?expr(x, z, ops = "tanh +")\n    return y\n'
    assert codes(text) == ["E0201"]


def test_identity_among_functions_takes_one_value() -> None:
    text = "space S(D):\n    input x: [D]\n    return ?(max | identity)(x, x)\n"
    assert codes(text) == ["E0211"]


def test_a_space_is_checked_but_cannot_be_lowered() -> None:
    text = "space S(D):\n    input x: [D]\n    return ?(tanh | relu)(x)\n"
    assert codes(text) == []
    with pytest.raises(RnndslError, match="E0226"):
        lower(parse(text))


# ---------------------------------------------------------------------------- sub-cells


def test_states_and_inner_values_of_a_sub_cell_can_be_read() -> None:
    cell = parse(
        "cell Use(D, H):\n    input x: [D]\n    state s: [H]\n    k = LSTM(D, H)(x)\n"
        "    m = RHN(D, H, depth = 3)(x)\n    s' = k + k.c * k.c' - k.i\n"
        "    return s' + m.y[0] * m.y[2]\n"
    )
    graph = lower(cell).graph
    states = [leaf.name for leaf in graph.leaves_of(LeafRole.STATE)]
    assert states == ["s", "k.h", "k.c", "m.s"]
    names = {node.name for node in graph.nodes}
    assert {"k.i", "k.c'", "m.y.0", "m.y.2", "s'"} <= names


def test_sub_cells_in_a_loop_have_states_of_their_own() -> None:
    cell = parse(
        "cell Stack(D, H, layers = 3):\n    input x: [D]\n    y = linear[H](x)\n"
        "    for l in 0..layers:\n        k = GRU(H, H)(y)\n        y = y + k\n"
        "    return y + k[0]\n"
    )
    graph = lower(cell).graph
    assert [s.name for s in graph.leaves_of(LeafRole.STATE)] == ["k.0.h", "k.1.h", "k.2.h"]


def test_a_dimension_that_an_input_shows_may_be_left_out() -> None:
    short = "cell U(D, H):\n    input x: [D]\n    k = LSTM(H = H)(concat(x, x))\n    return k\n"
    full = short.replace("(H = H)", "(2 * D, H)")
    assert lower(parse(short)).params == lower(parse(full)).params


def test_states_in_a_loop_belong_to_the_iteration() -> None:
    cell = parse(
        "cell Shift(D, k = 3):\n    input x: [D]\n    y = x\n    for l in 0..k:\n"
        "        state past: [D]\n        past' = y\n        y = past\n    return y + past[0]\n"
    )
    graph = lower(cell).graph
    assert [s.name for s in graph.leaves_of(LeafRole.STATE)] == ["past.0", "past.1", "past.2"]


# ------------------------------------------------------------------------------ imports


def test_imports_are_found_beside_the_file_and_below_it(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "gate.rnn").write_text(GATE)
    (tmp_path / "use.rnn").write_text('from "parts/gate.rnn" import Gate\n' + USE)
    assert load(tmp_path / "use.rnn") == parse(GATE + USE)


@pytest.mark.parametrize(
    "wanted",
    ["../gate.rnn", "/etc/passwd.rnn", "a/../../gate.rnn", "C:/gate.rnn", "..\\\\gate.rnn", "",
     "gate.txt", "file:gate.rnn", "//host/gate.rnn", "folder.rnn"],
)  # fmt: skip
def test_imports_lead_nowhere_else(tmp_path: Path, wanted: str) -> None:
    (tmp_path / "gate.rnn").write_text(GATE)
    inner = tmp_path / "inner"
    (inner / "folder.rnn").mkdir(parents=True)
    (inner / "gate.txt").write_text(GATE)
    (inner / "use.rnn").write_text(f'from "{wanted}" import Gate\n' + USE)
    with pytest.raises(RnndslError, match="E0225"):
        load(inner / "use.rnn")


def test_a_link_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "gate.rnn").write_text(GATE)
    inner = tmp_path / "inner"
    inner.mkdir()
    os.symlink(tmp_path / "gate.rnn", inner / "gate.rnn")
    (inner / "use.rnn").write_text('from "gate.rnn" import Gate\n' + USE)
    with pytest.raises(RnndslError, match="leads out"):
        load(inner / "use.rnn")


def test_files_cannot_import_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.rnn").write_text('from "b.rnn" import B\n' + GATE)
    (tmp_path / "b.rnn").write_text('from "a.rnn" import Gate\n' + GATE.replace("Gate", "B"))
    with pytest.raises(RnndslError, match="import each other"):
        load(tmp_path / "a.rnn")


def test_a_mistake_in_an_imported_file_is_shown_there(tmp_path: Path) -> None:
    (tmp_path / "gate.rnn").write_text(GATE.replace("(", "((", 1))
    (tmp_path / "use.rnn").write_text('from "gate.rnn" import Gate\n' + USE)
    with pytest.raises(RnndslError, match=r"gate\.rnn:1:"):
        load(tmp_path / "use.rnn")


def test_an_imported_file_lacks_the_cell(tmp_path: Path) -> None:
    (tmp_path / "gate.rnn").write_text(GATE)
    (tmp_path / "use.rnn").write_text('from "gate.rnn" import Gait\n' + USE)
    with pytest.raises(RnndslError, match="did you mean `Gate`"):
        load(tmp_path / "use.rnn")


# -------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"D": 3}, "dimension H of mLSTM has no size"),
        ({"D": 3, "H": 7}, "`C` has an axis of length H/2, and 7/2 is not a whole number"),
        ({"D": 0, "H": 8}, "D = 0 is not a positive whole number"),
        ({"D": True, "H": 8}, "D = True is not a positive whole number"),
        ({"D": 3, "h": 8}, "it has no dimension h"),
    ],
)
def test_sizes_that_do_not_fit_are_named(sizes: dict[str, int], message: str) -> None:
    cell = load("mlstm")
    with pytest.raises(RnndslError, match="E0227") as caught:
        bind_sizes(lower(cell, {"heads": 2}).graph, sizes, cell.sources())
    assert message in str(caught.value)


ODD = {
    "half of an odd number": "reshape[2, H / 2](linear[H](x))[0]",
    "a part beyond the end": "slice(linear[H](x), 0, 8)",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("build", ["layer", "compile_cell"])
def test_a_size_that_does_not_fit_is_shown_in_the_file(
    value: str, build: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch" if build == "layer" else "tvm", reason="builds with a backend")
    cell = parse(f"cell A(D, H):\n    input x: [D]\n    a = {value}\n    return a\n")
    with pytest.raises(RnndslError, match="E0227") as caught:
        if build == "layer":
            rnndsl.layer(cell, 4, 5)
        else:
            rnndsl.compile_cell(cell, tmp_path / "out", 4, 5)
    assert value in str(caught.value)
    assert "H = 5" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_sizes_that_fit_are_bound() -> None:
    graph = lower(load("lstm")).graph
    assert bind_sizes(graph, {"D": 2, "H": 3}) == graph.bind({"D": 2, "H": 3})


def test_typed_text_shows_every_named_value_with_its_shape() -> None:
    text = str(typed_cell(load("lstm")))
    assert "    state c: [H]\n" in text
    assert "    param i.x.weight: [H, D] = default_uniform\n" in text
    assert "    c': [H] = " in text
    assert text.endswith("    return h'\n")


def test_the_public_names_are_there() -> None:
    assert rnndsl.load is load
    assert isinstance(rnndsl.parse(GATE), Cell)

"""`rnndsl show` and `rnndsl list`: every stage of every cell as text, drawings, tables."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rnndsl.cell import list_cells, load, parse
from rnndsl.cli import main
from rnndsl.commands.listing import LISTINGS, table
from rnndsl.commands.settings import parse_number
from rnndsl.compiler.pipeline import PASSES, PIPELINES
from rnndsl.compiler.text import parse_graph, print_graph
from rnndsl.diagnostics import RnndslError
from rnndsl.showing.show import STAGES, drawing, show, stage_names

GRAPHS = ("graph", "prepare", "step", "forward", "backward", *PASSES)


@pytest.mark.parametrize("cell", list_cells())
@pytest.mark.parametrize("at", [stage for stage in STAGES if stage not in ("torch", "tvm")])
def test_every_stage_of_every_cell_prints(cell: str, at: str) -> None:
    text = show(load(cell), at)
    assert text.endswith("\n")
    assert len(text) > 20


@pytest.mark.parametrize("at", GRAPHS)
def test_printed_graphs_read_back(at: str) -> None:
    text = show(load("lstm"), at)
    graph = parse_graph(text)
    assert print_graph(graph) in text


@pytest.mark.parametrize("cell", ["lstm", "linear_attention"])
def test_the_torch_stage_is_a_program(cell: str) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    text = show(load(cell), "torch")
    compile(text, "shown", "exec")
    assert text.count("import torch\n") == 1
    assert text.startswith("# for D = 64, H = 64")


@pytest.mark.skipif(find_spec("tvm") is None, reason="TVM is not installed")
def test_the_tvm_stage_is_a_script() -> None:
    assert "def " in show(load("lstm"), "tvm")


def test_an_unknown_stage_suggests_one() -> None:
    with pytest.raises(RnndslError, match="did you mean `torch`"):
        show(load("lstm"), "torhc")
    with pytest.raises(RnndslError, match="did you mean `pack-gates`"):
        show(load("lstm"), "pack_gates")


def test_numbers_and_sizes_reach_the_graph() -> None:
    assert show(load("rhn"), "step", {"depth": 2}) != show(load("rhn"), "step", {"depth": 3})
    assert "batch[7]" in show(load("lstm"), "step", sizes={"D": 3, "H": 7})
    with pytest.raises(RnndslError, match="E0201"):
        show(load("rhn"), "step", {"dept": 2})


def test_the_source_keeps_the_comments_of_a_file_of_its_own() -> None:
    assert show(load("lstm"), "source").startswith("# Long short-term memory")
    assert "cell RHN" in show(load("recurrent_highway_hypernetwork"), "source")


def test_a_space_shows_its_syntax_alone() -> None:
    text = "space S(D, H):\n    input x: [D]\n    state h: [H]\n"
    space = parse(text + "    h' = ?(tanh | relu)(linear[H](x, h))\n    return h'\n")
    assert "Hole" in show(space, "syntax")
    with pytest.raises(RnndslError, match="is a space"):
        show(space, "graph")
    with pytest.raises(RnndslError, match="is a space"):
        drawing(space)


# ---------------------------------------------------------------------- the command line


def run(*words: str) -> int:
    return main(words)


def test_the_command_prints_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "lstm", "--at", "typed") == 0
    assert capsys.readouterr().out == show(load("lstm"), "typed")


def test_the_command_draws_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "cell.svg"
    assert run("show", "rhn", "--set", "depth=2", "--theme", "dark", "--svg", str(target)) == 0
    assert ElementTree.parse(target).getroot().tag.endswith("svg")
    assert [path.name for path in tmp_path.iterdir()] == ["cell.svg"]
    assert capsys.readouterr().out == ""


def test_a_drawing_that_cannot_be_written_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(RnndslError, match="E0123"):
        from rnndsl.commands import show as command

        command.run(_arguments("lstm", "--svg", str(tmp_path / "no" / "cell.svg")))


def _arguments(*words: str):  # type: ignore[no-untyped-def]
    from argparse import ArgumentParser

    from rnndsl.commands import show as command

    parser = ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_settings_are_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_number("depth=3") == ("depth", 3)
    assert parse_number("alpha=0.5") == ("alpha", 0.5)
    for wrong in ("depth", "=3", "depth=three"):
        with pytest.raises(SystemExit):
            _arguments("rhn", "--set", wrong)
        assert "--set" in capsys.readouterr().err


def test_showing_a_graph_loads_no_framework() -> None:
    program = (
        "import sys; from rnndsl.cell import load; from rnndsl.showing.show import drawing, show\n"
        "show(load('lstm'), 'plan'); drawing(load('lstm'))\n"
        "print(*sorted({'torch', 'tvm', 'optuna'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout == "\n"


@pytest.mark.parametrize("what", LISTINGS)
def test_lists_are_aligned_tables(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", what) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[0] == LISTINGS[what].columns[0]
    assert rows
    # Every column begins where its name does.
    for column in LISTINGS[what].columns[1:]:
        place = head.index(f" {column}") + 1
        assert all(row[place - 2 : place] in ("  ", "") for row in rows)


def test_the_list_of_cells_is_that_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    run("list", "cells")
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == list(list_cells())
    assert "LSTM(D, H)" in next(row for row in rows if row.startswith("lstm "))
    assert all(row.endswith(".") for row in rows)  # whole sentences


def test_tables_leave_no_blanks_at_line_ends() -> None:
    assert table(("a", "b"), [("long", "x"), ("s", "")]) == "a     b\nlong  x\ns"


def test_every_stage_is_described() -> None:
    assert set(stage_names()) == {*STAGES, *PASSES}
    assert all(STAGES.values())


# ------------------------------------------------------------------------- choosing passes


def test_passes_can_be_named_stopped_and_dumped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", "gru", "--stop-after", "pack-gates", "--dump", str(tmp_path / "new")) == 0
    shown = capsys.readouterr().out
    files = sorted((tmp_path / "new").iterdir())
    assert [file.name for file in files][-1].endswith("-pack-gates.ir")
    assert parse_graph(files[-1].read_text(encoding="utf-8")) == parse_graph(shown)
    assert run("show", "gru", "--passes", "none") == 0
    assert parse_graph(capsys.readouterr().out) == parse_graph(show(load("gru"), "graph"))
    assert run("show", "gru", "--passes", "cse,dce", "--at", "step") == 0
    assert "concat" not in capsys.readouterr().out


def test_a_dump_holds_the_passes_of_the_backward_graph_too(tmp_path: Path) -> None:
    run("show", "elman", "--dump", str(tmp_path), "--at", "source")
    names = [path.name[3:-3] for path in sorted(tmp_path.iterdir())]
    pipelines = (PIPELINES["default"], PIPELINES["backward"])
    assert names == [entry.name for pipeline in pipelines for entry in pipeline.passes]


@pytest.mark.parametrize("words", [("--stop-after", "pack_gates"), ("--passes", "cse,cee")])
def test_an_unknown_pass_is_a_plain_error(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", "gru", *words) == 1
    assert "did you mean" in capsys.readouterr().err

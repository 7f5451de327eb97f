"""The spaces that ship, knobs of spaces, and what `--count` and `--enumerate` say of them."""

from __future__ import annotations

import argparse
import random
from math import factorial
from pathlib import Path

import pytest

import rnndsl
from rnndsl.compiler.canonical import same_cell
from rnndsl.compiler.lower import lower
from rnndsl.diagnostics import RnndslError
from rnndsl.dims import dim
from rnndsl.search.candidate import read_candidate
from rnndsl.search.counting import Counter, enumerate_derivations
from rnndsl.search.fill import fill, fill_derivation
from rnndsl.search.fitting import fit_of
from rnndsl.search.looking import show_all, show_count
from rnndsl.search.options import add_arguments, command_line, read_knobs
from rnndsl.search.reading import candidate_text, list_spaces, load_space, read_space
from rnndsl.search.screen import find_flaw, probe_sizes
from rnndsl.search.space import Space

HEAD = "    input x: [D]\n    state h: [H]\n"
KNOBS = (
    'space S(D, H, states = ?states(1 | 2), depth = 1, ops = "tanh linear"):\n'
    + HEAD
    + "    if states == 1:\n"
    "        h' = ?expr(x, h, depth = depth, ops = ops)\n"
    "    else:\n"
    "        state c: [H]\n"
    "        c' = ?expr(x, h, c, depth = depth, ops = ops)\n"
    "        h' = ?expr(x, h, c', depth = depth, ops = ops)\n"
    "    return h'\n"
)


def filled(space: Space, chosen: dict[str, str]) -> rnndsl.Cell:
    """The cell in which these choices are made, and otherwise the first option."""

    def decide(name: str, options: tuple[str, ...]) -> int:
        return options.index(chosen[name]) if name in chosen else 0

    return rnndsl.parse(candidate_text(space, fill(space, decide)))


def test_counts_are_those_of_the_literature() -> None:
    counts = {name: Counter(load_space(name)).total for name in list_spaces()}
    # Zoph & Le 2016: fifteen nodes of 2 joins and 4 bends, one more of them for the memory,
    # which enters at any node and leaves at any; "approximately 6 x 10^16".
    assert counts["tree"] == 8**15 * 8 * 15**2 == 63_331_869_759_897_600
    # Pham et al. 2018: 4^N (N - 1)! for N = 12 nodes, "approximately 10^15".
    assert counts["enas"] == 4**12 * factorial(11) == 669_692_775_628_800
    # Liu et al. 2019: eight nodes behind a fixed one, four operations.
    assert counts["dag"] == 4**8 * factorial(8) == 2_642_411_520
    assert counts["hyper"] == 3 * (3 * 4 * 2) ** 4


@pytest.mark.parametrize("name", list_spaces())
def test_cells_of_shipped_spaces_pass_the_checks(name: str) -> None:
    space = load_space(name)
    fit = fit_of(space, 12, seed=1)
    assert fit.passed >= 10
    assert all("reads no input" in reason for reason, _ in fit.reasons)
    counter, generator = Counter(space), random.Random(2)
    text = candidate_text(space, fill_derivation(space, counter.draw(generator)))
    assert read_candidate(text).text == str(rnndsl.parse(text))


def test_nascell_is_a_cell_of_the_tree() -> None:
    bends = ["sigmoid", "relu", "sigmoid", "relu", "tanh", "sigmoid", "tanh", "sigmoid"]
    bends += ["tanh", "tanh", "tanh", "sigmoid", "identity", "tanh", "tanh"]
    joins = "+++*++++*+*+*+*"
    chosen = {f"bend{k}": bend for k, bend in enumerate(bends)}
    pairs = [(f"x{k}", f"h{k}") for k in range(8)]
    pairs += [(f"a{k}", f"a{k + 1}") for k in (0, 2, 4, 6, 8, 10, 12)]
    chosen |= {
        f"join{k}": f"{a} {op} {b}" for k, (op, (a, b)) in enumerate(zip(joins, pairs, strict=True))
    }
    chosen |= {"inject": "8", "bend_memory": "tanh", "a8": "b8 + c", "memory": "j12"}
    found = lower(filled(load_space("tree"), chosen))
    assert same_cell(found.graph, lower(rnndsl.load("nascell")).graph)


def test_the_cell_of_darts_is_a_cell_of_the_graph() -> None:
    genotype = [("sigmoid", 0), ("relu", 1), ("relu", 1), ("identity", 1)]
    genotype += [("tanh", 2), ("sigmoid", 5), ("tanh", 3), ("relu", 5)]
    chosen = {f"bend{k}": bend for k, (bend, _) in enumerate(genotype, start=1)}
    chosen |= {f"from{k}": f"s{place}" for k, (_, place) in enumerate(genotype, start=1)}
    found = lower(filled(load_space("dag"), chosen))
    assert same_cell(found.graph, lower(rnndsl.load("darts")).graph)


def test_a_choice_of_states_leads_to_the_choices_of_its_branch_alone() -> None:
    space = read_space(KNOBS)
    one, two = (read_space(KNOBS.replace("?states(1 | 2)", n)) for n in "12")
    totals = [Counter(each).total for each in (space, one, two)]
    assert totals[0] == totals[1] + totals[2]
    assert space.roots == ("states",)
    listed = [
        candidate_text(space, fill_derivation(space, d)) for d in enumerate_derivations(space)
    ]
    assert len(listed) == len(set(listed)) == totals[0]
    assert {text.count("state ") for text in listed} == {1, 2}
    for text in listed[:: len(listed) // 20]:
        assert text.startswith("cell S(D, H):")
        assert "if" not in text


def test_knobs_of_a_file_get_other_values(tmp_path: Path) -> None:
    (tmp_path / "s.rnn").write_text(KNOBS)
    plain = load_space(tmp_path / "s.rnn")
    deep = load_space(tmp_path / "s.rnn", {"depth": "2", "ops": "sin linear", "states": "1"})
    assert "depth = 2" in deep.text and '"sin linear"' in deep.text
    assert deep.roots == ("h",)
    assert "sin" in deep.table["h"].labels and "tanh" in plain.table["h"].labels
    assert load_space("free", {"states": "1"}).roots == ("h",)


WRONG_KNOBS = {
    "no such knob": ({"state": "1"}, "did you mean `states`"),
    "not a number": ({"depth": "deep"}, "must be a number"),
    "none of the options": ({"states": "7"}, "choice of 1, 2, 3"),
}


@pytest.mark.parametrize(("knobs", "said"), WRONG_KNOBS.values(), ids=WRONG_KNOBS.keys())
def test_wrong_knobs_are_refused(knobs: dict[str, str], said: str) -> None:
    with pytest.raises(RnndslError, match="E0642") as caught:
        load_space("free", knobs)
    assert said in str(caught.value)


def test_an_if_that_reads_two_choices_is_refused() -> None:
    text = KNOBS.replace("depth = 1", "depth = ?(1 | 2)").replace("depth = depth", "depth = 1")
    with pytest.raises(RnndslError, match="E0642"):
        read_space(text.replace("states == 1", "states == depth"))


def test_knobs_are_part_of_the_command_that_repeats_a_search() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(["free", "--knob", "depth=2", "--knob", "ops=tanh linear"])
    assert read_knobs(args.knob) == {"depth": "2", "ops": "tanh linear"}
    assert "free --knob depth=2 --knob 'ops=tanh linear'" in command_line(args)
    with pytest.raises(RnndslError, match="E0642"):
        read_knobs(["depth"])


def test_mm_reads_what_is_grown_below_it() -> None:
    space = read_space(
        f"space S(D, H):\n{HEAD}    h' = ?expr(x, h, depth = 2, ops = \"mm tanh\")\n    return h'\n"
    )
    texts = [candidate_text(space, fill_derivation(space, d)) for d in enumerate_derivations(space)]
    # Ends are h and mm(x); either operator doubles what is below it.
    assert len(texts) == 2 + 2 * (2 + 2 * 2)
    assert any("tanh(linear[H](tanh(h)))" in t or "linear[H](tanh(h))" in t for t in texts)
    assert any("linear[H](linear[H](x" in text for text in texts)


def test_an_option_that_never_fits_is_refused_with_the_reason(tmp_path: Path) -> None:
    body = f"{HEAD}    v = linear[H](x)\n    h' = ?u(tanh(v) | x) * v + h\n    return h'\n"
    (tmp_path / "s.rnn").write_text(f"space S(D, H):\n{body}")
    with pytest.raises(RnndslError, match="E0643") as caught:
        load_space(tmp_path / "s.rnn")
    assert "`x` in the hole `u`" in str(caught.value)
    (tmp_path / "t.rnn").write_text(f"space S(D, H):\n{body.replace('| x', '| v')}")
    assert load_space(tmp_path / "t.rnn").roots == ("u",)


def test_an_option_that_fits_beside_some_others_is_kept(tmp_path: Path) -> None:
    body = f"{HEAD}    a = ?a(x | h)\n    b = ?b(x | h)\n    h' = tanh(linear[H](a + b, x))\n"
    (tmp_path / "s.rnn").write_text(f"space S(D, H):\n{body}    return h'\n")
    space = load_space(tmp_path / "s.rnn")
    fit = fit_of(space, 60)
    assert 15 < fit.passed < 45
    assert len(fit.reasons) >= 1


def test_count_and_enumerate_tell_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = (
        f"{HEAD}    h' = ?u(tanh(linear[H](x, h)) | tanh(linear[H](h, x)) | h * linear[H](x) | h)\n"
    )
    space = read_space(f"space S(D, H):\n{body}    return h'\n")
    show_count(space, 20, 0)
    assert "S: 4 ways to make 1 choices" in capsys.readouterr().out
    show_all(space)
    out = capsys.readouterr().out
    assert "S: 4 cells, 2 of them different, 1 worth training" in out
    assert "1 do not pass the checks" in out
    assert "; 1 more are equal to it" in out
    assert "not worth training: the output is the same for every input" in out
    with pytest.raises(RnndslError, match="E0644"):
        show_all(load_space("tree"))


def test_screening_gives_dimensions_of_different_names_different_sizes() -> None:
    sizes = probe_sizes(lower(rnndsl.load("lstm")).graph)
    assert len(set(sizes.values())) == len(sizes) == 2
    text = "cell C(D, H, N):\n    input x: [D]\n    input z: [N]\n" + "    state h: [H]\n"
    graph = lower(rnndsl.parse(text + "    h' = tanh(linear[H](x, z, h))\n    return h'\n")).graph
    assert len(set(probe_sizes(graph).values())) == 3
    thirds = text.replace("N):", "N):").replace("[N]", "[H / N]")
    graph = lower(rnndsl.parse(thirds + "    h' = tanh(linear[H](x, z, h))\n    return h'\n")).graph
    assert (dim("H") / dim("N")).bind(probe_sizes(graph))


def test_screening_finds_states_that_stay_zero() -> None:
    head = "cell C(D, H):\n    input x: [D]\n    state h: [H]\n    state c: [H]\n"
    zero = head + "    c' = c * h\n    h' = h * tanh(linear[H](x, c))\n    return h'\n"
    assert "same for every input" in find_flaw(lower(rnndsl.parse(zero)))
    assert find_flaw(lower(rnndsl.load("gru"))) == ""

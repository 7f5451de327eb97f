"""Typed mutation and crossover: of derivations of a space, and of plain cells."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("optuna", reason="searching needs Optuna")

import rnndsl
from rnndsl.search.candidate import Candidate, read_candidate
from rnndsl.search.counting import Counter
from rnndsl.search.reading import candidate_text, read_space
from rnndsl.search.searchers import edits
from rnndsl.search.searchers.derivations import propose, read_choices
from rnndsl.search.searchers.evolution import EvolutionSearcher
from rnndsl.search.searchers.plain import load_start, space_of_cell
from rnndsl.search.searchers.protocol import Origin
from rnndsl.search.searchers.rehearse import rehearse
from rnndsl.search.searchers.table import find_searcher
from rnndsl.search.searchers.variation import EDITS, Variation, hoist, insert
from rnndsl.search.space import Space
from tests.search.rehearsals import score_of, stored, told

DEEP = """\
space Deep(D, H):
    input x: [D]
    state h: [H]

    g = ?gate:expr(x, h, depth = 3)
    f = ?act(tanh | relu | ?inner(sin | cos))(g)
    h' = ?(f | f * h | ?keep(sigmoid(h) | sigmoid(g)) * f)
    return h'
"""


def derivations(space: Space, count: int) -> list[dict[str, int]]:
    counter, draw = Counter(space), random.Random(0)
    return [counter.draw_by_size(draw) for _ in range(count)]


@pytest.mark.parametrize("edit", EDITS[1:], ids=lambda edit: edit.__name__)
def test_mutants_are_derivations_of_the_space(edit: object) -> None:
    space = read_space(DEEP)
    variation, draw, made = Variation(space), random.Random(1), 0
    for parent in derivations(space, 60):
        found = edit(variation, parent, draw)  # type: ignore[operator]
        if found is not None:
            labels = propose(space, found[0], Origin("")).choices
            assert read_choices(space, labels) == found[0]  # no choice too few or too many
            made += found[0] != parent
    assert made > 20


def test_a_hoisted_part_and_an_inserted_operator_leave_the_rest_as_it_was() -> None:
    space = read_space(DEEP)
    variation = Variation(space)
    table = space.table

    def of(**labels: str) -> dict[str, int]:
        pairs = [(name.replace("_", "."), label) for name, label in labels.items()]
        found = read_choices(space, [*pairs, ("act", "tanh"), ("h", "f")])
        assert found is not None
        return found

    deep = of(gate="+", gate_1="tanh", gate_1_1="h", gate_2="linear(x)")
    flat = of(gate="tanh", gate_1="h")
    seen = [hoist(variation, deep, random.Random(k)) for k in range(30)]
    assert flat in [made[0] for made in seen if made is not None]
    inserted = [insert(variation, flat, random.Random(k)) for k in range(200)]
    for made in inserted:
        assert made is not None
        names = [table[n].labels[i] for n, i in made[0].items() if n.startswith("gate")]
        assert "h" in names
    assert of(gate="tanh", gate_1="tanh", gate_1_1="h") in [m[0] for m in inserted if m]


def test_crossover_joins_parts_of_both_parents() -> None:
    space = read_space(DEEP)
    variation, draw = Variation(space), random.Random(2)
    parents = derivations(space, 40)
    mixed = 0
    for left, right in zip(parents[::2], parents[1::2], strict=True):
        child, _ = variation.cross(left, right, draw)
        assert read_choices(space, propose(space, child, Origin("")).choices) == child
        mixed += child not in (left, right)
    assert mixed > 10


# ------------------------------------------------------------------------------- plain cells


@pytest.mark.parametrize("name", ["elman", "lstm", "rhn", "bc3", "mlstm", "hyperlstm"])
def test_edits_of_any_cell_pass_the_checks_and_change_the_graph(name: str) -> None:
    space = space_of_cell(rnndsl.load(name))
    first = read_candidate(space.text)
    text, draw = space.text, random.Random(0)
    for _ in range(3):
        cell, how = edits.mutate(space, text, draw)
        assert how != "copy"
        child = candidate_text(space, cell)
        found = read_candidate(child)  # no diagnostics
        assert found.hash != read_candidate(text).hash
        assert [p.shape for p in found.lowered.params] or first.lowered.params
        text = child


def test_every_kind_of_edit_is_made() -> None:
    space = space_of_cell(rnndsl.load("lstm"))
    draw = random.Random(0)
    made = {edits.mutate(space, space.text, draw)[1].rpartition(" in ")[0] for _ in range(80)}
    kinds = ("insert a gate", "blend", "hoist", "linear reads", "regrow", " to ", "insert ")
    assert all(any(kind in how for how in made) for kind in kinds)


def test_cells_exchange_expressions_spelled_out_in_names_that_both_know() -> None:
    lstm, gru = rnndsl.load("lstm"), rnndsl.load("gru")
    space = space_of_cell(lstm)
    draw = random.Random(0)
    children = set()
    for _ in range(6):
        cell, how = edits.cross(space, space.text, str(gru), draw)
        assert how.startswith("crossover")
        children.add(read_candidate(candidate_text(space, cell)).hash)
    assert len(children) > 2 and read_candidate(space.text).hash not in children


def test_evolution_goes_on_from_a_plain_cell_and_resumes() -> None:
    space = load_start("lstm")

    def run(history: list[object], trials: int) -> list[object]:
        searcher = EvolutionSearcher(space, 0, population=4, sample=2)
        return rehearse(searcher, space, score_of, trials, history)  # type: ignore[arg-type, return-value]

    whole = run([], 12)
    assert whole[0].text == space.text  # type: ignore[attr-defined]
    assert len({t.text for t in whole}) == 12  # type: ignore[attr-defined]
    again = run(stored(whole[:7]), 12)  # type: ignore[arg-type]
    assert told(again) == told(whole)  # type: ignore[arg-type]


def test_the_text_that_another_worker_tries_is_not_proposed() -> None:
    space = load_start("gru")
    searcher = EvolutionSearcher(space, 0)
    proposal = searcher.ask(0, [(("", space.text),)])
    assert proposal is not None and candidate_text(space, proposal.cell) != space.text


def test_evolution_of_a_plain_cell_finds_better_ones() -> None:
    space = load_start("lstm")

    def score(candidate: Candidate) -> tuple[float, ...]:
        return (abs(candidate.text.count("linear") - 2) - float(candidate.text.count("sin(")),)

    searcher = EvolutionSearcher(space, 1, population=8, sample=4, crossover=0.2)
    trials = rehearse(searcher, space, score, 40)
    scores = [trial.scores[0] for trial in trials if trial.scores]
    assert scores[0] == 2.0 and min(scores) < 0 and sum(scores[-10:]) < sum(scores[:10]) - 5


@pytest.mark.parametrize("name", ["random", "tpe", "rl", "ranked:random"])
def test_searchers_that_only_fill_holes_refuse_a_plain_cell(name: str) -> None:
    with pytest.raises(rnndsl.RnndslError, match="E0631"):
        find_searcher(name).make(load_start("gru"), 0)


def test_a_start_is_a_space_or_a_cell_or_an_error_with_a_hint() -> None:
    assert load_start("gated").roots and not load_start("LSTM").roots
    with pytest.raises(rnndsl.RnndslError, match="E0613"):
        load_start("gatde")

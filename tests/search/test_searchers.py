"""Every searcher: the same conduct, tried on one list of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="searching needs Optuna")
pytest.importorskip("torch")
pytest.importorskip("scipy", reason="Optuna's Gaussian process needs SciPy")

from rnndsl.diagnostics import RnndslError
from rnndsl.search.candidate import Candidate
from rnndsl.search.counting import Counter
from rnndsl.search.reading import read_space
from rnndsl.search.searchers.derivations import propose, read_choices
from rnndsl.search.searchers.plain import grows
from rnndsl.search.searchers.protocol import Judged, Origin
from rnndsl.search.searchers.rehearse import rehearse
from rnndsl.search.searchers.table import SEARCHERS, find_searcher
from tests.search.rehearsals import MORE, NAMES, SMALL, make, run, score_of, stored, told

ROOT = Path(__file__).resolve().parents[2]

TINY = """\
space Tiny(D, H):
    input x: [D]
    state h: [H]

    u = ?act(tanh | sin)(linear[H](x, ?reads(h | tanh(h) | ?inner(sin | relu)(h))))
    h' = ?out(u | u + h)
    return h'
"""

# Every hole of SMALL with more options, and holes where there were none.
GROWN = """\
space S(D, H):
    input x: [D]
    state h: [H]

    g = ?squash(sigmoid | hard_sigmoid)(?expr(x, h, depth = 2))
    u = ?act(tanh | sin | relu | softplus)(linear[H](x, ?(h | g * h | sin(h))))

    h' = g * h + (1 - g) * u
    return h'
"""


def test_every_searcher_is_tried() -> None:
    assert {name.partition(",")[0].partition(":")[0] for name in NAMES} == set(SEARCHERS)


def test_the_page_says_when_to_use_each_searcher() -> None:
    page = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    assert all(f"\n- `{name}" in page for name in SEARCHERS)


@pytest.mark.parametrize("name", NAMES)
def test_proposals_are_cells_of_the_space(name: str) -> None:
    space = read_space(SMALL)
    searcher = make(name, space)
    for turn in range(8):
        proposal = searcher.ask(turn)
        assert proposal is not None
        derivation = read_choices(space, proposal.choices)
        assert derivation is not None and len(derivation) == len(proposal.choices)
        assert propose(space, derivation, Origin("")).cell == proposal.cell
        trial = Judged(turn, "scored", proposal.choices, scores=(turn % 5,), origin=proposal.origin)
        searcher.tell(trial)


def test_equal_seeds_give_equal_proposals_in_any_process() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.search.rehearsals"],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PATH": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = (process.communicate(timeout=250)[0] for process in processes)
    assert first == second
    assert [process.returncode for process in processes] == [0, 0]
    assert first.count("\n") == 12 * len(MORE)


@pytest.mark.parametrize("name", NAMES)
def test_other_seeds_give_other_proposals(name: str) -> None:
    assert told(run(name, 5)) != told(run(name, 5, seed=1))


@pytest.mark.parametrize("name", MORE)
def test_a_search_resumed_from_its_records_goes_on_as_if_it_had_not_stopped(name: str) -> None:
    whole = run(name, 12)
    again = run(name, 12, history=stored(whole[:10]))
    assert told(again) == told(whole)


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_is_scored_twice(name: str) -> None:
    text = SMALL.replace("?expr(x, h, depth = 1)", "?(linear[H](x, h) + h | h + linear[H](x, h))")
    seen: set[str] = set()

    def score(candidate: Candidate) -> tuple[float, ...]:
        assert candidate.hash not in seen
        seen.add(candidate.hash)
        return score_of(candidate)

    trials = run(name, 12, text=text, score=score)
    assert len(seen) == 6  # of twelve texts: the order of a sum makes no new cell
    assert sorted(t.kind for t in trials) == ["duplicate"] * 6 + ["scored"] * 6
    assert len({trial.text for trial in trials}) == 12


@pytest.mark.parametrize("name", NAMES)
def test_a_small_space_is_proposed_to_its_end_and_not_again(name: str) -> None:
    total = Counter(read_space(TINY)).total
    trials = run(name, 100, text=TINY)
    assert len(trials) == len({trial.text for trial in trials}) == total


@pytest.mark.parametrize("name", NAMES)
def test_what_others_are_trying_is_not_proposed(name: str) -> None:
    space = read_space(TINY)
    searcher = make(name, space)
    history = run("random", 20, text=TINY)
    for trial in history[:-3]:
        searcher.tell(trial)
    left = {frozenset(trial.choices) for trial in run("random", 100, text=TINY)[17:]}
    for _ in range(len(left)):
        running = [tuple(choices) for choices in left]
        proposal = searcher.ask(17, running[1:])
        assert proposal is not None and frozenset(proposal.choices) == frozenset(running[0])
        left = {*left - {frozenset(running[0])}} | {frozenset(running[0])}


@pytest.mark.parametrize("name", NAMES)
def test_a_study_goes_on_when_its_space_has_grown(name: str) -> None:
    assert grows(SMALL, GROWN) and not grows(GROWN, SMALL)
    before = run(name, 8)
    after = run(name, 14, text=GROWN, history=stored(before))[8:]
    space = read_space(GROWN)
    known = {trial.hash for trial in before}
    assert all(read_choices(space, trial.choices) is not None for trial in after)
    assert not any(trial.hash in known for trial in after if trial.kind == "scored")


@pytest.mark.parametrize("name", NAMES)
def test_failures_of_every_kind_do_no_harm(name: str) -> None:
    kinds = ("scored", "pruned", "diverged", "failed", "rejected", "interrupted", "orphaned")
    space = read_space(SMALL)
    searcher = make(name, space)
    for turn in range(14):
        proposal = searcher.ask(turn)
        assert proposal is not None
        kind = kinds[turn % len(kinds)]
        scores = (float(turn),) if kind == "scored" else ()
        curve = {1: float("nan"), 2: 3.0} if kind == "pruned" else {}
        searcher.tell(
            Judged(turn, kind, proposal.choices, "cell", "", scores, curve, proposal.origin)  # type: ignore[arg-type]
        )
    searcher.tell(Judged(14, "scored", (("gone", "tanh"), ("act", "gone")), scores=(0.0,)))
    searcher.tell(Judged(15, "scored", (), scores=(float("nan"),)))
    searcher.tell(Judged(16, "orphaned", ()))
    assert searcher.ask(17) is not None


@pytest.mark.parametrize("name", NAMES)
def test_several_objectives_are_searched_at_once(name: str) -> None:
    def score(candidate: Candidate) -> tuple[float, ...]:
        return (*score_of(candidate), -float(candidate.text.count("linear")))

    trials = run(name, 13, score=score)
    assert len(trials) == 13 and all(len(t.scores) == 2 for t in trials if t.scores)


# --------------------------------------------------------------------------------- learning

FEW, MANY = 24, 40

FLAT = """\
space Flat(D, H):
    input x: [D]
    state h: [H]

    a = ?fa(tanh | sin | relu | sigmoid)(linear[H](x, h))
    b = ?fb(tanh | sin | relu | sigmoid)(linear[H](h))
    d = ?fd(tanh | sin | relu | sigmoid)(?ab(a + b | a * b | a - b))
    e = ?fe(tanh | sin | relu | sigmoid)(?ad(a + d | a * d | a - d))

    h' = ?ff(tanh | sin | relu | sigmoid)(?de(d + e | d * e | d - e))
    return h'
"""


def gain(candidate: Candidate) -> tuple[float, ...]:
    """Sines and products are good, rectifiers are not: from -8 to 5, at random about 0."""
    text = candidate.text
    return (text.count("relu(") - text.count("sin(") - float(text.count("*")),)


def late_mean(name: str, trials: int) -> float:
    """The mean score of the second half of the trials."""
    space = read_space(FLAT)
    found = []
    for seed in range(2):
        judged = rehearse(make(name, space, seed, warmup=8), space, gain, trials)
        found += [trial.scores[0] for trial in judged[trials // 2 :] if trial.scores]
    return sum(found) / len(found)


@pytest.fixture(scope="module")
def by_chance() -> float:
    return late_mean("random", MANY)


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("tpe", MANY),
        ("gp", FEW),
        ("nsga2,population=10", MANY),
        ("evolution,population=10,sample=4", MANY),
        ("rl", MANY),
        ("rl,update=ppo,lr=0.01", MANY),
        ("ranked:random", FEW),
    ],
)
def test_searchers_that_learn_beat_random_search(name: str, trials: int, by_chance: float) -> None:
    assert late_mean(name, trials) < by_chance - 0.7


# -------------------------------------------------------------------------------- the table


def test_options_follow_the_name_of_a_searcher() -> None:
    record = find_searcher("ranked:evolution,draws=8,population=30")
    assert record.options["inner"] == "evolution,population=30"
    assert record.options["draws"] == 8 and record.edits
    assert find_searcher("rl,lr=0.1").options["lr"] == 0.1


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("randm", "E0608", "`random`"),
        ("evolution,popluation=3", "E0630", "`population`"),
        ("evolution,population=many", "E0630", "many"),
        ("tpe:random", "E0630", "ranked"),
        ("ranked:evolutoin", "E0608", "`evolution`"),
    ],
)
def test_a_wrong_name_or_option_is_refused_with_a_hint(text: str, code: str, hint: str) -> None:
    with pytest.raises(RnndslError, match=code) as caught:
        find_searcher(text)
    assert hint in str(caught.value)

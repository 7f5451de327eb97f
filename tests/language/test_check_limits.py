"""Whatever a text holds, checking ends soon, with diagnostics and nothing else."""

from __future__ import annotations

import random
import re

import pytest

from rnndsl.cell import list_cells, load
from rnndsl.checking import scope as check_scope
from rnndsl.checking.check import check_cell
from rnndsl.compiler.lower import lower
from rnndsl.compiler.verify import verify
from rnndsl.diagnostics import RnndslError
from rnndsl.loading import cells_of
from rnndsl.source import Source


def codes(text: str) -> set[str]:
    """The codes of a text's mistakes; the text must not do anything worse."""
    try:
        cells = cells_of(Source("limits.rnn", text), None)
    except RnndslError as error:
        return {d.code for d in error.diagnostics}
    return {d.code for cell in cells.values() for d in check_cell(cell).diagnostics}


def body(*lines: str, header: str = "Big(D, H)") -> str:
    return f"cell {header}:\n    input x: [D]\n" + "".join(f"    {line}\n" for line in lines)


def test_a_deep_expression_is_read_or_refused() -> None:
    assert codes(body(f"return {'tanh(' * 5000}x{')' * 5000}")) == {"E0109"}
    assert all(c.startswith("E01") for c in codes(body("return " + " + ".join(["x"] * 5000))))
    assert codes(body("return " + " + ".join(["x"] * 90))) == set()


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits, reached sooner."""
    monkeypatch.setattr(check_scope, "MOST_VALUES", 2000)
    monkeypatch.setattr(check_scope, "MOST_STEPS", 10_000)


@pytest.mark.usefixtures("small_limits")
def test_nested_loops_stop_at_the_limit_of_values() -> None:
    lines = ["y = x", "for a in 0..4000:", "    for b in 0..4000:", "        y = tanh(y)"]
    assert codes(body(*lines, "return y")) == {"E0217"}


@pytest.mark.usefixtures("small_limits")
def test_loops_without_values_stop_too() -> None:
    lines = ["for a in 0..4000:", "    for b in 0..4000:", "        c = a + b"]
    assert "E0217" in codes(body(*lines, "return x"))


@pytest.mark.usefixtures("small_limits")
def test_cells_that_double_each_other_stop_at_the_limit() -> None:
    cells = ["cell C0(D):\n    input x: [D]\n    return tanh(x)\n"]
    for k in range(1, 19):
        cells.append(
            f"cell C{k}(D):\n    input x: [D]\n    a = C{k - 1}(D)(x)\n"
            f"    b = C{k - 1}(D)(a)\n    return b\n"
        )
    last = cells_of(Source("limits.rnn", "\n".join(cells)), None)["C18"]
    assert {d.code for d in check_cell(last).diagnostics} == {"E0217"}


def test_cells_nest_to_a_limit() -> None:
    cells = ["cell C0(D):\n    input x: [D]\n    return tanh(x)\n"]
    cells += [
        f"cell C{k}(D):\n    input x: [D]\n    k = C{k - 1}(D)(x)\n    return k\n"
        for k in range(1, 60)
    ]
    assert codes("\n".join(cells)) == {"E0217"}


def test_dimensions_cannot_grow_without_end() -> None:
    names = ", ".join(f"A{k}" for k in range(40))
    sums = " + ".join(f"A{k}" for k in range(40))
    lines = [f"d = {sums}", "e = d * d", "f = e * e", "param p: [f]", "return x * sum(p)"]
    assert "E0216" in codes(body(*lines, header=f"Big(D, {names})"))
    lines = ["d = D", "for l in 0..4000:", "    d = d * 1000", "return x"]
    assert "E0216" in codes(body(*lines))


def test_the_number_of_axes_is_bounded() -> None:
    lines = ["y = x", "for l in 0..100:", "    y = stack(y, y)", "return sum(y) * x"]
    assert "E0203" in codes(body(*lines))


@pytest.mark.parametrize("power", ["9 ** 9 ** 9 ** 9", "2 ** 100000", "(-2) ** 0.5", "0 ** -1"])
def test_numbers_stay_small(power: str) -> None:
    assert codes(body(f"return x * ({power})")) == {"E0216"}


@pytest.mark.parametrize("number", ["inf", "-inf", "1e400", "inf - inf", "2 ** -2", "0.5 ** 40"])
def test_any_float_is_a_number(number: str) -> None:
    assert codes(body(f"return x * ({number})")) <= {"E0103"}


def test_many_mistakes_are_reported_up_to_a_limit() -> None:
    text = body(*(f"a{k} = unknown{k}" for k in range(500)), "return x")
    cell = cells_of(Source("limits.rnn", text), None)["Big"]
    assert 10 <= len(check_cell(cell).diagnostics) <= 50


def test_a_mistake_in_a_loop_is_reported_once() -> None:
    text = body("y = x", "for l in 0..1000:", "    y = y + unknown", "return y")
    cell = cells_of(Source("limits.rnn", text), None)["Big"]
    assert [d.code for d in check_cell(cell).diagnostics] == ["E0201"]


def test_one_mistake_does_not_cause_others() -> None:
    lines = ["a = unknown * 2", "b = tanh(a) + softmax(a)", "c = linear[H](a, b)", "return c + a"]
    assert codes(body(*lines)) == {"E0201"}


_TEXTS = [load(name).source.text for name in list_cells()]
_WORDS = sorted({w for t in _TEXTS for w in re.findall(r"[A-Za-z_]+'?|\d+|[-+*/@()\[\],=]", t)})
_WORDS += ["where", "9**9**9", "true", "none", "k.h", "y[0]", "x if 1 else h", "?(a | b)", "H / 3"]


@pytest.mark.parametrize("seed", range(60))
def test_damaged_cells_give_diagnostics_or_sound_graphs(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(5):
        parts = re.split(r"(\W)", rng.choice(_TEXTS))
        places = [k for k, part in enumerate(parts) if part.strip() and part != "#"]
        for _ in range(rng.choice([1, 1, 2, 4])):
            parts[rng.choice(places)] = rng.choice(_WORDS)
        try:
            cells = cells_of(Source("damaged.rnn", "".join(parts)), None)
            for cell in cells.values():
                if not cell.is_space:
                    verify(lower(cell).graph)
        except RnndslError as error:
            assert str(error)

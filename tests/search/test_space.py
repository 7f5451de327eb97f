"""Spaces: which choices a text leaves open, and the cells that fill them."""

from __future__ import annotations

import random
from collections import Counter as Tally

import pytest

from rnndsl.diagnostics import RnndslError
from rnndsl.formatting.formatter import format_file
from rnndsl.parsing.parser import parse_file
from rnndsl.search.counting import Counter, enumerate_derivations
from rnndsl.search.fill import fill, fill_derivation
from rnndsl.search.reading import candidate_text, list_spaces, load_space, read_space
from rnndsl.search.space import Space
from rnndsl.source import Source

HEAD = "space S(D, H):\n    input x: [D]\n    state h: [H]\n"


def space(*lines: str) -> Space:
    """A space of two declarations and these lines."""
    return read_space(HEAD + "".join(f"    {line}\n" for line in lines) + "    return h'\n")


def all_texts(found: Space) -> list[str]:
    return [
        candidate_text(found, fill_derivation(found, derivation))
        for derivation in enumerate_derivations(found)
    ]


SMALL = {
    "two holes of one line": "h' = ?(tanh | relu)(linear[H](x, ?(h | h * h)))",
    "a hole inside an option": "h' = ?(tanh(linear[H](x, ?(h | h + h | 2 * h))) | x0 * h)",
    "a hole used twice": "h' = ?f(tanh | relu)(linear[H](x, h)) + ?f(tanh | relu)(h)",
    "used again inside another": "h' = ?f(tanh | sin)(h) + ?(?f(tanh | sin)(h) | linear[H](x))",
    "a name in exclusive options": "h' = ?(tanh(?a(x | h)) | sin(?a(x | h)) | h)",
    "grown": "h' = ?expr(x, h, depth = 1)",
    "grown twice": 'h\' = ?expr(x, h, depth = 1, ops = "+ linear") * ?expr(h, depth = 1)',
    "grown to nothing": "h' = tanh(?expr(x, h, depth = 0))",
}


@pytest.mark.parametrize("line", SMALL.values(), ids=SMALL.keys())
def test_count_equals_number_of_listed_derivations(line: str) -> None:
    found = space(line)
    listed = list(enumerate_derivations(found))
    assert Counter(found).total == len(listed)
    assert len({tuple(sorted(d.items())) for d in listed}) == len(listed)
    sizes = Tally(map(len, listed))
    assert {k: n for k, n in enumerate(Counter(found).by_size) if n} == sizes


@pytest.mark.parametrize("line", SMALL.values(), ids=SMALL.keys())
def test_filling_asks_for_exactly_the_choices_of_the_derivation(line: str) -> None:
    found = space(line)
    for derivation in enumerate_derivations(found):
        asked: list[str] = []
        fill(found, lambda name, options, a=asked, d=derivation: a.append(name) or d[name])  # type: ignore[misc]
        assert sorted(asked) == sorted(derivation)


def test_different_derivations_give_different_texts() -> None:
    texts = all_texts(space("h' = ?expr(x, h, depth = 1)"))
    assert len(set(texts)) == len(texts)


def test_count_is_exact_beyond_floating_point() -> None:
    total = Counter(space("h' = ?expr(x, h, depth = 4)")).total
    ends, unary, binary, ternary = 4, 3, 2, 1
    expected = ends
    for _ in range(4):
        expected = ends + unary * expected + binary * expected**2 + ternary * expected**3
    assert total == expected > 2**64


def test_filled_cell_has_no_holes_and_is_in_canonical_form() -> None:
    for text in all_texts(space("u = ?(tanh | identity)(linear[H](x, h))", "h' = ?(u | u * h)")):
        assert "?" not in text
        assert "identity" not in text
        assert text.startswith("cell S(D, H):")
        assert format_file(parse_file(Source("found", text))) == text


def test_several_linears_of_a_line_get_names_that_are_free() -> None:
    found = space("u1 = h", "u = ?(linear[H](x) * linear[H](h) | linear[H](x, h))", "h' = u")
    first, second = all_texts(found)
    assert "linear[H](x, name = u2) * linear[H](h, name = u3)" in first
    assert "u = linear[H](x, h)\n" in second


def test_holes_are_named_after_what_they_define() -> None:
    found = space("u = ?(tanh | relu)(?(h | ?(x | h)))", "h' = ?last(u | h)")
    assert found.roots == ("u", "u#2", "last")
    assert {choice.name for choice in found.choices} == {"u", "u#2", "u#2/2", "last"}


def test_grown_choices_offer_the_same_options_whatever_stands_above() -> None:
    found = space("h' = ?expr(x, h, depth = 2)")
    operators = {"tanh", "sigmoid", "relu", "+", "*", "gate3"}
    ends = {"h", "linear(x)", "linear(h)", "linear(x, h)"}
    assert set(found.table["h"].labels) == operators | ends
    assert set(found.table["h.3"].labels) == operators | ends
    assert set(found.table["h.3.1"].labels) == ends


def test_draw_is_uniform_over_derivations() -> None:
    found = space(SMALL["a hole inside an option"])
    counter, generator = Counter(found), random.Random(0)
    drawn = Tally(tuple(sorted(counter.draw(generator).items())) for _ in range(4000))
    assert len(drawn) == 4
    # 1000 of each are expected, with a standard deviation of 27.
    assert all(880 < count < 1120 for count in drawn.values())


def test_draw_of_a_size_is_uniform_among_that_size() -> None:
    counter, generator = Counter(space("h' = ?expr(h, depth = 1)")), random.Random(0)
    assert counter.by_size[2] == 6
    drawn = Tally(tuple(sorted(counter.draw(generator, 2).items())) for _ in range(3000))
    assert len(drawn) == 6
    assert all(400 < count < 600 for count in drawn.values())


def test_draw_by_size_reaches_small_and_large_cells_alike() -> None:
    counter, generator = Counter(space("h' = ?expr(x, h, depth = 2)")), random.Random(0)
    sizes = Tally(len(counter.draw_by_size(generator)) for _ in range(2600))
    assert sorted(sizes) == list(counter.sizes)
    assert all(130 < count < 270 for count in sizes.values())


def test_shipped_spaces_are_formatted_and_countable() -> None:
    assert list_spaces()
    for name in list_spaces():
        found = load_space(name)
        assert Counter(found).total > 100
        assert format_file(parse_file(Source(name, found.text))) == found.text


WRONG = {
    "no hole": ("h' = tanh(linear[H](x, h))", "E0603"),
    "an option twice": ("h' = ?(tanh | tanh)(h)", "E0604"),
    "a name for two choices": ("h' = ?a(x | h) + ?a(h | x)", "E0605"),
    "a name in two options at once": ("h' = ?(?a(x | h) | h) + ?(?a(x | h) | x)", "E0605"),
    "a leaf with a hole": ("h' = ?expr(x, ?(h | x))", "E0606"),
    "no leaf": ("h' = ?expr(depth = 2)", "E0606"),
    "an unknown operator": ('h\' = ?expr(x, h, ops = "tan")', "E0606"),
    "an unknown option": ("h' = ?expr(x, h, dept = 2)", "E0606"),
    "too deep": ("h' = ?expr(x, h, depth = 60)", "E0606"),
    "nothing of the right shape": ('h\' = ?expr(x, ops = "tanh")', "E0606"),
}


@pytest.mark.parametrize(("line", "code"), WRONG.values(), ids=WRONG.keys())
def test_mistakes_in_a_space_are_said_with_their_place(line: str, code: str) -> None:
    with pytest.raises(RnndslError) as caught:
        space(line)
    assert [d.code for d in caught.value.diagnostics] == [code]
    assert line.strip()[:8] in str(caught.value) or code == "E0603"


def test_a_grown_expression_needs_a_length() -> None:
    text = "space S(D, N):\n    input x: [D]\n    state h: [N]\n    h' = {}\n    return h'\n"
    with pytest.raises(RnndslError, match="size = N"):
        read_space(text.format("?expr(x, h)"))
    found = read_space(text.format("?expr(x, h, size = N, depth = 0)"))
    assert any("linear[N](x, h)" in text for text in all_texts(found))


def test_a_file_without_a_space_is_refused() -> None:
    with pytest.raises(RnndslError, match="E0601"):
        read_space("cell A(D, H):\n    input x: [D]\n    return x\n")


def test_one_of_several_spaces_is_chosen_by_name() -> None:
    one = HEAD + "    h' = ?(tanh | relu)(linear[H](x, h))\n    return h'\n"
    two = one + "\n" + one.replace("space S", "space T")
    assert read_space(two, "T").name == "T"
    with pytest.raises(RnndslError, match="E0602"):
        read_space(two)


def test_candidates_bring_the_cells_that_they_use() -> None:
    text = (
        "cell Inner(D, H):\n    input x: [D]\n    state h: [H]\n"
        "    h' = tanh(linear[H](x, h))\n    return h'\n\n"
        "space S(D, H):\n    input x: [D]\n    state h: [H]\n    k = Inner(D, H)(x)\n"
        "    h' = ?(tanh | relu)(k + h)\n    return h'\n"
    )
    for found in all_texts(read_space(text)):
        assert found.index("cell Inner") < found.index("cell S")

"""Repeated recipes have one canonical form, and recipes of one form have one function."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, islice

import pytest

from rnndsl.compiler.canonical import canonical_hash
from rnndsl.compiler.lower import lower
from rnndsl.search import import_recipe
from tests.search.recipe_classes import (
    close,
    isomorphism_key,
    same_when_matched,
    tied_outputs,
)
from tests.search.recipe_examples import EXAMPLES, linear, node, sigm, tanh
from tests.search.recipe_meaning import Recipe, needs_recipes, released

BASE: Recipe = {
    "a": linear("x", "h_prev_0"),
    "g": sigm("a"),
    "b": linear("x", "h_prev_1"),
    "t": tanh("b"),
    "h_new_0": node("blend", "g", "t", "h_prev_0"),
    "h_new_1": node("elementwise_prod", "t", "g"),
}


def hash_of(recipe: Recipe) -> str:
    return canonical_hash(lower(import_recipe(recipe)))


def changed(**nodes: dict[str, object]) -> Recipe:
    return BASE | nodes


SAME: dict[str, Recipe] = {
    "operands of linear exchanged": changed(a=linear("h_prev_0", "x")),
    "factors exchanged": changed(h_new_1=node("elementwise_prod", "g", "t")),
    "nodes renamed and in another order": {
        "z": tanh("w"),
        "w": linear("x", "h_prev_1"),
        "h_new_1": node("elementwise_prod", "z", "q"),
        "q": sigm("r"),
        "h_new_0": node("blend", "q", "z", "h_prev_0"),
        "r": linear("x", "h_prev_0"),
    },
    "another state that nothing feels": BASE | {"h_new_2": sigm("h_prev_2")},
    "another state that stays zero": BASE
    | {
        "h_new_2": node("elementwise_prod", "h_prev_2", "t"),
        "u": node("elementwise_sum", "t", "h_prev_2"),
        "h_new_0": node("blend", "g", "u", "h_prev_0"),
    },
    "another state that repeats one": changed(
        h_new_0=node("blend", "g", "t", "h_prev_2"),
        h_new_2=node("blend", "g", "t", "h_prev_0"),
    ),
}
TWINS: dict[str, Recipe] = {
    "operands of blend exchanged": changed(h_new_0=node("blend", "g", "h_prev_0", "t")),
    "another state is read": changed(a=linear("x", "h_prev_1")),
    "another activation": changed(t=sigm("b")),
    "sum for product": changed(h_new_1=node("elementwise_sum", "t", "g")),
    "the new state for the old": changed(h_new_1=node("elementwise_prod", "t", "h_new_0")),
    "one linear for two": changed(t=tanh("a")),
}


@pytest.mark.parametrize("other", SAME.values(), ids=SAME.keys())
def test_the_same_recipe_written_differently_has_the_same_hash_and_function(other: Recipe) -> None:
    assert hash_of(other) == hash_of(BASE)
    assert same_when_matched(BASE, other, 1)


def test_near_twins_have_other_hashes_and_other_functions() -> None:
    recipes = [BASE, *TWINS.values()]
    for left, right in combinations(recipes, 2):
        assert hash_of(left) != hash_of(right)
        assert (
            not close(tied_outputs(left), tied_outputs(right))
            or right is TWINS["one linear for two"]
        )


def test_examples_are_all_different_but_for_an_unused_node() -> None:
    assert len({hash_of(recipe) for recipe in EXAMPLES.values()}) == len(EXAMPLES) - 1
    assert hash_of(EXAMPLES["an unused node"]) == hash_of(EXAMPLES["one state"])


@needs_recipes
def test_repeats_among_the_released_recipes_are_found() -> None:
    """Those among the first 800; the module recipe_classes compares all of them."""
    classes: dict[str, list[Recipe]] = defaultdict(list)
    for _, recipe in islice(released(), 800):
        classes[isomorphism_key(recipe)].append(recipe)
    repeated = [group for group in classes.values() if len(group) > 1]
    assert sum(len(group) - 1 for group in repeated) == 222
    for group in repeated:
        assert len({hash_of(recipe) for recipe in group}) == 1


@needs_recipes
def test_released_recipes_of_one_hash_have_one_function() -> None:
    found: dict[str, list[Recipe]] = defaultdict(list)
    for _, recipe in islice(released(), 1000, 1300):
        found[hash_of(recipe)].append(recipe)
    repeated = [group for group in found.values() if len(group) > 1]
    assert len(repeated) > 5
    for number, group in enumerate(repeated):
        assert all(close(tied_outputs(group[0]), tied_outputs(other)) for other in group)
        assert same_when_matched(group[0], group[1], number)

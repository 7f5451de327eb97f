"""Recipes of our own, one for each trap, so that importing is tested without the benchmark."""

from __future__ import annotations

from tests.search.recipe_meaning import Recipe


def node(op: str, *inputs: str) -> dict[str, object]:
    """One node of a recipe."""
    return {"op": op, "input": list(inputs)}


def linear(*inputs: str) -> dict[str, object]:
    return node("linear", *inputs)


def tanh(read: str) -> dict[str, object]:
    return node("activation_tanh", read)


def sigm(read: str) -> dict[str, object]:
    return node("activation_sigm", read)


EXAMPLES: dict[str, Recipe] = {
    "one state": {"f": linear("x", "h_prev_0"), "h_new_0": tanh("f")},
    "the output is linear": {"h_new_0": linear("x", "h_prev_0")},
    "nodes before what they read": {
        "h_new_0": node("elementwise_sum", "b", "a_act"),
        "b": node("elementwise_prod", "a_act", "h_prev_0"),
        "a_act": sigm("a"),
        "a": linear("x", "h_prev_0"),
    },
    "a gate that nothing squashes, in its order": {
        "z": linear("x", "h_prev_0"),
        "h_new_0": node("blend", "z", "h_prev_0", "u"),
        "c": linear("h_prev_0", "x"),
        "u": node("activation_leaky_relu", "c"),
    },
    "a state of this step is read": {
        "a": linear("x", "h_prev_1"),
        "h_new_1": tanh("a"),
        "b": linear("h_new_1", "h_prev_1", "x"),
        "g": sigm("b"),
        "h_new_0": node("blend", "g", "h_prev_0", "h_new_1"),
    },
    "three states, one of them only moved on": {
        "a": linear("x", "h_prev_0", "h_prev_2"),
        "a_act": tanh("a"),
        "h_new_0": node("elementwise_sum", "a_act", "h_prev_1"),
        "h_new_1": node("elementwise_prod", "a_act", "h_prev_0"),
        "h_new_2": sigm("h_prev_1"),
    },
    "a linear that two nodes read": {
        "a": linear("x", "h_prev_0"),
        "t": tanh("a"),
        "s": sigm("a"),
        "h_new_0": node("elementwise_prod", "t", "s"),
    },
    "a value that linear reads twice": {
        "a": linear("x", "x", "h_prev_0", "h_prev_0"),
        "b": tanh("a"),
        "c": linear("b", "b"),
        "h_new_0": node("elementwise_sum", "c", "c"),
    },
    "an unused node": {
        "a": linear("x", "h_prev_0"),
        "unused": linear("x"),
        "also": sigm("unused"),
        "h_new_0": tanh("a"),
    },
    "names that mean something else here": {
        "h": linear("x", "h_prev_0"),
        "tanh": tanh("h"),
        "state": sigm("D"),
        "D": linear("tanh", "x"),
        "in1": tanh("state"),
        "2nd node": linear("in1", "h", "h_prev_0"),
        "2nd-node": tanh("2nd node"),
        "h_new_0": node("elementwise_sum", "2nd-node", "tanh"),
    },
    "a node whose name begins as a state's": {
        "h_new_1_part1": linear("x", "h_prev_0"),
        "h_new_1": tanh("h_new_1_part1"),
        "h_new_0": node("elementwise_prod", "h_new_1", "h_prev_1"),
    },
    "one activation after another": {
        "a": linear("x", "h_prev_0"),
        "b": node("activation_leaky_relu", "a"),
        "c": node("activation_leaky_relu", "b"),
        "h_new_0": tanh("c"),
    },
}

# Each with a part of what is said about it.
REFUSED: dict[str, tuple[object, str]] = {
    "nothing": ({}, "not a table of nodes"),
    "no state": ({"a": linear("x")}, "no `h_new_0`"),
    "a state is missing": ({"h_new_1": linear("x", "h_prev_1")}, "no `h_new_0`"),
    "an unknown operation": ({"h_new_0": node("linaer", "x")}, "did you mean `linear`"),
    "an unknown name": ({"h_new_0": linear("x", "a")}, "which is no node"),
    "a state that nothing computes": ({"h_new_0": linear("h_prev_1")}, "reads `h_prev_1`"),
    "a circle": ({"h_new_0": tanh("a"), "a": tanh("h_new_0")}, "depends on itself"),
    "too many operands": ({"h_new_0": node("activation_tanh", "x", "x")}, "reads 2 values"),
    "the input where it may not fit": ({"h_new_0": tanh("x")}, "only `linear` may"),
    "an input that is a text": ({"h_new_0": {"op": "linear", "input": "x"}}, "not a list of names"),
    "a node called x": ({"x": tanh("h_prev_0"), "h_new_0": tanh("x")}, "never computed"),
}

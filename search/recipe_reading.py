"""Reading recipes in the form of NAS-Bench-NLP (Klyuchnikov et al. 2020): checked, in order.

A recipe is a table of nodes: ``{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, ...}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.search.errors_recipes import BadRecipe, BadRecipeFile

SOURCE = "x"
PREVIOUS = re.compile(r"h_prev_(0|[1-9]\d*)")
NEXT = re.compile(r"h_new_(0|[1-9]\d*)")
LINEAR = "linear"
ACTIVATIONS = ("activation_tanh", "activation_sigm", "activation_leaky_relu")
# How many values each operation reads; `linear` takes any number.
ARITY: dict[str, int | None] = {
    LINEAR: None,
    "blend": 3,
    "elementwise_prod": 2,
    "elementwise_sum": 2,
    **dict.fromkeys(ACTIVATIONS, 1),
}


@dataclass(frozen=True, slots=True)
class RecipeNode:
    """One node: what it is called, what it does, and what it reads, in order."""

    name: str
    op: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The nodes that a state depends on, each after what it reads; and how many states."""

    nodes: tuple[RecipeNode, ...]
    states: int


def read_recipe(recipe: Mapping[str, Any]) -> Recipe:
    """A recipe checked and put in order; RnndslError (E0640) when it describes no cell.

    States are counted as the benchmark counts them: up to the highest ``h_new``.  Nodes that
    no state depends on are left out; the order is that of the recipe as far as it can be.
    """
    if not isinstance(recipe, Mapping) or not recipe:
        raise _error("it is not a table of nodes", "")
    nodes = {name: _node(name, entry) for name, entry in recipe.items()}
    found = {int(match[1]) for name in nodes if (match := NEXT.fullmatch(name))}
    states = max(found, default=-1) + 1
    if found != set(range(states)) or not states:
        missing = min(set(range(max(states, 1))) - found)
        raise _error(f"there is no `h_new_{missing}`", "each state needs one, counted from 0")
    for node in nodes.values():
        _check_inputs(node, nodes, states)
    return Recipe(_ordered(nodes, states), states)


def read_recipe_file(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Pairs of an id, as text, and a recipe as it was written; RnndslError (E0641)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise RnndslError(BadRecipeFile(None, str(path), 1, reason.lower())) from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            pair = str(record["id"]), record["recipe"]
        except (ValueError, TypeError, KeyError, RecursionError):
            problem = "it is not a JSON object with `id` and `recipe`"
            raise RnndslError(BadRecipeFile(None, str(path), number, problem)) from None
        yield pair


def _node(name: Any, entry: Any) -> RecipeNode:
    try:
        op, inputs = entry["op"], entry["input"]
    except (TypeError, KeyError):
        raise _error(f"`{name}` has no `op` and `input`", "") from None
    if not isinstance(name, str) or name == SOURCE or PREVIOUS.fullmatch(name):
        raise _error(f"a node is called `{name}`", "`x` and `h_prev_0` are read, never computed")
    if not isinstance(op, str) or op not in ARITY:
        near = did_you_mean(str(op), ARITY)
        advice = f"did you mean `{near}`?" if near else f"known are {', '.join(ARITY)}"
        raise _error(f"`{name}` has the unknown operation `{op}`", advice)
    if not isinstance(inputs, (list, tuple)) or not all(isinstance(i, str) for i in inputs):
        raise _error(f"the `input` of `{name}` is not a list of names", "")
    wanted = ARITY[op]
    if len(inputs) != (wanted or max(len(inputs), 1)):
        raise _error(
            f"`{name}` reads {len(inputs)} values", f"`{op}` reads {wanted or 'at least 1'}"
        )
    return RecipeNode(name, op, tuple(inputs))


def _check_inputs(node: RecipeNode, nodes: Mapping[str, RecipeNode], states: int) -> None:
    for name in node.inputs:
        previous = PREVIOUS.fullmatch(name)
        if previous and int(previous[1]) >= states:
            advice = f"there is no `h_new_{previous[1]}` that would compute it"
            raise _error(f"`{node.name}` reads `{name}`", advice)
        if name == SOURCE and node.op != LINEAR:
            advice = "only `linear` may: `x` may have another length"
            raise _error(f"`{node.name}` is {node.op} and reads `x`", advice)
        if not previous and name != SOURCE and name not in nodes:
            near = did_you_mean(name, nodes)
            advice = f"did you mean `{near}`?" if near else ""
            raise _error(f"`{node.name}` reads `{name}`, which is no node", advice)


def _ordered(nodes: Mapping[str, RecipeNode], states: int) -> tuple[RecipeNode, ...]:
    """Live nodes, each after its inputs, otherwise in the order of the recipe."""
    live: set[str] = set()
    waiting = [f"h_new_{k}" for k in range(states)]
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in live:
            live.add(name)
            waiting += nodes[name].inputs
    left = [node for node in nodes.values() if node.name in live]
    done: list[RecipeNode] = []
    known: set[str] = set()
    while left:
        ready = next((n for n in left if all(i in known or i not in nodes for i in n.inputs)), None)
        if ready is None:
            raise _error(f"`{left[0].name}` depends on itself", "only `h_prev` leads back in time")
        left.remove(ready)
        known.add(ready.name)
        done.append(ready)
    return tuple(done)


def _error(problem: str, advice: str) -> RnndslError:
    return RnndslError(BadRecipe(None, problem, advice))

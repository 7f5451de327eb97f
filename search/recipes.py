"""Recipes of NAS-Bench-NLP (Klyuchnikov et al. 2020) as cells of ours."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rnndsl
from rnndsl.atomic import unwritable, write_text_atomically
from rnndsl.checking.builtins import BUILTINS
from rnndsl.parsing.tree import KEYWORDS
from rnndsl.search.recipe_reading import (
    ACTIVATIONS,
    LINEAR,
    NEXT,
    SOURCE,
    Recipe,
    RecipeNode,
    read_recipe,
    read_recipe_file,
)

if TYPE_CHECKING:
    from rnndsl.cell import Cell

_FUNCTIONS = {
    "activation_tanh": "tanh({0})",
    "activation_sigm": "sigmoid({0})",
    "activation_leaky_relu": "leaky_relu({0}, 0.01)",
    "elementwise_prod": "{0} * {1}",
    "elementwise_sum": "{0} + {1}",
    # The first operand is no gate: nothing squashes it.
    "blend": "{0} * {1} + (1 - {0}) * {2}",
}

# Where a parameter comes from: the node, and the place of the operand; None for the bias.
Origin = tuple[str, int | None]


def import_recipe(recipe: Mapping[str, Any], name: str = "Recipe") -> Cell:
    """The cell that a recipe describes, with the same function and the same initialisation.

    ``recipe`` maps names of nodes to ``{"op": ..., "input": [...]}``.  States begin at zero;
    the output is the next value of state 0.  RnndslError (E0640) when it describes no cell.

    Source: the published code of the benchmark (custom_rnn.py, multilinear.py).
    """
    return rnndsl.parse(_Writer(read_recipe(recipe)).text(name))


def recipe_parameters(recipe: Mapping[str, Any]) -> dict[str, Origin]:
    """For each parameter of the imported cell, which weight or bias of the recipe it is."""
    return _Writer(read_recipe(recipe)).parameters()


def import_recipe_file(path: Path, folder: Path) -> int:
    """Write each recipe of a file into ``folder`` as ``ID.rnn``; how many there were."""
    count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    for number, recipe in read_recipe_file(path):
        safe = re.sub(r"\W", "_", number, flags=re.ASCII)
        cell = import_recipe(recipe, f"Recipe{safe}")
        write_text_atomically(folder / f"{safe}.rnn", str(cell))
        count += 1
    return count


class _Writer:
    """One recipe as text.  A `linear` that one activation alone reads is written inside it."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        uses = Counter(name for node in recipe.nodes for name in node.inputs)
        readers = {name: node for node in recipe.nodes for name in node.inputs}
        self._inner = {
            node.name: node
            for node in recipe.nodes
            if node.op == LINEAR
            and not NEXT.fullmatch(node.name)
            and uses[node.name] == 1
            and readers[node.name].op in ACTIVATIONS
        }
        self._names = self._choose_names()

    def text(self, name: str) -> str:
        states = [self._state(k) for k in range(self._recipe.states)]
        lines = [f"cell {name}(D, H):", f"    input {SOURCE}: [D]"]
        lines += [f"    state {state}: [H]" for state in states]
        lines += [
            f"    {self._names[node.name]} = {self._expression(node)}"
            for node in self._recipe.nodes
            if node.name not in self._inner
        ]
        return "\n".join([*lines, f"    return {states[0]}'", ""])

    def parameters(self) -> dict[str, Origin]:
        found: dict[str, Origin] = {}
        readers = {name: node for node in self._recipe.nodes for name in node.inputs}
        for node in self._recipe.nodes:
            if node.op != LINEAR:
                continue
            holder = readers[node.name] if node.name in self._inner else node
            target = self._names[holder.name].rstrip("'")
            taken: set[str] = set()
            for place, read in enumerate(node.inputs):
                own = self._names.get(read, read).rstrip("'")
                operand = f"in{place}" if own in taken else own
                taken.add(operand)
                found[f"{target}.{operand}.weight"] = (node.name, place)
            found[f"{target}.bias"] = (node.name, None)
        return found

    def _expression(self, node: RecipeNode) -> str:
        operands = [
            self._expression(self._inner[name]) if name in self._inner else self._names[name]
            for name in node.inputs
        ]
        if node.op == LINEAR:
            return f"linear[H]({', '.join(operands)})"
        return _FUNCTIONS[node.op].format(*operands)

    def _state(self, number: int) -> str:
        return "h" if self._recipe.states == 1 else f"h{number}"

    def _choose_names(self) -> dict[str, str]:
        """What each name of the recipe is called in the cell: its own where that is a word."""
        chosen = {SOURCE: SOURCE}
        states = range(self._recipe.states)
        chosen |= {f"h_prev_{k}": self._state(k) for k in states}
        chosen |= {f"h_new_{k}": f"{self._state(k)}'" for k in states}
        taken = {"D", "H", *KEYWORDS, *BUILTINS, *(name.rstrip("'") for name in chosen.values())}
        for node in self._recipe.nodes:
            if node.name in chosen:
                continue
            word = re.sub(r"\W", "_", node.name, flags=re.ASCII)
            word = word if re.match(r"[A-Za-z]", word) else f"n{word}"
            # `in1` and so on are what `linear` calls an operand that it reads twice.
            while word in taken or re.fullmatch(r"in\d+", word):
                word += "_"
            taken.add(word)
            chosen[node.name] = word
        return chosen

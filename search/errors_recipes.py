"""What can be wrong with the recipe of a cell that is imported (E064x)."""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.diagnostics import Diagnostic


@dataclass(frozen=True)
class BadRecipe(Diagnostic):
    code = "E0640"
    title = "the recipe describes no cell"
    label = "{problem}"
    help = "{advice}"
    problem: str
    advice: str = ""


@dataclass(frozen=True)
class BadRecipeFile(Diagnostic):
    code = "E0641"
    title = "{file} cannot be read as recipes"
    label = "line {line}: {problem}"
    help = 'each line is one JSON object, such as `{{"id": 1, "recipe": {{...}}}}`'
    file: str
    line: int
    problem: str

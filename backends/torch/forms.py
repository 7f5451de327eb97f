"""Whether a cell can take the form of recurrence that a user asks for."""

from __future__ import annotations

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.errors import LayerOptionError
from rnndsl.cell import Cell
from rnndsl.compiler.forms.choose import AUTO, FORMS, STEPS
from rnndsl.compiler.forms.choose import check_form as refusals
from rnndsl.compiler.lower import Lowered
from rnndsl.compiler.pipeline import PIPELINES, run_pipeline
from rnndsl.compiler.separate import separate
from rnndsl.compiler.split import split


def check_form(lowered: Lowered, cell: Cell, form: str) -> None:
    """LayerOptionError, with the place in the file, if no scan of a cell can take the form."""
    if form not in FORMS:
        known = ", ".join(f'"{name}"' for name in FORMS)
        raise LayerOptionError(catalogue.BadOption(None, "form", f"one of {known}", repr(form)))
    if form in (AUTO, STEPS):
        return
    step = separate(run_pipeline(lowered.graph, PIPELINES["default"])).step
    found = refusals(split(run_pipeline(step, PIPELINES["final"])), form)
    if found:
        # Packed gates belong to several places of the file; as written, each has one.
        written = refusals(split(separate(lowered.graph).step), form)
        why = next((r for r in written if r.states == found[0].states), found[0])
        raise LayerOptionError(
            catalogue.NoSuchForm(why.span, form, ", ".join(why.states), why.reason),
            cell.sources(),
        )

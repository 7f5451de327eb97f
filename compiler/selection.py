"""Which passes a compilation runs: those of the pipelines, or those that the user names.

Passes are numbered through: first those before differentiation, then those of the graph that
comes next (the backward graph, or the final one where no gradient is wanted).  Stopping after
one of them leaves out all that follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from rnndsl.compiler.ir import Graph
from rnndsl.compiler.pipeline import (
    PIPELINES,
    Observer,
    Pass,
    Pipeline,
    find_pipeline,
    parse_pipeline,
    run_pipeline,
)


class NoSuchPassError(ValueError):
    """A pass to stop after is not among those that run."""


# Backends expect this one, which removes what only differentiation reads.
_NEEDED = parse_pipeline("drop-stop-grad")


@dataclass(frozen=True, slots=True)
class Selection:
    """``first`` runs on the lowered graph, ``second`` on the one that follows.

    ``stopped`` says that passes were left out at the end.
    """

    first: Pipeline = PIPELINES["default"]
    second: Pipeline = PIPELINES["backward"]
    stopped: bool = False

    @property
    def stops_early(self) -> bool:
        """Whether no pass of the second pipeline runs but the one that backends need."""
        return self.stopped and self.second == _NEEDED

    def run_first(self, graph: Graph, observers: Sequence[Observer] = ()) -> Graph:
        return run_pipeline(graph, self.first, observers)

    def run_second(self, graph: Graph, observers: Sequence[Observer] = ()) -> Graph:
        """As :meth:`run_first`; observers count on from the first pipeline's passes."""
        shift = len(self.first.passes)

        def counted(observe: Observer) -> Observer:
            def shifted(position: int, entry: Pass, before: Graph, after: Graph) -> None:
                observe(position + shift, entry, before, after)

            return shifted

        return run_pipeline(graph, self.second, [counted(found) for found in observers])


def select(
    passes: str | None = None, stop_after: str | int | None = None, second: str = "backward"
) -> Selection:
    """The passes to run.

    ``passes`` is the name of a pipeline, or names of passes with commas between, for the
    lowered graph.  ``stop_after`` is the number of a pass, or its name: then its last run before
    differentiation counts, or if there is none its last run after.  ``second`` names the
    pipeline of the graph that follows.  Raises UnknownPassError, NoSuchPassError.
    """
    chosen = "default" if passes is None else passes
    first = find_pipeline(chosen)
    after = PIPELINES[second]
    if stop_after is None:
        return Selection(first, after)
    entries = [*first.passes, *after.passes]
    place = _place(entries, len(first.passes), str(stop_after))
    if place <= len(first.passes):
        return Selection(Pipeline(first.passes[:place]), _NEEDED, True)
    rest = after.passes[: place - len(first.passes)]
    return Selection(first, Pipeline(rest), place < len(entries))


def _place(entries: Sequence[Pass], border: int, wanted: str) -> int:
    """The number of a pass, from 1 (0 stands for none at all)."""
    if wanted.isdecimal():
        if int(wanted) > len(entries):
            raise NoSuchPassError(f"there are {len(entries)} passes, not {wanted}")
        return int(wanted)
    names = [entry.name for entry in entries]
    for start, stop in ((0, border), (border, len(names))):
        if wanted in names[start:stop]:
            return stop - names[start:stop][::-1].index(wanted)
    close = get_close_matches(wanted, names, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"they are {', '.join(names)}"
    raise NoSuchPassError(f"no pass `{wanted}` is run; {hint}")

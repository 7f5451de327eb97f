"""The table of searchers, and the names that choose one of them with its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.search.errors import UnknownSampler
from rnndsl.search.errors_searchers import BadSamplerOption, NothingToEdit
from rnndsl.search.searchers.evolution import EvolutionSearcher
from rnndsl.search.searchers.optuna_based import make_gp, make_nsga2, make_tpe
from rnndsl.search.searchers.protocol import Searcher
from rnndsl.search.searchers.ranked import make_ranked
from rnndsl.search.searchers.uniform import RandomSearcher
from rnndsl.search.space import Space

Make = Callable[..., Searcher]  # (space, seed, **options)
Value = int | float | str


@dataclass(frozen=True, slots=True)
class SearcherRecord:
    """A searcher by name.

    ``options`` are its settings with their defaults, whose types the given ones must have.
    ``edits``: it can also start from a plain cell, which has no holes to fill.
    """

    name: str
    summary: str
    maker: Make = field(repr=False)
    options: Mapping[str, Value] = field(default_factory=dict)
    edits: bool = False

    def check(self, space: Space) -> None:
        """RnndslError (E0631) when the space is a plain cell and the searcher edits none."""
        if not space.roots and not self.edits:
            raise RnndslError(NothingToEdit(None, self.name, space.name))

    def make(self, space: Space, seed: int) -> Searcher:
        """A searcher that has been told nothing yet; RnndslError as for :meth:`check`."""
        self.check(space)
        return self.maker(space, seed, **self.options)


def _make_rl(space: Space, seed: int, **options: Any) -> Searcher:
    from rnndsl.search.searchers.rl import RlSearcher  # loads torch

    return RlSearcher(space, seed, **options)


SEARCHERS: dict[str, SearcherRecord] = {
    record.name: record
    for record in (
        SearcherRecord("random", "sizes alike, cells of one size alike", RandomSearcher),
        SearcherRecord("tpe", "learns which choices go with good scores", make_tpe),
        SearcherRecord("gp", "a Gaussian process over the choices that all cells have", make_gp),
        SearcherRecord(
            "evolution",
            "mutates and crosses the best of the latest cells",
            EvolutionSearcher,
            {"population": 20, "sample": 5, "crossover": 0.3},
            edits=True,
        ),
        SearcherRecord(
            "rl",
            "a recurrent network decides, and is rewarded for scores",
            _make_rl,
            {
                "update": "reinforce",
                "cell": "lstm",
                "hidden": 32,
                "batch": 4,
                "lr": 0.03,
                "entropy": 0.01,
                "reward": "rank",
            },
        ),
        SearcherRecord(
            "ranked",
            "ranked:NAME takes what a model expects most of, out of many proposals of NAME",
            make_ranked,
            {"inner": "random", "draws": 24, "warmup": 20, "explore": 0.1},
        ),
        SearcherRecord(
            "nsga2", "generations, for several objectives", make_nsga2, {"population": 20}
        ),
    )
}


def find_searcher(text: str) -> SearcherRecord:
    """The searcher that ``NAME``, ``NAME,option=value`` or ``ranked:NAME`` describes.

    Options that `ranked` does not have are the inner searcher's.  RnndslError (E0608) if there
    is none of that name, (E0630) for an option it does not have.
    """
    words, *settings = text.split(",")
    name, colon, inner = words.partition(":")
    if name not in SEARCHERS:
        near = did_you_mean(name, tuple(SEARCHERS))
        raise RnndslError(UnknownSampler(None, name, ", ".join(SEARCHERS), near))
    record = SEARCHERS[name]
    options, edits = dict(record.options), record.edits
    if colon:
        if "inner" not in options:
            problem = f"only `ranked:` can stand before `{inner}`"
            raise RnndslError(BadSamplerOption(None, name, inner, problem))
        own = [s for s in settings if s.partition("=")[0] in options]
        inner_text = ",".join([inner, *(s for s in settings if s not in own)])
        edits, settings = find_searcher(inner_text).edits, own
        options["inner"] = inner_text
    for setting in settings:
        key, _, value = setting.partition("=")
        options[key] = _read(name, key, value, record.options)
    return replace(record, name=text, options=options, edits=edits)


def _read(searcher: str, key: str, text: str, defaults: Mapping[str, Value]) -> Any:
    known = ", ".join(f"{name}={value}" for name, value in defaults.items()) or "none"
    if key not in defaults:
        near = did_you_mean(key, tuple(defaults))
        raise RnndslError(BadSamplerOption(None, searcher, key, f"its options are: {known}", near))
    try:
        return type(defaults[key])(text)
    except ValueError:
        wanted = f"`{text}` is not of the kind of {defaults[key]}"
        raise RnndslError(BadSamplerOption(None, searcher, key, wanted)) from None

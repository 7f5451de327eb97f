"""User errors: one frozen dataclass per mistake, and the exception that carries them.

A catalogue module (``rnndsl/errors_*.py``, ``rnndsl/<package>/errors*.py``) lists its mistakes::

    @dataclass(frozen=True)
    class ShapeMismatch(Diagnostic):
        code = "E0203"
        title = "shapes do not agree"
        label = "`{op}` needs equal shapes: left is {left}, right is {right}"
        help = "did you mean `{suggestion}`?"
        op: str
        left: str
        right: str
        suggestion: str = ""

and a stage raises ``RnndslError([ShapeMismatch(span, "*", "[H]", "[D]")], source)``.  All wording
stands in the catalogue; a stage supplies only data.  A note or help that names an empty field is
left out, so one class serves with and without a suggestion.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import ClassVar

from rnndsl.source import Source, Span

MAX_SHOWN = 10  # errors shown per file; more would hide the first


@dataclass(frozen=True, slots=True)
class Related:
    """A second place that takes part in a mistake, underlined with ``-``: "declared here"."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Binding:
    """A dimension solved so far: ``D = 64 (from `input x: [64]`)``."""

    name: str
    value: str
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.name} = {self.value}" + (f" (from {self.origin})" if self.origin else "")


@dataclass(frozen=True)
class Diagnostic:
    """One mistake of the user; subclasses give the wording and the fields that fill it.

    ``span`` is None for a mistake that has no place in a source file (an empty data file).
    Class attributes are templates over the fields: ``title`` (first line), ``label`` (beside
    the caret), ``note`` and ``help`` (last lines, left out when a field they name is empty).
    """

    code: ClassVar[str] = ""
    level: ClassVar[str] = "error"  # a "warning" stops nothing
    title: ClassVar[str] = ""
    label: ClassVar[str] = ""
    note: ClassVar[str] = ""
    help: ClassVar[str] = ""

    span: Span | None
    related: tuple[Related, ...] = field(default=(), kw_only=True)
    bindings: tuple[Binding, ...] = field(default=(), kw_only=True)

    def title_text(self) -> str:
        """The first line, without code and place."""
        return _fill(self.title, self)

    def label_text(self) -> str:
        """The text beside the caret."""
        return _fill(self.label, self)

    def notes(self) -> tuple[str, ...]:
        """The note of the class and the dimensions solved so far."""
        known = "so far  " + ",  ".join(map(str, self.bindings)) if self.bindings else ""
        return tuple(text for text in (_fill_or_drop(self.note, self), known) if text)

    def helps(self) -> tuple[str, ...]:
        """Suggested fixes; empty when none is likely."""
        text = _fill_or_drop(self.help, self)
        return (text,) if text else ()


def _fill(template: str, diagnostic: Diagnostic) -> str:
    return template.format_map(vars(diagnostic))


def _fill_or_drop(template: str, diagnostic: Diagnostic) -> str:
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    if any(vars(diagnostic)[name] in ("", None, ()) for name in names):
        return ""
    return _fill(template, diagnostic)


class RnndslError(Exception):
    """Mistakes of the user, in order of their place; ``str()`` is the rendered text.

    ``sources`` are the texts that spans point into; a span whose text is missing is shown
    without its lines.
    """

    def __init__(
        self,
        diagnostics: Diagnostic | Iterable[Diagnostic],
        sources: Source | Iterable[Source] = (),
    ) -> None:
        found = [diagnostics] if isinstance(diagnostics, Diagnostic) else diagnostics
        self.diagnostics: tuple[Diagnostic, ...] = _sorted(found)
        self.sources: tuple[Source, ...] = (
            (sources,) if isinstance(sources, Source) else tuple(sources)
        )
        super().__init__(self.diagnostics, self.sources)

    def __str__(self) -> str:
        return self.render()

    def render(self, color: bool = False) -> str:
        """The text shown to the user, at most ``MAX_SHOWN`` errors per file."""
        from rnndsl.render import render_all

        return render_all(self.diagnostics, self.sources, color=color, limit=MAX_SHOWN)


def _sorted(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    def place(diagnostic: Diagnostic) -> tuple[str, int, int]:
        span = diagnostic.span
        return (span.file, span.start, span.end) if span else ("", 0, 0)

    unique = dict.fromkeys(diagnostics)
    return tuple(sorted(unique, key=place))


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """The candidate closest to ``name``, or "" when none is close.

    Candidates should be the names in scope and of the right kind only.
    """
    names = sorted(set(candidates))[:1000]
    if len(name) > 80:
        return ""
    by_folded = {candidate.casefold(): candidate for candidate in names}
    if name.casefold() in by_folded:
        return by_folded[name.casefold()]
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else ""


# ----------------------------------------------------------------------------- catalogues

_PACKAGES = ("compiler", "backends", "search", "training")


def all_errors() -> dict[str, type[Diagnostic]]:
    """Every mistake of every catalogue by its code, in order of the codes.

    A catalogue is a module ``errors*`` directly in ``rnndsl`` or in one of its packages; adding
    such a file is enough.  Raises ValueError when two classes claim one code.
    """
    found: dict[str, type[Diagnostic]] = {}
    for module in _catalogues():
        for value in vars(module).values():
            if not (isinstance(value, type) and issubclass(value, Diagnostic) and value.code):
                continue
            if value.__module__ != module.__name__:
                continue  # imported from another catalogue
            if value.code in found:
                raise ValueError(f"{value.code} is claimed by {found[value.code]} and {value}")
            found[value.code] = value
    return dict(sorted(found.items()))


def _catalogues() -> Sequence[ModuleType]:
    names = ["rnndsl", *(f"rnndsl.{name}" for name in _PACKAGES)]
    modules: list[ModuleType] = []
    for package in names:
        spec = importlib.util.find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        modules += (
            importlib.import_module(f"{package}.{module.name}")
            for module in pkgutil.iter_modules(folders or [])
            if module.name.startswith("errors")
        )
    return modules

"""``rnndsl list``: what there is, as a table."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnndsl.diagnostics import Diagnostic

Rows = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Listing:
    """A kind of thing that can be listed: its columns, and how to get its rows."""

    columns: tuple[str, ...]
    rows: Callable[[], Rows]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=tuple(LISTINGS), help="the kind of thing to list")


def run(args: argparse.Namespace) -> int:
    """Print a table: with rules and colours on a terminal, plain columns otherwise."""
    listing = LISTINGS[args.what]
    rows = listing.rows()
    if sys.stdout.isatty():
        _print_rich(listing.columns, rows)
    else:
        print(table(listing.columns, rows))
    return 0


def table(columns: tuple[str, ...], rows: Rows) -> str:
    """Aligned columns under their names; the last one is as long as its text."""
    lines = [columns, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    return "\n".join(
        "  ".join(f"{text:{width}}" for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _print_rich(columns: tuple[str, ...], rows: Rows) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        shown.add_column(column, no_wrap=column == columns[0])
    for row in rows:
        shown.add_row(*(Text(text) for text in row))
    Console().print(shown)


def _cells() -> Rows:
    from rnndsl.cell import list_cells, load

    return [(name, *_cell_columns(load(name).source.text, name)) for name in list_cells()]


def _cell_columns(text: str, name: str) -> tuple[str, str]:
    """The header of the library cell in a file, and its first comment's first sentence."""
    lines = text.splitlines()
    # The prose of the first comment; its equations are indented.
    prose = takewhile(lambda line: re.match(r"# ?\S", line), (x for x in lines if x[:1] == "#"))
    comments = " ".join(line.lstrip("# ") for line in prose)
    sentence = re.split(r"(?<=\.) +(?=[A-Z])", comments, maxsplit=1)[0]  # not after `et al.`
    headers = [line[5:].rstrip(":") for line in lines if line.startswith("cell ")]
    return headers[-1] if headers else name, sentence


def _passes() -> Rows:
    from rnndsl.compiler.pipeline import PASSES, PIPELINES

    def users(name: str) -> str:
        return ", ".join(k for k, p in PIPELINES.items() if name in str(p).split(","))

    return [(entry.name, users(entry.name), entry.doc) for entry in PASSES.values()]


def _pipelines() -> Rows:
    from rnndsl.compiler.pipeline import PIPELINES

    return [
        (name, _PIPELINES[name], str(pipeline).replace(",", ", "))
        for name, pipeline in PIPELINES.items()
    ]


_PIPELINES: Mapping[str, str] = {
    "none": "",
    "default": "lowered graph",
    "final": "forward graph",
    "backward": "backward graph",
    "compare": "canonical form",
}


def _backends() -> Rows:
    from importlib.util import find_spec

    found: Rows = []
    for name, (package, doc) in _BACKENDS.items():
        found.append((name, "installed" if find_spec(package) else "not installed", doc))
    return found


# Name, the package that it needs, and what it does.
_BACKENDS: Mapping[str, tuple[str, str]] = {
    "torch": ("torch", "generates PyTorch code; runs wherever PyTorch does"),
    "tvm": ("tvm", "generates one native kernel for a whole sequence"),
}


def _ops() -> Rows:
    from rnndsl.compiler.ops import OPS

    def arity(count: int | None) -> str:
        return "any" if count is None else str(count)

    return [(op.name, arity(op.arity), ", ".join(op.attrs), op.doc) for op in OPS.values()]


def _errors() -> Rows:
    from rnndsl.diagnostics import all_errors

    return [(code, _mistake(error)) for code, error in all_errors().items()]


def _mistake(error: type[Diagnostic]) -> str:
    """The title of an error, or if that depends on the case, what its class says of itself."""
    if "{" not in error.title:
        return error.title
    doc = (error.__doc__ or "").partition("\n")[0]
    if doc and not doc.startswith(f"{error.__name__}("):  # a dataclass without a docstring
        return doc[0].lower() + doc[1:].rstrip(".")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", error.__name__).lower()


LISTINGS: Mapping[str, Listing] = {
    "cells": Listing(("cell", "signature", "what it is"), _cells),
    "passes": Listing(("pass", "pipelines", "what it does"), _passes),
    "pipelines": Listing(("pipeline", "runs on the", "passes"), _pipelines),
    "backends": Listing(("backend", "state", "what it does"), _backends),
    "ops": Listing(("op", "operands", "attributes", "meaning"), _ops),
    "errors": Listing(("code", "mistake"), _errors),
}

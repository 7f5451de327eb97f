"""``rnndsl check``: look for mistakes in cell files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rnndsl.diagnostics import Diagnostic, RnndslError
from rnndsl.source import Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help=".rnn files")


def run(args: argparse.Namespace) -> int:
    """Check every file, print what was found; 1 when any has an error."""
    from rnndsl.checking.check import is_warning
    from rnndsl.render import render_all, use_color

    failed = False
    for path in args.files:
        found, sources = check_file(path)
        errors = [d for d in found if not is_warning(d)]
        if found:
            text = render_all(found, sources, color=use_color(sys.stderr))
            print(text, file=sys.stderr, end="\n\n")
        failed = failed or bool(errors)
        if not errors:
            print(f"{path}: no mistakes")
    return 1 if failed else 0


def check_file(path: Path) -> tuple[Sequence[Diagnostic], Sequence[Source]]:
    """All mistakes and warnings of a file's cells, and the texts that they point into."""
    from rnndsl.checking.check import check_cell, merge
    from rnndsl.loading import cells_of
    from rnndsl.parsing.reading import read_source

    try:
        cells = cells_of(read_source(path), path).values()
    except RnndslError as error:
        return error.diagnostics, error.sources
    found = merge(d for cell in cells for d in check_cell(cell).diagnostics)
    sources = {source.name: source for cell in cells for source in cell.sources()}
    in_order = sorted(found, key=lambda d: (d.span.file, d.span.start) if d.span else ("", 0))
    return in_order, tuple(sources.values())

"""Draws the pictures of the documentation: python docs/make_pictures.py

Writes docs/pictures/*.svg and the gallery docs/cells.md.  tests/test_pictures.py fails when a
file is not what this script would write, so run it after a change to a cell or to the drawing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill

from rnndsl.cell import list_cells, load
from rnndsl.showing.show import drawing

DOCS = Path(__file__).parent

# Unrolled loops repeat themselves: two rounds of them show the pattern.
NUMBERS: Mapping[str, Mapping[str, int]] = {
    "recurrent_highway_hypernetwork": {"depth": 2},
    "rhn": {"depth": 2},
}

# The pictures of the README come in two files, for pages that are light or dark whatever the
# reader's system says.
README_CELL = "lstm"

HEAD = """\
# The cells of the standard library

One time step of each: inputs and states enter at the bottom, results leave at the top, and
dashed lines carry the states to the next time step.  `rnndsl show CELL --svg FILE` draws any
cell like this.
"""


def pictures() -> dict[str, str]:
    """The text of every picture, by file name."""
    found = {}
    for name in list_cells():
        found[f"{name}.svg"] = drawing(load(name), NUMBERS.get(name))
    for theme in ("light", "dark"):
        cell = load(README_CELL)
        found[f"{README_CELL}-{theme}.svg"] = drawing(cell, theme=theme)
        found[f"{README_CELL}-stages-{theme}.svg"] = drawing(cell, theme=theme, stages=True)
    return found


def gallery() -> str:
    """docs/cells.md: each cell with what its file says of it, and its picture."""
    parts = [HEAD]
    for name in list_cells():
        lines = load(name).source.text.splitlines()
        comment = []
        for line in lines:  # the sentences of the first comment; equations follow, indented
            if not line.startswith("# ") or line.startswith("#  "):
                break
            comment.append(line[2:])
        numbers = NUMBERS.get(name, {})
        drawn = ", ".join(f"{key} = {value}" for key, value in numbers.items())
        note = f"\n\nDrawn with {drawn}." if drawn else ""
        picture = f"![One time step of {name}](pictures/{name}.svg)"
        parts.append(f"## {name}\n\n{fill(' '.join(comment), 96)}{note}\n\n{picture}\n")
    return "\n".join(parts)


def main() -> None:
    """Write all files; remove pictures of cells that are gone."""
    folder = DOCS / "pictures"
    folder.mkdir(exist_ok=True)
    texts = pictures()
    for stale in folder.glob("*.svg"):
        if stale.name not in texts:
            stale.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (DOCS / "cells.md").write_text(gallery(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Colours and fonts of a drawing, as a style sheet; one for light pages, one for dark ones."""

from __future__ import annotations

THEMES = ("auto", "light", "dark")
ROOT = "rnndsl"  # the class of every drawing

_FONTS = """\
text { text-anchor: middle; font-family: "Helvetica Neue", Helvetica, Arial, sans-serif }
.op { font: 15px "STIX Two Text", "Latin Modern Math", Cambria, "Times New Roman", serif }
.name { font: italic 15px "STIX Two Text", "Latin Modern Math", Cambria, "Times New Roman", serif }
.sub { font: 10.5px "STIX Two Text", "Latin Modern Math", Cambria, "Times New Roman", serif }
.word { font-size: 10.5px }
.wire, .loop { fill: none; stroke-width: 1.3; stroke-linecap: round }
.loop { stroke-dasharray: 4 3 }
.block { stroke-width: 1.2 }
"""

# Fill and outline of each kind of block.
_LIGHT = {
    "input": ("#ffffff", "#5b6673"),
    "state": ("#dceafb", "#2f6db5"),
    "next": ("#dceafb", "#2f6db5"),
    "output": ("#ffffff", "#5b6673"),
    "linear": ("#fdebcf", "#b9791c"),
    "gate": ("#fdebcf", "#b9791c"),
    "point": ("#ffffff", "#2b3440"),
    "function": ("#e8e2f7", "#6d55b5"),
}
_DARK = {
    "input": ("#161b22", "#9aa7b5"),
    "state": ("#152c47", "#6aa7ec"),
    "next": ("#152c47", "#6aa7ec"),
    "output": ("#161b22", "#9aa7b5"),
    "linear": ("#43300f", "#d9a24a"),
    "gate": ("#43300f", "#d9a24a"),
    "point": ("#0d1117", "#d5dde6"),
    "function": ("#2c2250", "#a18ee6"),
}
_PAGE = {
    "light": {"ink": "#1f2730", "quiet": "#5b6673", "wire": "#3c4652", "loop": "#2f6db5",
              "parallel": "#e6f3e8", "scan": "#fbeceb", "page": "#ffffff"},
    "dark": {"ink": "#e6edf3", "quiet": "#9aa7b5", "wire": "#b3bfcc", "loop": "#6aa7ec",
             "parallel": "#12291a", "scan": "#331a1c", "page": "#0d1117"},
}  # fmt: skip


def style_sheet(theme: str) -> str:
    """CSS for ``light``, ``dark``, or ``auto``, which follows the reader's setting."""
    if theme == "auto":
        dark = _scoped(_colours("dark"), "  ")
        light = _scoped(_FONTS + _colours("light"))
        return f"{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"
    return _scoped(_FONTS + _colours(theme))


def _scoped(rules: str, indent: str = "") -> str:
    """The rules for drawings alone: a page that holds one keeps its own style."""
    lines = rules.splitlines()
    return "".join(
        f"{indent}{', '.join(f'.{ROOT} {s}' for s in selectors.split(', '))} {{{body}\n"
        for selectors, body in (line.split(" {", 1) for line in lines)
    )


def _colours(theme: str) -> str:
    page, fills = _PAGE[theme], _LIGHT if theme == "light" else _DARK
    lines = [
        f"text {{ fill: {page['ink']} }}",
        f".quiet {{ fill: {page['quiet']} }}",
        f".page {{ fill: {page['page']} }}",
        f".wire {{ stroke: {page['wire']} }}",
        f".loop {{ stroke: {page['loop']} }}",
        f".head {{ fill: {page['wire']} }}",
        f".loop-head {{ fill: {page['loop']} }}",
        f".band.parallel {{ fill: {page['parallel']} }}",
        f".band.scan {{ fill: {page['scan']} }}",
    ]
    lines += [
        f".block.{kind} {{ fill: {fill}; stroke: {line} }}" for kind, (fill, line) in fills.items()
    ]
    return "\n".join(lines) + "\n"

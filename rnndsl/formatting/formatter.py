"""Syntax tree to canonical text: parsing it gives the tree back, formatting it gives it again."""

from __future__ import annotations

from collections.abc import Sequence

from rnndsl import syntax as s
from rnndsl.formatting.expressions import SUM, bracketed, expr_doc, separated, statement_doc
from rnndsl.formatting.pretty import STEP, Break, Doc, Group, Nest, WhenBroken, lay_out
from rnndsl.parsing.comments import Comments

WIDTH = 100


def format_file(file: s.File) -> str:
    """Canonical text of a file, with its comments and single blank lines between groups.

    A tree without source text is printed as ``format_cell`` prints its cells.
    """
    writer = _Writer(Comments(file.text, file.comments), has_source=bool(file.text))
    writer.file(file)
    return writer.text()


def format_cell(cell: s.CellDefinition) -> str:
    """Canonical text of one cell, declarations and equations apart; without comments."""
    writer = _Writer(Comments("", ()), has_source=False)
    writer.cell(cell, 0)
    return writer.text()


def format_expr(expr: s.Expr) -> str:
    """Canonical text of an expression, on one line."""
    return lay_out(Group(expr_doc(expr)), 0, 10**9)


class _Writer:
    """Collects lines; takes each comment from ``comments`` when its place comes."""

    def __init__(self, comments: Comments, has_source: bool) -> None:
        self.lines: list[str] = []
        self.comments = comments
        self.has_source = has_source
        self.after_header = True  # no blank line goes here

    def text(self) -> str:
        return "\n".join(self.lines) + "\n" if self.lines else ""

    # ---------------------------------------------------------------------------- lines

    def line(self, doc: Doc, depth: int, comment: str = "") -> None:
        indent = depth * STEP
        text = " " * indent + lay_out(Group(doc), indent, WIDTH)
        self.lines += (f"{text}  {comment}" if comment else text).split("\n")
        self.after_header = False

    def gap(self, wanted: bool) -> None:
        """A blank line, unless one is here already or a block has just begun."""
        if wanted and not self.after_header and self.lines[-1]:
            self.lines.append("")

    def own_comments(self, until: int, depth: int, column: int = 0) -> None:
        """Comments before ``until``, each on a line of its own."""
        for text, after_blank in self.comments.take(until, column):
            self.gap(after_blank)
            self.line(text, depth)

    def header(self, doc: Doc, depth: int, body: Sequence[s.Statement]) -> None:
        """The line above a block, with the comment that trails it."""
        inner, trailing = self.comments.of_header(body[0].span.start)
        for text in inner:
            self.line(text, depth)
        self.line(doc, depth, trailing)
        self.after_header = True

    # ---------------------------------------------------------------------------- files

    def file(self, file: s.File) -> None:
        end = len(file.text)
        starts = [item.span.start for item in file.imports]
        starts += [*(cell.span.start for cell in file.cells), end]
        if file.version is not None:
            at = self.comments.line_of("rnndsl", 0, starts[0])
            self.own_comments(at, 0)
            self.gap(self.comments.after_blank(at))
            version = f"rnndsl {file.version}"
            self.line(version, 0, self.comments.trailing(at + len(version)))
            self.gap(True)
        for item in file.imports:
            self.leaf(item, import_doc(item), 0)
        for cell, limit in zip(file.cells, starts[len(file.imports) + 1 :], strict=True):
            self.gap(True)
            self.own_comments(cell.span.start, 0)
            self.gap(self.comments.after_blank(cell.span.start))
            self.cell(cell, limit)
        self.own_comments(end + 1, 0)

    def cell(self, cell: s.CellDefinition, until: int) -> None:
        self.header(cell_doc(cell), 0, cell.body)
        self.body(cell.body, 1, until, split=not self.has_source)

    # ----------------------------------------------------------------------- statements

    def body(
        self, body: Sequence[s.Statement], depth: int, until: int, split: bool = False
    ) -> None:
        """The statements of a block; ``split`` sets its declarations apart."""
        column = self.comments.column(body[0].span.start)
        limits = [*(item.span.start for item in body[1:]), until]
        for at, (item, limit) in enumerate(zip(body, limits, strict=True)):
            if split and at and _declares(body[at - 1]) and not _declares(item):
                self.gap(True)
            self.statement(item, depth, limit)
        self.own_comments(until, depth, column)

    def statement(self, item: s.Statement, depth: int, until: int) -> None:
        match item:
            case s.For() | s.If():
                self.own_comments(item.span.start, depth)
                self.gap(self.comments.after_blank(item.span.start))
                if isinstance(item, s.For):
                    self.header(for_doc(item), depth, item.body)
                    self.body(item.body, depth + 1, until)
                else:
                    self.branches(item, "if", depth, until)
            case _:
                self.leaf(item, leaf_doc(item), depth)

    def branches(self, item: s.If, word: str, depth: int, until: int) -> None:
        """``if``, then ``elif`` for an `if` alone in the `else` block, then ``else``."""
        self.header((f"{word} ", statement_doc(item.test), ":"), depth, item.body)
        if not item.orelse:
            self.body(item.body, depth + 1, until)
            return
        first, start = item.orelse[0], item.orelse[0].span.start
        end = item.body[-1].span.end
        alone = len(item.orelse) == 1 and isinstance(first, s.If)
        at = self.comments.line_of("else", end, start)
        self.body(item.body, depth + 1, at)
        self.own_comments(start if alone else at, depth)
        if alone and isinstance(first, s.If):
            self.branches(first, "elif", depth, until)
        else:
            self.header("else:", depth, item.orelse)
            self.body(item.orelse, depth + 1, until)

    def leaf(self, item: s.Statement | s.Import, doc: Doc, depth: int) -> None:
        """A statement without a block; comments inside its brackets move above it."""
        start, end = item.span.start, item.span.end
        self.own_comments(start, depth)
        self.gap(self.comments.after_blank(start))
        for text, _ in self.comments.take(end):
            self.line(text, depth)
        self.line(doc, depth, self.comments.trailing(end))


def _declares(item: s.Statement) -> bool:
    return isinstance(item, s.Input | s.State | s.Param)


# ------------------------------------------------------------------- documents of statements


def cell_doc(cell: s.CellDefinition) -> Doc:
    """``cell NAME(D, H, depth = 5):``"""
    word = "space" if cell.is_space else "cell"
    parameters = (_parameter(item) for item in cell.parameters)
    return (f"{word} {cell.name}", bracketed("(", parameters, ")"), ":")


def _parameter(item: s.CellParameter) -> Doc:
    return item.name if item.default is None else (f"{item.name} = ", expr_doc(item.default))


def import_doc(item: s.Import) -> Doc:
    """``from "gates.rnn" import A, B``"""
    names = Nest((Break(""), *separated(item.names)))
    close = (WhenBroken(","), Break(""), WhenBroken(")"))
    return (f'from "{item.path}" import ', Group((WhenBroken("("), names, *close)))


def for_doc(item: s.For) -> Doc:
    """``for l in 0..depth:``"""
    # No brackets around: the range stays on its line.
    start, stop = (lay_out(Group(expr_doc(e, SUM)), 0, 10**9) for e in (item.start, item.stop))
    return f"for {item.variable} in {start}..{stop}:"


def leaf_doc(item: s.Statement) -> Doc:
    """A statement without a block."""
    match item:
        case s.Input():
            return (f"input {item.name}: ", _shape(item.shape))
        case s.State():
            return (f"state {item.name}: ", _shape(item.shape), *_init(item.init))
        case s.Param():
            frozen = " frozen" if item.frozen else ""
            return (f"param {item.name}: ", _shape(item.shape), *_init(item.init), frozen)
        case s.Assign():
            return (expr_doc(item.target), " = ", statement_doc(item.value))
        case s.Return():
            return ("return ", statement_doc(item.value))
    raise TypeError(f"{type(item).__name__} has a block")


def _shape(shape: Sequence[s.Expr]) -> Doc:
    return bracketed("[", map(expr_doc, shape), "]")


def _init(init: s.Expr | None) -> tuple[Doc, ...]:
    return () if init is None else (" = ", statement_doc(init))

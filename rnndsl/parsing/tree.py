"""Lark's parse tree to the syntax tree, with the rules that the grammar leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lark import Token, Tree
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive, v_args

from rnndsl import errors_syntax as errors
from rnndsl import syntax as s
from rnndsl.diagnostics import Diagnostic, RnndslError
from rnndsl.parsing.layout import MAX_DEPTH
from rnndsl.source import Source, Span


def build_file(
    source: Source, tree: Tree[Token], comments: tuple[tuple[int, str, bool], ...]
) -> s.File:
    """The syntax tree of a whole file; raises RnndslError with all mistakes found on the way."""
    builder = _Builder(source)
    file: s.File = builder.transform(tree)
    if builder.found:
        raise RnndslError(builder.found, source)
    version, imports, cells = file.version, file.imports, file.cells
    whole = Span(source.name, 0, len(source.text))
    return s.File(version, imports, cells, comments, source.text, span=whole)


GENERATED = "expr"  # the word of a generated hole, `?expr(...)`
KEYWORDS = frozenset(
    [
        "rnndsl",
        "from",
        "import",
        "cell",
        "space",
        "input",
        "state",
        "param",
        "frozen",
        "for",
        "in",
        "if",
        "elif",
        "else",
        "return",
        "or",
        "and",
        "not",
        "inf",
    ]
)


@dataclass(frozen=True, slots=True)
class _Bracketed:
    """``base[items]`` until it is known whether a call follows."""

    base: s.Expr
    items: tuple[s.Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class _Choices:
    """``a | b`` inside a hole."""

    options: tuple[s.Expr, ...]


def _placeholder(span: Span) -> s.Name:
    """Stands where a mistake was, in a tree that nobody gets to see."""
    return s.Name("_", False, span=span)


@v_args(meta=True)
class _Builder(Transformer_NonRecursive[Token, Any]):
    """One method for each rule of the grammar; without recursion, so that depth is no danger.

    ``depths`` holds the height of each expression built, by identity; the objects live as long
    as the builder through ``keep``, so no identity is used twice.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.found: list[Diagnostic] = []
        self.depths: dict[int, int] = {}
        self.keep: list[object] = []

    # ------------------------------------------------------------------------- helpers

    def span(self, meta: Meta) -> Span:
        return Span(self.source.name, meta.start_pos, meta.end_pos)

    def token_span(self, token: Token) -> Span:
        return Span(self.source.name, token.start_pos or 0, token.end_pos or 0)

    def node(self, made: s.Expr, *parts: Any) -> s.Expr:
        """Note the height of a new expression; beyond the limit a name stands for it."""
        depth = 1 + max((self.depths.get(id(part), 0) for part in parts), default=0)
        if depth == MAX_DEPTH + 1:
            self.found.append(errors.TooDeep(made.span, "expressions are", MAX_DEPTH))
        if depth > MAX_DEPTH:
            made, depth = _placeholder(made.span), MAX_DEPTH + 1
        self.depths[id(made)] = depth
        self.keep.append(made)
        return made

    def value(self, item: Any) -> s.Expr:
        """An expression in a place where brackets after it can only mean an index."""
        if not isinstance(item, _Bracketed):
            return item  # type: ignore[no-any-return]
        if len(item.items) != 1:
            reason = "one value in brackets selects an iteration"
            advice = "a function with a shape is called: `linear[H](x)`"
            self.found.append(errors.NotCallable(item.span, "indexed", reason, advice))
            return item.base
        return self.node(s.Index(item.base, item.items[0], span=item.span), item.base, *item.items)

    # --------------------------------------------------------------------------- files

    def file(self, meta: Meta, children: list[Any]) -> s.File:
        version, *rest = children
        imports = tuple(item for item in rest if isinstance(item, s.Import))
        cells = tuple(item for item in rest if isinstance(item, s.CellDefinition))
        return s.File(version, imports, cells, span=Span(self.source.name, 0, 0))

    def version(self, meta: Meta, children: list[Token]) -> int:
        return int(children[1])

    def import_(self, meta: Meta, children: list[Token]) -> s.Import:
        _, path, _, *names = children
        return s.Import(path[1:-1], tuple(map(str, names)), span=self.span(meta))

    def cell(self, meta: Meta, children: list[Any]) -> s.CellDefinition:
        kind, name, *rest = children
        parameters = tuple(item for item in rest if isinstance(item, s.CellParameter))
        body = tuple(rest[len(parameters) :])
        is_space = kind.type == "SPACE"
        return s.CellDefinition(str(name), parameters, body, is_space, span=self.span(meta))

    def cell_parameter(self, meta: Meta, children: list[Any]) -> s.CellParameter:
        name, default = children
        value = None if default is None else self.value(default)
        return s.CellParameter(str(name), value, span=self.span(meta))

    # ---------------------------------------------------------------------- statements

    def shape(self, meta: Meta, children: list[Any]) -> tuple[s.Expr, ...]:
        return tuple(map(self.value, children))

    def input(self, meta: Meta, children: list[Any]) -> s.Input:
        _, name, shape = children
        return s.Input(str(name), shape, span=self.span(meta))

    def state(self, meta: Meta, children: list[Any]) -> s.State:
        _, name, shape, init = children
        value = None if init is None else self.value(init)
        return s.State(str(name), shape, value, span=self.span(meta))

    def param(self, meta: Meta, children: list[Any]) -> s.Param:
        _, name, shape, init, frozen = children
        value = None if init is None else self.value(init)
        return s.Param(str(name), shape, value, frozen is not None, span=self.span(meta))

    def assign(self, meta: Meta, children: list[Any]) -> s.Assign:
        target, value = children
        return s.Assign(self.plain_name(target), self.value(value), span=self.span(meta))

    def return_(self, meta: Meta, children: list[Any]) -> s.Return:
        return s.Return(self.value(children[1]), span=self.span(meta))

    def block(self, meta: Meta, children: list[Any]) -> tuple[s.Statement, ...]:
        return tuple(children)

    def for_(self, meta: Meta, children: list[Any]) -> s.For:
        _, variable, _, start, stop, body = children
        span = self.span(meta)
        return s.For(str(variable), self.value(start), self.value(stop), body, span=span)

    def if_(self, meta: Meta, children: list[Any]) -> s.If:
        _, test, body, *elifs, _, orelse = children
        rest: tuple[s.Statement, ...] = orelse or ()
        end = meta.end_pos
        # `elif` is an `if` alone in the `else` block.
        for start, elif_test, elif_body in reversed(elifs):
            span = Span(self.source.name, start, end)
            rest = (s.If(elif_test, elif_body, rest, span=span),)
        return s.If(self.value(test), body, rest, span=self.span(meta))

    def elif_(self, meta: Meta, children: list[Any]) -> tuple[int, s.Expr, tuple[s.Statement, ...]]:
        _, test, body = children
        return meta.start_pos, self.value(test), body

    # --------------------------------------------------------------------- expressions

    def number(self, meta: Meta, children: list[Token]) -> s.Expr:
        text = str(children[0])
        value = int(text) if text.isdigit() else float(text)
        return self.node(s.Number(value, text, span=self.span(meta)))

    def text(self, meta: Meta, children: list[Token]) -> s.Expr:
        return self.node(s.Text(children[0][1:-1], span=self.span(meta)))

    def plain_name(self, token: Token) -> s.Name:
        primed = token.type == "PRIMED"
        word = str(token)[:-1] if primed else str(token)
        if primed and word in KEYWORDS:
            self.found.append(errors.KeywordAsName(self.token_span(token), word, f"{word}_"))
        return s.Name(word, primed, span=self.token_span(token))

    def name(self, meta: Meta, children: list[Token]) -> s.Expr:
        return self.node(self.plain_name(children[0]))

    def parenthesis(self, meta: Meta, children: list[Any]) -> s.Expr:
        return self.value(children[0])

    def unary(self, meta: Meta, children: list[Any]) -> s.Expr:
        operand = self.value(children[1])
        return self.node(s.Unary(str(children[0]), operand, span=self.span(meta)), operand)

    def binary(self, meta: Meta, children: list[Any]) -> s.Expr:
        left, right = self.value(children[0]), self.value(children[2])
        made = s.Binary(str(children[1]), left, right, span=self.span(meta))
        return self.node(made, left, right)

    def conditional(self, meta: Meta, children: list[Any]) -> s.Expr:
        value, _, test, _, orelse = children
        value, test, orelse = self.value(value), self.value(test), self.value(orelse)
        made = s.Conditional(value, test, orelse, span=self.span(meta))
        return self.node(made, value, test, orelse)

    def left_out(self, meta: Meta, children: list[Any]) -> s.Expr:
        value, test = self.value(children[0]), self.value(children[2])
        return self.node(s.Conditional(value, test, None, span=self.span(meta)), value, test)

    def attribute(self, meta: Meta, children: list[Any]) -> s.Expr:
        base, name = self.value(children[0]), self.plain_name(children[1])
        made = s.Attribute(base, name.name, name.primed, span=self.span(meta))
        return self.node(made, base)

    def bracket(self, meta: Meta, children: list[Any]) -> _Bracketed:
        base, *items = (self.value(child) for child in children if child is not None)
        return _Bracketed(base, tuple(items), self.span(meta))

    # --------------------------------------------------------------------------- calls

    def positional(self, meta: Meta, children: list[Any]) -> s.Argument:
        return s.Argument("", self.value(children[0]), span=self.span(meta))

    def named(self, meta: Meta, children: list[Any]) -> s.Argument:
        name, value = children
        return s.Argument(str(name), self.value(value), span=self.span(meta))

    def arguments(self, meta: Meta, children: list[s.Argument]) -> tuple[s.Argument, ...]:
        names: set[str] = set()
        for argument in children:
            if argument.name in names:
                what = f"the argument `{argument.name}` is given twice"
                self.found.append(errors.ArgumentOrder(argument.span, what, "given again"))
            if names and not argument.name:
                what = "an argument without a name follows one with a name"
                reason = "this should come before the named ones"
                self.found.append(errors.ArgumentOrder(argument.span, what, reason))
            names |= {argument.name} - {""}
        return tuple(children)

    def call(self, meta: Meta, children: list[Any]) -> s.Expr:
        callee, arguments = children
        span = self.span(meta)
        values = [argument.value for argument in arguments]
        match callee:
            case s.Name(primed=False) | s.Hole():
                return self.node(s.Call(callee, None, arguments, span=span), callee, *values)
            case _Bracketed(base=(s.Name(primed=False) | s.Hole()) as base, items=dims):
                return self.node(s.Call(base, dims, arguments, span=span), base, *dims, *values)
            case s.Call(callee=s.Name() as cell, dims=None, arguments=sizes):
                made = s.CellCall(cell, sizes, arguments, span=span)
                return self.node(made, callee, *values)
        return self.refuse_call(callee, span)

    def refuse_call(self, callee: Any, span: Span) -> s.Expr:
        reason, advice = "only a function, a cell or a choice of functions is called", ""
        if isinstance(callee, s.CellCall):
            reason = "a cell is called twice at most: with its sizes, then with its inputs"
        elif isinstance(callee, s.Call) and isinstance(callee.callee, s.Hole):
            reason = "a choice is called once"
            advice = "choose between whole calls: `?(LSTM(D, H)(x) | GRU(D, H)(x))`"
        elif isinstance(callee, s.Attribute):
            advice = "a function is called by its name alone: `tanh(v)`, `stop_grad(v)`"
        elif isinstance(callee, s.Number | s.Name):
            advice = "a product is written `a * b`"
        self.found.append(errors.NotCallable(callee.span, "called", reason, advice))
        return self.node(_placeholder(span))

    # --------------------------------------------------------------------------- holes

    def choices(self, meta: Meta, children: list[Any]) -> _Choices:
        return _Choices(tuple(map(self.value, children)))

    def hole(self, meta: Meta, children: list[Any]) -> s.Expr:
        first, kind, body = children
        span, name = self.span(meta), "" if first is None else str(first)
        if kind is not None and (not name or kind != GENERATED):
            return self.refuse_hole(span, f"after `?name:` only `{GENERATED}(...)` can stand")
        if kind is not None or name == GENERATED:
            if isinstance(body, _Choices):
                return self.refuse_hole(span, f"`?{GENERATED}` takes values, separated by `,`")
            values = [argument.value for argument in body]
            made = s.GeneratedHole("" if kind is None else name, body, span=span)
            return self.node(made, *values)
        options = body.options if isinstance(body, _Choices) else self.only_option(body)
        if options is None:
            return self.refuse_hole(span, "the options of a choice are separated by `|`")
        return self.node(s.Hole(name, options, span=span), *options)

    def only_option(self, arguments: tuple[s.Argument, ...]) -> tuple[s.Expr, ...] | None:
        """The option of `?(a)`; None when the brackets hold a list of arguments."""
        if len(arguments) != 1 or arguments[0].name:
            return None
        value = arguments[0].value
        is_left_out = isinstance(value, s.Conditional) and value.orelse is None
        return None if is_left_out else (value,)

    def refuse_hole(self, span: Span, reason: str) -> s.Expr:
        self.found.append(errors.MalformedHole(span, reason))
        return self.node(_placeholder(span))

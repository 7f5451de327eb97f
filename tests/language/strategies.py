"""Random syntax trees for property tests: everything the parser can build, and nothing else."""

from __future__ import annotations

from hypothesis import strategies as st

from rnndsl import syntax as s
from rnndsl.parsing.tree import GENERATED, KEYWORDS
from rnndsl.source import Span

NOWHERE = Span("<random>", 0, 0)

_NAMES = (
    *(
        [
            "a",
            "b",
            "x",
            "y",
            "h",
            "c",
            "D",
            "H",
            "_",
            "_1",
            "k2",
            "tanh",
            "linear",
            "inputs",
            "inf_",
            "exp",
            "nota",
        ]
    ),
    "a_rather_long_name_of_a_gate",  # long, so that lines must wrap
    "another_name_that_takes_much_of_a_line",
)
assert not {*_NAMES} & {*KEYWORDS, GENERATED}


def names() -> st.SearchStrategy[str]:
    """Names that are not words of the language."""
    return st.sampled_from(_NAMES)


def numbers() -> st.SearchStrategy[s.Expr]:
    def number(text: str) -> s.Number:
        return s.Number(int(text) if text.isdigit() else float(text), text, span=NOWHERE)

    written = [
        "0",
        "1",
        "2",
        "007",
        "9223372036854775807",
        "0.50",
        "0.1",
        "1e-3",
        "2E5",
        "3.0e+2",
        "1e300",
        "inf",
    ]
    return st.sampled_from([number(text) for text in written])


def plain_names() -> st.SearchStrategy[s.Name]:
    return st.builds(lambda n, p: s.Name(n, p, span=NOWHERE), names(), st.booleans())


def _functions() -> st.SearchStrategy[s.Name]:
    return names().map(lambda n: s.Name(n, False, span=NOWHERE))


def _texts() -> st.SearchStrategy[s.Expr]:
    texts = ("", "ij,j->i", "a # b", "it's", " ", "é")
    return st.sampled_from([s.Text(text, span=NOWHERE) for text in texts])


def expressions(max_leaves: int = 8) -> st.SearchStrategy[s.Expr]:
    """Expressions of every kind; those without ``else`` only where they may stand."""
    return st.recursive(numbers() | plain_names() | _texts(), _compound, max_leaves=max_leaves)


def _compound(inner: st.SearchStrategy[s.Expr]) -> st.SearchStrategy[s.Expr]:
    arguments = _arguments(inner)
    some = st.lists(inner, min_size=1, max_size=3).map(tuple)
    operators = st.sampled_from(
        ["+", "-", "*", "/", "@", "**", "<", "<=", ">", ">=", "==", "!=", "and", "or"]
    )
    holes = st.builds(lambda n, o: s.Hole(n, o, span=NOWHERE), st.just("") | names(), some)
    callees = _functions() | holes
    dims = st.none() | st.lists(inner, max_size=3).map(tuple)
    return st.one_of(
        st.builds(lambda op, a, b: s.Binary(op, a, b, span=NOWHERE), operators, inner, inner),
        st.builds(lambda op, a: s.Unary(op, a, span=NOWHERE), st.sampled_from(["-", "not"]), inner),
        st.builds(lambda a, t, b: s.Conditional(a, t, b, span=NOWHERE), inner, inner, inner),
        st.builds(
            lambda a, n, p: s.Attribute(a, n, p, span=NOWHERE), inner, names(), st.booleans()
        ),
        st.builds(lambda a, i: s.Index(a, i, span=NOWHERE), inner, inner),
        st.builds(lambda c, d, a: s.Call(c, d, a, span=NOWHERE), callees, dims, arguments),
        st.builds(
            lambda c, z, a: s.CellCall(c, z, a, span=NOWHERE), _functions(), arguments, arguments
        ),
        holes,
        st.builds(
            lambda n, a: s.GeneratedHole(n, a, span=NOWHERE), st.just("") | names(), arguments
        ),
    )


def _arguments(inner: st.SearchStrategy[s.Expr]) -> st.SearchStrategy[tuple[s.Argument, ...]]:
    left_out = st.builds(lambda a, t: s.Conditional(a, t, None, span=NOWHERE), inner, inner)
    values = inner | left_out

    def join(positional: list[s.Expr], named: dict[str, s.Expr]) -> tuple[s.Argument, ...]:
        first = [s.Argument("", value, span=NOWHERE) for value in positional]
        return (*first, *(s.Argument(n, v, span=NOWHERE) for n, v in named.items()))

    return st.builds(
        join, st.lists(values, max_size=3), st.dictionaries(names(), values, max_size=2)
    )


# ---------------------------------------------------------------------------- statements


def statements(depth: int = 1) -> st.SearchStrategy[s.Statement]:
    """Statements with blocks nested up to ``depth``."""
    value = expressions(5)
    shape = st.lists(expressions(3), max_size=2).map(tuple)
    maybe = st.none() | value
    flat: st.SearchStrategy[s.Statement] = st.one_of(
        st.builds(lambda n, z: s.Input(n, z, span=NOWHERE), names(), shape),
        st.builds(lambda n, z, i: s.State(n, z, i, span=NOWHERE), names(), shape, maybe),
        st.builds(
            lambda n, z, i, f: s.Param(n, z, i, f, span=NOWHERE),
            names(),
            shape,
            maybe,
            st.booleans(),
        ),
        st.builds(lambda t, v: s.Assign(t, v, span=NOWHERE), plain_names(), value),
        st.builds(lambda v: s.Return(v, span=NOWHERE), value),
    )
    if depth == 0:
        return flat
    body = st.lists(statements(depth - 1), min_size=1, max_size=2).map(tuple)
    # Only what binds tighter than a comparison may stand beside `..` without brackets.
    return st.one_of(
        flat,
        st.builds(lambda n, a, b, y: s.For(n, a, b, y, span=NOWHERE), names(), value, value, body),
        st.builds(lambda t, y, o: s.If(t, y, o, span=NOWHERE), value, body, st.just(()) | body),
    )


def cells() -> st.SearchStrategy[s.CellDefinition]:
    parameters = st.dictionaries(names(), st.none() | expressions(2), max_size=3).map(
        lambda p: tuple(s.CellParameter(n, v, span=NOWHERE) for n, v in p.items())
    )
    body = st.lists(statements(), min_size=1, max_size=3).map(tuple)
    return st.builds(
        lambda n, p, b, k: s.CellDefinition(n, p, b, k, span=NOWHERE),
        names(),
        parameters,
        body,
        st.booleans(),
    )


def files() -> st.SearchStrategy[s.File]:
    path = st.sampled_from(["a.rnn", "../b/c.rnn", ""])
    some_names = st.lists(names(), min_size=1, max_size=6).map(tuple)
    imports = st.lists(
        st.builds(lambda p, n: s.Import(p, n, span=NOWHERE), path, some_names), max_size=2
    ).map(tuple)
    return st.builds(
        lambda v, i, c: s.File(v, i, c, span=NOWHERE),
        st.none() | st.just(1),
        imports,
        st.lists(cells(), max_size=2).map(tuple),
    )

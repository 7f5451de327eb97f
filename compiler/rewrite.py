"""Rewriting by rules: a rule is an identity between two ways to compute the same value.

Most rules are text: ``law("sub(x, neg(y))", "add(x, y)")``.  In it a letter stands for any
value, a number for a constant of that value, and commutative ops match in both orders.
Rules about shapes are functions.  A rule must make a graph smaller or more canonical, so
that rewriting ends; the driver stops with the names of the rules if it does not.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Attrs, AttrValue, Graph, Node, Type
from rnndsl.compiler.ops import OPS
from rnndsl.dims import Dim
from rnndsl.source import Span


class Grade(IntEnum):
    """How exactly the two sides of a rule agree, in values and in gradients."""

    EXACT = 0  # to the last bit, for every value, infinities and not-a-numbers included
    ZERO_SIGN = 1  # but for the sign of a zero, which no cell's meaning depends on
    ROUNDED = 2  # but for the last bits, which are no worse than before
    REAL = 3  # for real numbers only; or the values agree, but not the gradients at a kink


class RewriteError(RuntimeError):
    """Rewriting did not come to an end; the message names the rules that kept applying."""


# Given a node whose operands are rewritten already: the value that replaces it, or None.
Apply = Callable[["Rewriter", Node], int | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """An identity.  ``name`` states it, ``op`` is the op of the node that it replaces.

    It applies only where the ops that make the operands include ``needs``.
    """

    name: str
    op: str
    grade: Grade
    apply: Apply
    needs: frozenset[str] = frozenset()


# --- rules as text ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Term:
    """A pattern: a call of ``head`` if it has arguments, else a variable or a number."""

    head: str | float
    args: tuple[Term, ...] = ()


def law(left: str, right: str, grade: Grade = Grade.EXACT) -> Rule:
    """The rule that replaces ``left`` by ``right``; both are calls as in Python."""
    pattern, built = parse_term(left), parse_term(right)

    def apply(rewriter: Rewriter, node: Node) -> int | None:
        found: dict[str, int] = {}
        if not _match_args(rewriter, pattern, node.op, node.operands, found):
            return None
        return _build(rewriter, built, found, node.type.shape)

    needs = frozenset(
        "full" if isinstance(arg.head, float) else arg.head
        for arg in pattern.args
        if arg.args or isinstance(arg.head, float)
    )
    return Rule(f"{left} = {right}", str(pattern.head), grade, apply, needs)


def parse_term(text: str) -> Term:
    """The term of ``sub(x, 1)``; ValueError if the text is not one."""

    def read(tree: ast.expr) -> Term:
        match tree:
            case ast.Call(func=ast.Name(id=head), args=args) if args:
                return Term(head, tuple(read(arg) for arg in args))
            case ast.Name(id=name):
                return Term(name)
            case ast.Constant(value=int() | float() as number):
                return Term(float(number))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return Term(-float(number))
        raise ValueError(f"not a term: {text!r}")

    return read(ast.parse(text, mode="eval").body)


def _match(rewriter: Rewriter, term: Term, value: int, found: dict[str, int]) -> bool:
    if isinstance(term.head, float):
        return rewriter.constant(value) == term.head
    if not term.args:
        return found.setdefault(term.head, value) == value
    node = rewriter.node(value)
    return node is not None and _match_args(rewriter, term, node.op, node.operands, found)


def _match_args(
    rewriter: Rewriter, term: Term, op: str, operands: Sequence[int], found: dict[str, int]
) -> bool:
    if op != term.head or len(operands) != len(term.args):
        return False
    orders = [operands, operands[::-1]] if OPS[op].commutative else [operands]
    for order in orders:
        trial = dict(found)
        if all(_match(rewriter, t, v, trial) for t, v in zip(term.args, order, strict=True)):
            found.update(trial)
            return True
    return False


def _build(rewriter: Rewriter, term: Term, found: Mapping[str, int], shape: tuple[Dim, ...]) -> int:
    if isinstance(term.head, float):
        return rewriter.op("full", value=term.head, shape=shape)
    if not term.args:
        return found[term.head]
    return rewriter.op(term.head, *(_build(rewriter, t, found, shape) for t in term.args))


# --- the driver -------------------------------------------------------------------------------


class Rewriter:
    """Builds a graph node by node and tries the rules on each; what rules work with."""

    def __init__(self, rules: Iterable[Rule], may_unbatch: bool) -> None:
        self.fired: Counter[str] = Counter()
        self._builder = Builder()
        self._rules: dict[str, list[Rule]] = {}
        self._uses: Counter[int] = Counter()
        self._may_unbatch = may_unbatch
        self._span: Span | None = None
        self._active: list[str] = []  # the rules whose right sides are being built
        for rule in rules:
            self._rules.setdefault(rule.op, []).append(rule)

    def type_of(self, value: int) -> Type:
        return self._builder.type_of(value)

    def node(self, value: int, op: str | None = None) -> Node | None:
        """The node behind a value; None for a leaf, or if ``op`` is given and not its op."""
        entry = self._builder.definition(value)
        return entry if isinstance(entry, Node) and op in (None, entry.op) else None

    def constant(self, value: int) -> float | None:
        """The number that a ``full`` holds, None for any other value."""
        node = self.node(value, "full")
        return float(node.attr("value")) if node else None  # type: ignore[arg-type]

    def used_once(self, value: int) -> bool:
        """Whether only one node or result reads a value (false for values made just now)."""
        return self._uses[value] == 1

    def op(self, op: str, *operands: int, **attrs: AttrValue) -> int:
        """A new node, itself rewritten."""
        return self._emit(op, operands, tuple(sorted(attrs.items())))

    def same(self, node: Node, *operands: int) -> int:
        """The op and attributes of ``node`` on other operands."""
        return self._emit(node.op, operands, node.attrs)

    def sweep(self, graph: Graph) -> Graph:
        """The graph with the rules applied once from top to bottom."""
        uses = Counter(v for node in graph.nodes for v in node.operands)
        uses.update(result.value for result in graph.results)
        handles = [self._builder.leaf(f.name, f.role, f.type, f.span) for f in graph.leaves]
        for value, node in graph.node_values():
            self._span = node.span
            # What stands for a value has its type, unless it may be shared where that is not.
            kind = None if self._may_unbatch else node.type
            operands = tuple([handles[v] for v in node.operands])
            handle = self._emit(node.op, operands, node.attrs, kind, node.name)
            entry = self._builder.definition(handle)
            if node.name and isinstance(entry, Node) and not entry.name:
                self._builder.rename(handle, node.name)
            self._uses[handle] += uses[value]
            handles.append(handle)
        for result in graph.results:
            self._builder.result(result.name, result.role, handles[result.value])
        return prune(self._builder.finish(graph.name)) if self.fired else graph

    def _emit(
        self,
        op: str,
        operands: tuple[int, ...],
        attrs: Attrs,
        kind: Type | None = None,
        name: str = "",
    ) -> int:
        if OPS[op].commutative and self._order(operands[0]) > self._order(operands[1]):
            operands = operands[::-1]
            self.fired[f"{op} is commutative"] += 1
        handle = self._builder.node(op, operands, attrs, name, self._span, kind)
        rules = self._rules.get(op)
        if rules is None:
            return handle
        node = self.node(handle)
        assert node is not None
        made = [self._builder.definition(v) for v in operands]
        ops = {entry.op for entry in made if isinstance(entry, Node)}
        for rule in rules:
            if not rule.needs <= ops:
                continue
            self._active.append(rule.name)
            if len(self._active) > DEPTH_LIMIT:
                raise _endless(self._active)
            found = rule.apply(self, node)
            self._active.pop()
            if found is not None and self._replaces(found, node.type):
                self.fired[rule.name] += 1
                return found
        return handle

    def _order(self, value: int) -> tuple[bool, int]:
        """Operands of commutative ops stand in order of definition, constants last."""
        return self.node(value, "full") is not None, value

    def _replaces(self, value: int, kind: Type) -> bool:
        """A batched value stays batched: results and sums over the batch need it to be."""
        found = self.type_of(value)
        return found == kind or (self._may_unbatch and found.shape == kind.shape)


SWEEP_LIMIT = 50
DEPTH_LIMIT = 100  # right sides that are rewritten while building right sides


def _endless(rules: Iterable[str]) -> RewriteError:
    names = ", ".join(f"`{name}`" for name in sorted(set(rules)))
    return RewriteError(f"these rules keep applying: {names}")


def rewrite(graph: Graph, rules: Iterable[Rule], may_unbatch: bool = False) -> Graph:
    """Apply rules until none fits; the same object if none ever did.

    ``may_unbatch`` lets a shared value replace a batched one, for graphs that are only
    compared.  RewriteError if that has no end.
    """
    rules = tuple(rules)
    for _ in range(SWEEP_LIMIT):
        rewriter = Rewriter(rules, may_unbatch)
        changed = rewriter.sweep(graph)
        if changed is graph:
            return graph
        graph = changed
    raise _endless(rewriter.fired)

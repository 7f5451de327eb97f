"""Factor-adjoints: what recurs in a backward graph is multiplied once, by a factor made before.

A backward step is linear in the cotangents that it carries: each value is a carried one times
derivatives, which do not recur.  So ``(d x) y`` becomes ``d (x y)``, ``d x - d y`` becomes
``d (x - y)``, and ``concat(d x, e y)`` becomes ``concat(d, e) concat(x, y)``; the factors are
computed for all time steps at once.  Results differ by rounding: sums and products are taken
in another order, before what they have in common is multiplied in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.passes.cse import cse
from rnndsl.compiler.recurrence import recurrence_of

# Ops that multiply a recurring operand by something: its factor takes that in.
_SCALING = frozenset({"mul", "div", "neg"})


@dataclass(frozen=True, slots=True)
class _Term:
    """``base`` times ``factor``, or less that; a factor of None is 1.  Values of the builder."""

    base: int
    factor: int | None = None
    is_negative: bool = False


def factor_adjoints(graph: Graph) -> Graph:
    """Write recurring values as recurring ones times factors that do not recur."""
    # What is used once, or no longer recurs, shows only when the rest is gone.
    while (changed := _factored(graph)) is not graph:
        graph = cse(changed)
    return graph


def _factored(graph: Graph) -> Graph:
    factoring = _Factoring(graph)
    for value, node in graph.node_values():
        factoring.add(value, node)
    if not factoring.gains:
        return graph
    for result in graph.results:
        handle = factoring.handles[result.value]
        factoring.builder.result(result.name, result.role, handle)
    return prune(factoring.builder.finish(graph.name))


class _Factoring:
    """Builds the graph; the ``terms`` of a value of ``graph`` add up to it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.gains = 0
        self.builder = Builder()
        self.handles = [self.builder.leaf(f.name, f.role, f.type, f.span) for f in graph.leaves]
        self.terms: dict[int, tuple[_Term, ...]] = {}
        self._home = recurrence_of(graph)
        # The ops that read a value in its recurrence, and those that need it for itself.
        self._uses: Counter[int] = Counter(result.value for result in graph.results)
        self._needs: Counter[int] = Counter(self._uses)
        for value, node in graph.node_values():
            together = [v for v in node.operands if self._recur_together(value, v)]
            self._uses.update(together)
            self._needs.update(together if node.op not in _SCALING else ())

    def _recur_together(self, value: int, operand: int) -> bool:
        return value in self._home and self._home[value] == self._home.get(operand)

    def add(self, value: int, node: Node) -> None:
        """Copy a node, or write it as terms."""
        made = None
        recurring = [v for v in node.operands if self._recur_together(value, v)]
        if len(recurring) == 1 and node.op in _SCALING:
            made = self._scaled(value, node, *recurring)
        elif recurring and node.op in ("add", "sub"):
            made = self._summed(value, node)
        elif recurring and node.op == "concat":
            made = self._joined(value, node)
        if made is None:
            made = self.builder.keep(node, tuple([self.handles[v] for v in node.operands]))
        else:
            self.gains += 1
            self.builder.rename(made, node.name)
        self.handles.append(made)

    def _scaled(self, value: int, node: Node, recurring: int) -> int | None:
        """A recurring value negated, or times or divided by one that does not recur."""
        if node.op == "div" and recurring != node.operands[0]:
            return None
        is_free = self._uses[recurring] == 1 or not self._needs[recurring]
        single = self._single(recurring, is_free)
        others = [self.handles[v] for v in node.operands if v != recurring]
        factor = self._times(node, single.factor, others)
        self.terms[value] = (_Term(single.base, factor),)
        return None if single.factor is None else self._made(self.terms[value])

    def _single(self, operand: int, may_split: bool) -> _Term:
        """A value as one term with a sign of plus: its own, if it may be used so."""
        found = self.terms.get(operand, ())
        is_single = may_split and len(found) == 1 and not found[0].is_negative
        return found[0] if is_single else _Term(self.handles[operand])

    def _times(self, node: Node, factor: int | None, others: Sequence[int]) -> int:
        if factor is None and node.op == "mul":
            return others[0]
        if factor is None:
            factor = self.builder.full(1, node.type.shape)
        return self.builder.op(node.op, factor, *others, span=node.span)

    def _summed(self, value: int, node: Node) -> int | None:
        """A sum; terms of one base become one."""
        left, right = (self._parts(value, v) for v in node.operands)
        if node.op == "sub":
            right = tuple(replace(t, is_negative=not t.is_negative) for t in right)
        groups: dict[int, list[_Term]] = {}
        for term in (*left, *right):
            groups.setdefault(term.base, []).append(term)
        self.terms[value] = tuple(self._merged(group) for group in groups.values())
        if len(groups) == len(left) + len(right):
            return None
        return self._made(self.terms[value])

    def _parts(self, value: int, operand: int) -> tuple[_Term, ...]:
        """The terms of an operand that is a part of this sum alone, else itself."""
        found = self.terms.get(operand, ())
        is_part = self._recur_together(value, operand) and (
            len(found) == 1 or self._uses[operand] == 1
        )
        return found if found and is_part else (_Term(self.handles[operand]),)

    def _merged(self, group: Sequence[_Term]) -> _Term:
        """Terms of one base as one term."""
        first, *rest = sorted(group, key=lambda term: term.is_negative)
        if not rest:
            return first
        factor = self._factor(first)
        for term in rest:
            op = "add" if term.is_negative == first.is_negative else "sub"
            factor = self.builder.op(op, factor, self._factor(term))
        return _Term(first.base, factor, first.is_negative)

    def _factor(self, term: _Term) -> int:
        if term.factor is not None:
            return term.factor
        return self.builder.full(1, self.builder.type_of(term.base).shape)

    def _joined(self, value: int, node: Node) -> int | None:
        """A concat of values with factors, where that computes fewer values."""
        terms = [self._single(operand, self._uses[operand] == 1) for operand in node.operands]
        if sum(term.factor is not None for term in terms) < 2:
            return None
        axis = node.attr("axis")
        bases = self.builder.op("concat", *(t.base for t in terms), axis=axis)
        factors = self.builder.op("concat", *(self._factor(t) for t in terms), axis=axis)
        self.terms[value] = (_Term(bases, factors),)
        return self._made(self.terms[value])

    def _made(self, terms: Sequence[_Term]) -> int:
        """The sum of terms, positive ones first."""
        total: int | None = None
        for term in sorted(terms, key=lambda term: term.is_negative):
            part = term.base
            if term.factor is not None:
                part = self.builder.op("mul", term.base, term.factor)
            if total is None:
                total = self.builder.op("neg", part) if term.is_negative else part
            else:
                total = self.builder.op("sub" if term.is_negative else "add", total, part)
        assert total is not None
        return total

"""Order-products: a product of several factors is taken in the cheapest order.

``(U diag(z) V) h`` becomes ``U (z (V h))``, and ``(W outer(a, b)) h`` becomes ``a (W (b h))``: a
weight that is made anew for each example, only to be multiplied by a vector, is never made.  Nested
contractions and elementwise products are seen as one einsum, whose order is searched
(see product_order.py).  Results differ by rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rnndsl.compiler.autodiff import prune
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, Node
from rnndsl.compiler.op_types import ints_attr, parse_spec
from rnndsl.compiler.product_order import (
    MOST_FACTORS,
    RECURRING,
    SHARED,
    STREAMED,
    Factor,
    Pair,
    Tree,
    best_order,
    cost_of,
)
from rnndsl.compiler.recurrence import recurrence_of
from rnndsl.dims import DimError

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_OPEN_SIZE = 240  # of dimensions without a size yet
# Another order must be this much cheaper: estimates are rough, and the user wrote this one.
_GAIN = 0.8


@dataclass(slots=True)
class _Product:
    """An einsum: the values of its factors with their letters, and the tree that it is now."""

    values: list[int] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    inner: set[int] = field(default_factory=set)  # the nodes that it consists of
    contracts: int = 0


def order_products(graph: Graph) -> Graph:
    """Reorder products of three or more factors where another order is cheaper."""
    found = dict(_Finder(graph).reordered())
    if not found:
        return graph
    builder = Builder()
    handles = [builder.leaf(f.name, f.role, f.type, f.span) for f in graph.leaves]
    for value, node in graph.node_values():
        if value not in found:
            handles.append(builder.keep(node, tuple([handles[v] for v in node.operands])))
            continue
        product, tree = found[value]
        handles.append(_emit(builder, node, [handles[v] for v in product.values], product, tree)[0])
        builder.rename(handles[-1], node.name)
    for result in graph.results:
        builder.result(result.name, result.role, handles[result.value])
    return prune(builder.finish(graph.name))


def _emit(
    builder: Builder, root: Node, handles: list[int], product: _Product, tree: Tree
) -> tuple[int, str]:
    """The value of a tree, with its letters."""
    if isinstance(tree, int):
        return handles[tree], product.letters[tree]
    left, own = _emit(builder, root, handles, product, tree.left)
    right, other = _emit(builder, root, handles, product, tree.right)
    spec = f"{own},{other}->{tree.letters}"
    made = builder.op("contract", left, right, span=root.span, spec=spec, sum_batch=False)
    return made, tree.letters


class _Finder:
    """Finds the products of a graph, each as large as can be."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.bound = graph.bind(dict.fromkeys(graph.dims, _OPEN_SIZE))
        self.home = recurrence_of(graph)
        self.uses = Counter(v for node in graph.nodes for v in node.operands)
        self.uses.update(result.value for result in graph.results)
        self.fresh = iter(_ALPHABET)

    def reordered(self) -> Iterator[tuple[int, tuple[_Product, Tree]]]:
        inside: set[int] = set()
        for value, node in reversed(list(self.graph.node_values())):
            if value in inside or not self._multiplies(node):
                continue
            self.fresh = iter(_ALPHABET)
            output = "".join(next(self.fresh) for _ in range(node.type.rank))
            product = _Product()
            try:
                current = self._collect(value, node, output, product)
            except StopIteration:  # more axes than letters
                continue
            if product.contracts and 3 <= len(product.values) <= MOST_FACTORS:
                tree = self._better(product, current, output)
                if tree is not None:
                    inside |= product.inner
                    yield value, (product, tree)

    def _multiplies(self, node: Node) -> bool:
        if node.op == "contract":
            return not node.attr("sum_batch")
        return node.op == "mul" and node.type.batched

    def _collect(self, value: int, node: Node, output: str, product: _Product) -> Tree:
        """Add the factors of a node whose axes have the letters ``output``; its tree."""
        product.inner.add(value)
        product.contracts += node.op == "contract"
        if node.op == "mul":
            parts = (output, output)
        else:
            left, right, out = parse_spec(node.attr("spec"))
            names = dict(zip(out, output, strict=True))
            for letter in left + right:
                if letter not in names:
                    names[letter] = next(self.fresh)
            parts = ("".join(names[c] for c in left), "".join(names[c] for c in right))
        first, second = zip(node.operands, parts, strict=True)
        return Pair(self._factor(*first, product), self._factor(*second, product), output)

    def _factor(self, value: int, letters: str, product: _Product) -> Tree:
        node = self.graph.definition(value)
        if isinstance(node, Node) and self.uses[value] == 1 and self._multiplies(node):
            return self._collect(value, node, letters, product)
        if isinstance(node, Node) and node.op == "broadcast":
            axes = ints_attr(dict(node.attrs), "axes")
            value, letters = node.operands[0], "".join(letters[k] for k in axes)
        product.values.append(value)
        product.letters.append(letters)
        return len(product.values) - 1

    def _better(self, product: _Product, current: Tree, output: str) -> Tree | None:
        """The best order, if it is worth the change."""
        factors, sizes = [], dict[str, int]()
        for value, letters in zip(product.values, product.letters, strict=True):
            try:
                sizes |= dict(zip(letters, self.bound.type_of(value).sizes, strict=True))
            except DimError:
                return None
            factors.append(Factor(letters, self._level(value)))
        if set(output) - sizes.keys():
            return None
        tree, cost = best_order(factors, output, sizes)
        return tree if cost < _GAIN * cost_of(current, factors, output, sizes) else None

    def _level(self, value: int) -> int:
        if not self.graph.type_of(value).batched:
            return SHARED
        return RECURRING if value in self.home else STREAMED

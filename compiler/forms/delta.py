"""Matrix states that are read back before they are written: the delta rule, block by block.

``S' = f * S + u w`` with ``w = g p + c``, where ``p`` is a product of the state before the step
with a vector q.  Within a block p depends on earlier w, so all w of the block are the solution of
a triangular system, I - g G with the strictly lower scores G of q and u.  Its inverse is built by
blocks of 1, 2, 4 ... steps, as stable as taking the steps; then w is linear in the state before
the block, and the rest is as for any matrix state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.forms.decay import time_last
from rnndsl.compiler.forms.factors import varying_axes
from rnndsl.compiler.forms.matrix_scan import Factor, MatrixScan
from rnndsl.compiler.forms.parts import AXES, Part, times
from rnndsl.compiler.forms.reduce import Reducer
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole
from rnndsl.compiler.op_types import parse_spec
from rnndsl.compiler.plan import Stage
from rnndsl.dims import dim


@dataclass(frozen=True, slots=True)
class Delta:
    """A scan of this kind; all numbers are values of the graph.

    ``key`` and ``query`` come with the letters of the state's axes that they have, ``read`` and
    ``written`` (p and w) with those that they share.
    """

    state: str
    leaf: int
    result: int
    outer: int
    factor: int | None
    key: tuple[int, str]
    query: tuple[int, str]
    read: int
    written: int
    letters: str


def find_delta(graph: Graph, stage: Stage) -> Delta | None:
    """The scan as one of this kind, if it is."""
    if len(stage.states) != 1:
        return None
    (state,) = stage.states
    leaf = graph.leaf_index(state, LeafRole.STATE)
    (result,) = [r.value for r in graph.results_of(ResultRole.STATE) if r.name == state]
    inside, last = {*stage.values, leaf}, graph.definition(result)
    if not isinstance(last, Node) or last.op != "add":
        return None
    outer = next((v for v in last.operands if _op(graph, v) == "contract"), None)
    kept = next((v for v in last.operands if v != outer), None)
    reads = [v for v in stage.values if leaf in graph.definition(v).operands and v != result]  # type: ignore[union-attr]
    factor: int | None = None
    if kept != leaf:
        scaled = graph.definition(kept) if kept is not None else None
        if not isinstance(scaled, Node) or scaled.op != "mul" or leaf not in scaled.operands:
            return None
        (factor,) = [v for v in scaled.operands if v != leaf]
        reads = [v for v in reads if v != kept]
    if outer is None or len(reads) != 1 or _op(graph, reads[0]) != "contract":
        return None
    product, made = graph.definition(reads[0]), graph.definition(outer)
    assert isinstance(product, Node) and isinstance(made, Node)
    left, right, output = parse_spec(made.attr("spec"))
    if set(left + right) != set(output) or sum(v in inside for v in made.operands) != 1:
        return None
    place = 0 if made.operands[0] in inside else 1
    names = dict(zip(output, AXES, strict=False))
    written, key = ("".join(names[x] for x in word) for word in (left, right)[:: 1 - 2 * place])
    left, right, output = parse_spec(product.attr("spec"))
    at = product.operands.index(leaf)
    if product.operands[1 - at] in inside:
        return None
    names = dict(zip((left, right)[at], AXES, strict=False))
    query = "".join(names.get(x, "") for x in (left, right)[1 - at])
    read = "".join(names.get(x, "") for x in output)
    if len(query) != len((left, right)[1 - at]) or read != written or set(query) != set(key):
        return None
    return Delta(
        state,
        leaf,
        result,
        outer,
        factor,
        (made.operands[1 - place], key),
        (product.operands[1 - at], query),
        reads[0],
        made.operands[place],
        written,
    )


def _op(graph: Graph, value: int) -> str:
    node = graph.definition(value)
    return node.op if isinstance(node, Node) else ""


class UnsolvedError(ValueError):
    """What is written is not linear in what is read, with a factor for each whole row."""


@dataclass(frozen=True, slots=True)
class _Affine:
    """``gain`` [L, *shared letters] times what is read, plus ``rest`` [L, *letters]."""

    gain: int | None = None
    rest: int | None = None


class DeltaBlock:
    """Solves one block of such a scan."""

    def __init__(
        self,
        builder: Builder,
        graph: Graph,
        reducer: Reducer,
        length: int,
        timed: Callable[[int], int],
    ) -> None:
        self.b, self.graph, self.reducer = builder, graph, reducer
        self.length, self.timed = length, timed

    def solve(self, found: Delta, state: Part, factor: Factor) -> tuple[MatrixScan, int, int]:
        """The scan with w as one side, and the streams p and w."""
        key = Part(self.timed(found.key[0]), found.key[1])
        query = Part(self.timed(found.query[0]), found.query[1])
        shared = "".join(x for x in found.letters if x in key.letters)
        written = self._affine(found.written, found, shared)
        if written.gain is None or written.rest is None:
            raise UnsolvedError
        # Sides in order of their letters, so that products keep theirs.
        blank = MatrixScan(self.b, self.length, state, (key, Part(-1, found.letters)), factor)
        if blank.side == 1:
            raise UnsolvedError
        scores = self._later(blank.scores(self._earlier(query), key, shared), len(shared))
        system = self.b.op("mul", scores, self._spread(written.gain, scores, len(shared)))
        start = self._start(blank, query, state, found.letters)
        pushed = times(self.b, Part(start, found.letters), shared, written.gain).value
        right = self.b.op("add", written.rest, pushed)
        spec = f"{shared}ts,s{found.letters}->t{found.letters}"
        inverse = self._inverse(system, len(shared))
        made = self.b.op("contract", inverse, right, spec=spec, sum_batch=False)
        within = self.b.op("contract", scores, made, spec=spec, sum_batch=False)
        blank.parts = (key, Part(made, found.letters))
        return blank, self.b.op("add", start, within), made

    def _earlier(self, query: Part) -> Part:
        """Each query one step earlier, where the state is what it reads."""
        later = self.b.op("slice", query.value, axis=0, bounds=(dim(1), dim(self.length)))
        return Part(self.b.op("pad", later, axis=0, bounds=(dim(0), dim(1))), query.letters)

    def _later(self, scores: int, axis: int) -> int:
        """Rows of scores [*shared, t, s] one step later; none is read at the first step."""
        bounds = (dim(0), dim(self.length - 1))
        kept = self.b.op("slice", scores, axis=axis, bounds=bounds)
        return self.b.op("pad", kept, axis=axis, bounds=(dim(1), dim(0)))

    def _spread(self, gain: int, scores: int, rank: int) -> int:
        """[L, *shared] along the rows of [*shared, t, s]."""
        shape = self.b.type_of(scores).shape
        axes = tuple(range(rank + 1))
        return self.b.op("broadcast", time_last(self.b, gain), shape=shape, axes=axes)

    def _start(self, scan: MatrixScan, query: Part, state: Part, letters: str) -> int:
        """What is read of the state before the block, [L, *letters]."""
        prefix = scan.prefix()
        if prefix is not None:
            shape = self.b.type_of(prefix).shape
            kept = self.b.op("slice", prefix, axis=0, bounds=(dim(0), dim(self.length - 1)))
            ones = self.b.full(1.0, (dim(1), *shape[1:]))
            before = self.b.op("concat", ones, kept, axis=0)
            query = times(self.b, query, scan.factor.letters, before)
        spec = f"t{query.letters},{state.letters}->t{letters}"
        return self.b.op("contract", query.value, state.value, spec=spec, sum_batch=False)

    def _inverse(self, system: int, rank: int) -> int:
        """(I - A)^-1 for strictly lower A [*shared, L, L]: halves, then halves of these."""
        lead = self.b.type_of(system).shape[:rank]

        def part(value: int, row: int, column: int, size: int) -> int:
            for axis, k in ((rank + 1, row), (rank + 2, column)):
                bounds = (dim(k * size), dim((k + 1) * size))
                value = self.b.op("slice", value, axis=axis, bounds=bounds)
            return value

        blocks = self.b.op("reshape", system, shape=(*lead, dim(1), *(dim(self.length),) * 2))
        below, size = [], self.length
        while size > 1:
            size //= 2
            below.append(part(blocks, 1, 0, size))
            corners = [part(blocks, k, k, size) for k in (0, 1)]
            blocks = self.b.op("concat", *corners, axis=rank)
        found = self.b.full(1.0, self.b.type_of(blocks).shape)
        letters = AXES[:rank]
        spec = f"{letters}bts,{letters}bsr->{letters}btr"
        for left in reversed(below):
            count = self.b.type_of(left).shape[rank]
            first, second = (
                self.b.op("slice", found, axis=rank, bounds=bounds)
                for bounds in ((dim(0), count), (count, count + count))
            )
            product = self.b.op("contract", second, left, spec=spec, sum_batch=False)
            corner = self.b.op("contract", product, first, spec=spec, sum_batch=False)
            zero = self.b.full(0.0, self.b.type_of(first).shape)
            top = self.b.op("concat", first, zero, axis=rank + 2)
            bottom = self.b.op("concat", corner, second, axis=rank + 2)
            found = self.b.op("concat", top, bottom, axis=rank + 1)
        return self.b.op("reshape", found, shape=self.b.type_of(system).shape)

    def _affine(self, value: int, found: Delta, shared: str) -> _Affine:
        """What is written, as a gain times what is read and a rest."""
        axes = tuple(k for k, x in enumerate(found.letters) if x in shared)
        if value == found.read:
            sizes = tuple(self.graph.type_of(value).shape[a] for a in axes)
            return _Affine(self.b.full(1.0, (dim(self.length), *sizes)), None)
        node = self.graph.definition(value)
        if not isinstance(node, Node) or not self._depends(value, found.read):
            return _Affine(None, self.timed(value))
        if node.op == "neg":
            inner = self._affine(node.operands[0], found, shared)
            return _Affine(*(self._neg(v) for v in (inner.gain, inner.rest)))
        if node.op in ("add", "sub"):
            left, right = (self._affine(v, found, shared) for v in node.operands)
            if node.op == "sub":
                right = _Affine(self._neg(right.gain), self._neg(right.rest))
            pairs = ((left.gain, right.gain), (left.rest, right.rest))
            return _Affine(*(self._plus(one, two) for one, two in pairs))
        if node.op == "mul":
            left_value, by = node.operands
            if self._depends(by, found.read):
                left_value, by = by, left_value
            if self._depends(by, found.read) or not set(varying_axes(self.graph, by)) <= set(axes):
                raise UnsolvedError
            made = self._affine(left_value, found, shared)
            assert made.gain is not None
            gain = self.b.op("mul", made.gain, self.reducer.with_time(by, axes))
            rest = made.rest
            if rest is not None:
                rest = self.b.op("mul", rest, self.timed(by))
            return _Affine(gain, rest)
        raise UnsolvedError

    def _depends(self, value: int, read: int) -> bool:
        node = self.graph.definition(value)
        if value == read:
            return True
        return isinstance(node, Node) and any(
            v >= read and self._depends(v, read) for v in node.operands
        )

    def _neg(self, value: int | None) -> int | None:
        return None if value is None else self.b.op("neg", value)

    def _plus(self, left: int | None, right: int | None) -> int | None:
        if left is None or right is None:
            return right if left is None else left
        return self.b.op("add", left, right)

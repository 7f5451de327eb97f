"""A scan of a matrix state over one block of time, without the states within the block.

The state takes ``S' = f * S + u w`` where u w is an outer product, and is read by products
with vectors q alone.  What such a reader finds at step t is ``q_t`` times the state before the
block, and for every step s up to t the product of three numbers or vectors: ``q_t u_s``, the
decay from s to t, and ``w_s``: two matrix products for the whole block.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnndsl.compiler.builder import Builder
from rnndsl.compiler.forms.decay import (
    Decay,
    assemble,
    from_logarithms,
    from_products,
    halves,
    levels,
    ones_below,
    time_first,
)
from rnndsl.compiler.forms.factors import side_of
from rnndsl.compiler.forms.parts import EXTRA, Part, times
from rnndsl.dims import Dim, dim


@dataclass(frozen=True, slots=True)
class Factor:
    """What the state is multiplied by: ``value`` [L, *letters], or its logarithm and where it
    is 0.  No value and no logarithm: 1."""

    letters: str = ""
    value: int | None = None
    log: int | None = None
    zeros: int | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """A product of the state with ``query`` [L, *letters]; ``output`` are the letters of the
    result.  ``before``: of the state before the step, not after it."""

    query: Part
    output: str
    before: bool


class MatrixScan:
    """The block of one matrix state: make it, read it, then take the state after it."""

    def __init__(
        self, builder: Builder, length: int, state: Part, parts: tuple[Part, Part], factor: Factor
    ) -> None:
        self.b, self.length, self.state, self.parts = builder, length, state, parts
        self.factor = factor
        self.side = side_of(factor.letters, *(part.letters for part in parts))
        if self.side is not None:
            assert factor.value is not None
            assert set(factor.letters) <= set(parts[self.side].letters)
        self._decay: Decay | None = None
        self._levels = None if self.side is None else levels(builder, factor.value or 0)

    # ------------------------------------------------------------------------------ decays

    def decay(self) -> Decay | None:
        """Decays of a factor that is a number for each matrix; None where it is 1."""
        if self._decay is None and self.side is None:
            if self.factor.log is not None:
                self._decay = from_logarithms(self.b, self.factor.log, self.factor.zeros)
            elif self.factor.value is not None:
                self._decay = from_products(self.b, self.factor.value)
        return self._decay

    def prefix(self) -> int | None:
        if self._levels is not None:
            return self._levels[1]
        found = self.decay()
        return None if found is None else found.prefix

    def _contract(self, left: int, right: int, spec: str) -> int:
        return self.b.op("contract", left, right, spec=spec, sum_batch=False)

    # ----------------------------------------------------------------------------- reading

    def read(self, reader: Reader) -> int:
        """The reader's result [L, *output]."""
        if not reader.before:
            return self._read_after(reader.query, reader.output)
        # The state before step t is the one after step t - 1: ask for it one step earlier.
        query = reader.query
        later = self._slice(query.value, 1, self.length)
        pad = self.b.op("pad", later, axis=0, bounds=(dim(0), dim(1)))
        found = self._read_after(Part(pad, query.letters), reader.output)
        first = self._contract(
            self._row(query.value, 0),
            self.state.value,
            f"{query.letters},{self.state.letters}->{reader.output}",
        )
        shape = (dim(1), *self.b.type_of(first).shape)
        start = self.b.op("reshape", first, shape=shape)
        return self.b.op("concat", start, self._slice(found, 0, self.length - 1), axis=0)

    def _read_after(self, query: Part, output: str) -> int:
        inner = 0 if self._is_inner(query, 0) else 1
        key, value = self.parts[inner], self.parts[1 - inner]
        if self.side in (None, inner):
            batch = self._batch(query, key, value)
            scores = self.scores(query, key, batch)
            spec = f"{batch}ts,s{value.letters}->t{output}"
            within = self._contract(scores, value.value, spec)
        else:
            within = self._valued_by_levels(query, key, value, output)
        return self.b.op("add", self._from_before(query, output), within)

    def _is_inner(self, query: Part, side: int) -> bool:
        """Whether a query takes the product with this part's own axes."""
        own = set(self.parts[side].letters) - set(self.parts[1 - side].letters)
        return own <= set(query.letters)

    def _from_before(self, query: Part, output: str) -> int:
        """What comes from the state before the block."""
        prefix, letters = self.prefix(), self.factor.letters
        spec = f"t{query.letters},{self.state.letters}->t{output}"
        if prefix is None:
            return self._contract(query.value, self.state.value, spec)
        if set(letters) <= set(query.letters):
            scaled = times(self.b, query, letters, prefix)
            return self._contract(scaled.value, self.state.value, spec)
        found = self._contract(query.value, self.state.value, spec)
        return times(self.b, Part(found, output), letters, prefix).value

    def _batch(self, query: Part, key: Part, value: Part) -> str:
        """Letters that scores keep beside the two times."""
        kept = [x for x in key.letters if x in value.letters]
        return "".join(kept + [x for x in query.letters if x in EXTRA])

    def scores(self, query: Part, key: Part, batch: str) -> int:
        """For every two steps t >= s the product of a query and a key with the decay between
        them, [*batch, t, s]; for a factor that goes with the summed axes, or with all."""
        if self._levels is not None:
            return self._scores_by_levels(query, key, batch)
        spec = f"t{query.letters},s{key.letters}->{batch}ts"
        scores = self._contract(query.value, key.value, spec)
        found = self.decay()
        decay = ones_below(self.b, self.length) if found is None else found.matrix
        letters = self.factor.letters if found is not None else ""
        shape = self.b.type_of(scores).shape
        axes = (*(batch.index(x) for x in letters), len(batch), len(batch) + 1)
        if len(axes) < len(shape):
            decay = self.b.op("broadcast", decay, shape=shape, axes=axes)
        return self.b.op("mul", scores, decay)

    def _pairs(self, part: Part, size: int) -> tuple[Part, Part]:
        """The two blocks of each pair of a level, [n, m, *letters]."""
        length, *axes = self.b.type_of(part.value).sizes
        first, second = halves(self.b, part.value, (length // (2 * size), 2, size, *axes))
        return Part(first, part.letters), Part(second, part.letters)

    def _scores_by_levels(self, query: Part, key: Part, batch: str) -> int:
        """Decays go with the axes that are summed: queries and keys of each level take theirs."""
        assert self._levels is not None
        found, letters = self._levels[0], self.factor.letters

        def below(level: int) -> int:
            pair = found[level]
            _, late = self._pairs(query, pair.size)
            early, _ = self._pairs(key, pair.size)
            late, early = (
                times(self.b, late, letters, pair.into),
                times(self.b, early, letters, pair.out_of),
            )
            spec = f"bt{query.letters},bs{key.letters}->{batch}bts"
            return self._contract(late.value, early.value, spec)

        spec = f"t{query.letters},t{key.letters}->{batch}t"
        diagonal = self._contract(query.value, key.value, spec)
        return assemble(self.b, diagonal, len(found), below)

    def _valued_by_levels(self, query: Part, key: Part, value: Part, output: str) -> int:
        """Decays go with the axes of the result: values and results of each level take theirs."""
        assert self._levels is not None
        letters = self.factor.letters
        batch = self._batch(query, key, value)
        scores = self._contract(
            query.value, key.value, f"t{query.letters},t{key.letters}->t{batch}"
        )
        found = self._contract(scores, value.value, f"t{batch},t{value.letters}->t{output}")
        shape = self.b.type_of(found).sizes
        for pair in self._levels[0]:
            _, late = self._pairs(query, pair.size)
            early, _ = self._pairs(key, pair.size)
            carried, _ = self._pairs(value, pair.size)
            carried = times(self.b, carried, letters, pair.out_of)
            scores = self._contract(
                late.value, early.value, f"bt{query.letters},bs{key.letters}->{batch}bts"
            )
            made = self._contract(
                scores, carried.value, f"{batch}bts,bs{value.letters}->bt{output}"
            )
            made = times(self.b, Part(made, output), letters, pair.into).value
            first, second = self._pairs(Part(found, output), pair.size)
            second_sum = self.b.op("add", second.value, made)
            joined = self.b.op("concat", first.value, second_sum, axis=1)
            found = self.b.op("reshape", joined, shape=tuple(map(dim, shape)))
        return found

    # ------------------------------------------------------------------------------- state

    def after(self) -> int:
        """The state after the block."""
        parts, letters = list(self.parts), self.factor.letters
        left = self.state.value
        prefix = self.prefix()
        if prefix is not None:
            whole = self._row(prefix, self.length - 1)
            axes = tuple(self.state.letters.index(x) for x in letters)
            shape = self.b.type_of(left).shape
            if len(axes) < len(shape):
                whole = self.b.op("broadcast", whole, shape=shape, axes=axes)
            left = self.b.op("mul", left, whole)
            side = self.side or 0
            parts[side] = times(self.b, parts[side], letters, self._suffix())
        first, second = parts
        spec = f"s{first.letters},s{second.letters}->{self.state.letters}"
        return self.b.op("add", left, self._contract(first.value, second.value, spec))

    def _suffix(self) -> int:
        """The decay from each step to the end of the block, [L, *letters]."""
        if self._levels is not None:
            return self._levels[2]
        found = self.decay()
        assert found is not None
        shape = self.b.type_of(found.matrix).shape
        rank = len(shape)
        bounds = (dim(self.length - 1), dim(self.length))
        row = self.b.op("slice", found.matrix, axis=rank - 2, bounds=bounds)
        kept = self.b.op("reshape", row, shape=(*shape[: rank - 2], shape[-1]))
        return time_first(self.b, kept)

    def _slice(self, value: int, start: int, stop: int) -> int:
        return self.b.op("slice", value, axis=0, bounds=(dim(start), dim(stop)))

    def _row(self, value: int, index: int) -> int:
        """One step of [L, *axes]."""
        shape: tuple[Dim, ...] = self.b.type_of(value).shape[1:]
        return self.b.op("reshape", self._slice(value, index, index + 1), shape=shape)

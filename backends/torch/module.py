"""The layer: a cell as a torch module, called like torch.nn.LSTM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.errors_torch import NonFinite
from rnndsl.backends.sizes import whole_number
from rnndsl.backends.torch import operators
from rnndsl.backends.torch.arguments import Batch, Expected, Lengths, arrange, tensor_of
from rnndsl.backends.torch.direction import Direction
from rnndsl.backends.torch.errors import LayerInputError, NonFiniteError
from rnndsl.backends.torch.finite import all_finite
from rnndsl.backends.torch.like_torch import LikeTorch
from rnndsl.backends.torch.options import Options
from rnndsl.backends.torch.states import (
    State,
    given_states,
    join_states,
    split_states,
    state_of,
)
from rnndsl.backends.torch.streaming import Stream
from rnndsl.backends.torch.variants import tappable
from rnndsl.cell import Cell
from rnndsl.compiler.initializers import count_parameters
from rnndsl.compiler.ir import LeafRole
from rnndsl.compiler.memory import MemoryPlan
from rnndsl.diagnostics import RnndslError, did_you_mean

Sequences = Tensor | PackedSequence
Taps = tuple[dict[str, Tensor], ...]


class Layer(LikeTorch, nn.Module):
    """One or more layers of a cell over a sequence; made by :func:`rnndsl.layer`.

    Parameters lie in ``layers.<k>`` (and ``layers.<k>_reverse``) under the cell's names:
    ``layers.0.i.x.weight``.  Frozen ones are buffers.
    """

    def __init__(self, cell: Cell, directions: Mapping[str, Direction], options: Options) -> None:
        super().__init__()
        self.cell = cell
        self.options = options
        self.layers = nn.ModuleDict(directions)
        first = next(iter(directions.values()))
        self.dimensions = first.sizes
        graph = first.graph
        self.input_types = {f.name: f.type for f in graph.leaves_of(LeafRole.INPUT)}
        self.state_types = {f.name: f.type for f in graph.leaves_of(LeafRole.STATE)}
        self.input_sizes = {name: kind.sizes for name, kind in self.input_types.items()}
        self.state_sizes = {name: kind.sizes for name, kind in self.state_types.items()}
        self._usual = self._expected(first.like(), options.batch_first)

    # ------------------------------------------------------------------------------- calls

    def forward(
        self,
        x: Sequences,
        state: State | Sequence[Tensor] | None = None,
        *,
        lengths: Lengths | None = None,
        reset: Tensor | None = None,
        taps: Sequence[str] = (),
        **inputs: Sequences,
    ) -> Any:
        """Run the layer over a sequence.

        Args:
            x: the cell's first input, [T, B, *shape] ([B, T, *shape] with ``batch_first``),
                [T, *shape] for one sequence, or a PackedSequence.
            state: the states before the first step, [layers * directions, B, *shape] each, a
                tuple in order of declaration or the bare tensor if there is one; by default
                what the cell declares.
            lengths: [B] whole numbers; past its length a sequence keeps its states and its
                outputs are 0.
            reset: [T, B] flags (laid out as x); where true, the states take their initial
                values before that step.  The other direction restarts where a segment ends.
            taps: names of inner values to return.
            inputs: the cell's other inputs, by name, laid out as x.

        Returns:
            ``(y, state)``, and with taps ``(y, state, values)``, where ``values`` holds a dict
            from name to [T, B, *shape] for each layer and direction.

        Raises:
            LayerInputError: a tensor does not fit; the message names the dimension.
        """
        if lengths is None and reset is None and not inputs and _are_none(taps):
            found = self._again(x, state)
            if found is not None:
                return found
        batch = arrange(self.expected(), x, inputs, lengths, reset)
        names = self._tap_names(taps)
        try:
            y, finals, tapped = self._run(batch, state, names)
        except RnndslError as error:  # of a compiler, which knows places but not their text
            error.sources = error.sources or self.cell.sources()
            raise
        if self.options.check_finite and not torch.compiler.is_compiling():
            self._check_finite([y, *(t for final in finals for t in final)], batch, state)
        result = self._given_back(y, batch)
        joined = join_states(finals, batch.unbatched)
        if not names:
            return result, joined
        values = tuple({n: self._given_back(v, batch) for n, v in d.items()} for d in tapped)
        return result, joined, values

    def step(
        self, x: Tensor, state: State | Sequence[Tensor] | None = None, **inputs: Tensor
    ) -> tuple[Tensor, State]:
        """One time step: ``x`` [B, *shape] or [*shape] to ``(y, state)``, for streaming."""
        if self.options.bidirectional:
            raise LayerInputError(catalogue.NoStreaming(None))
        expected = self.expected(batch_first=False)
        steps = {
            name: tensor_of(f"input `{name}`", value).unsqueeze(0) for name, value in inputs.items()
        }
        first = tensor_of(f"input `{expected.main}`", x).unsqueeze(0)
        batch = arrange(expected, first, steps, None, None)
        y, finals, _ = self._run(batch, state, ())
        y = y.squeeze(1) if batch.unbatched else y
        return y[0], join_states(finals, batch.unbatched)

    def stream(self, batch: int = 1) -> Stream:
        """A fast way to run the layer one time step at a time: ``y = stream(x)``.

        It reads the weights now: make another after changing them.  ``stream.state`` are its
        states, ``stream.reset()`` begins anew.  See docs/layers.md.
        """
        return Stream(self, batch)

    def _again(
        self, x: Sequences, state: State | Sequence[Tensor] | None
    ) -> tuple[Tensor, State] | None:
        """The results of a call like an earlier one, which is not looked at a second time; None
        where it is not like one."""
        if not self.options.lone or torch.compiler.is_compiling():
            return None
        states = given_states(state)
        if type(x) is not Tensor or x.dim() < 2 or states is None:
            return None
        batch_first = self.options.batch_first
        results = self.first.again(x.transpose(0, 1) if batch_first else x, states)
        if results is None:
            return None
        y, *finals = results
        return y.transpose(0, 1) if batch_first else y, state_of(finals)

    def _run(
        self, batch: Batch, state: State | Sequence[Tensor] | None, taps: tuple[str, ...]
    ) -> tuple[Tensor, list[list[Tensor]], list[dict[str, Tensor]]]:
        """All layers on streams [T, B, *shape]."""
        x, *extra = batch.inputs
        starts = iter(self._starts(batch, state))
        finals: list[list[Tensor]] = []
        tapped: list[dict[str, Tensor]] = []
        for index in range(self.options.num_layers):
            if index and self.options.dropout:
                x = F.dropout(x, self.options.dropout, self.training)
            parts = []
            for direction in self._at(index):
                outputs, final = direction(
                    [x, *extra, *_flags(batch, direction.reverse)],
                    next(starts),
                    taps,
                    batch.reset is not None,
                    batch.valid is not None,
                )
                parts.append(outputs[0])
                finals.append(final)
                tapped.append(dict(zip(taps, outputs[1:], strict=True)))
            x = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        return x, finals, tapped

    def stack(self) -> list[Direction]:
        """The layers, forward in time, from the lowest."""
        return [self._at(index)[0] for index in range(self.options.num_layers)]

    def _at(self, index: int) -> list[Direction]:
        """The directions of one layer."""
        stacked = self._stacked
        found = [stacked[str(index)]]
        return [*found, stacked[f"{index}_reverse"]] if self.options.bidirectional else found

    @property
    def _stacked(self) -> Mapping[str, Any]:
        """The directions of all layers, by key: past `__getattr__`, which takes its time."""
        layers: Any = self._modules["layers"]
        found: Mapping[str, Any] = layers._modules
        return found

    def _starts(self, batch: Batch, state: State | Sequence[Tensor] | None) -> list[list[Tensor]]:
        """The states before the first step, for each layer and direction."""
        size, places = batch.inputs[0].shape[1], len(self._stacked)
        types, sizes = self.state_types, self.state_sizes
        return split_states(batch.expected, types, sizes, state, places, size, batch.unbatched)

    def _given_back(self, y: Tensor, batch: Batch) -> Any:
        """A stream [T, B, *shape] in the layout of the call."""
        if batch.packed is not None:
            return _repacked(y, batch.packed)
        if batch.unbatched:
            return y.squeeze(1)
        return y.transpose(0, 1) if self.options.batch_first else y

    # ------------------------------------------------------------------------------ checks

    def find_nonfinite(
        self,
        x: Sequences,
        state: State | Sequence[Tensor] | None = None,
        *,
        lengths: Lengths | None = None,
        reset: Tensor | None = None,
        **inputs: Sequences,
    ) -> NonFinite | None:
        """Where a NaN or infinity first arises when the layer is called on this, or None.

        It runs the cell step by step and keeps every value of one step, so it is slow.  It
        looks at the forward pass without dropout.
        """
        return self._find_nonfinite(arrange(self.expected(), x, inputs, lengths, reset), state)

    def _find_nonfinite(
        self, batch: Batch, state: State | Sequence[Tensor] | None
    ) -> NonFinite | None:
        x, *extra = batch.inputs
        starts = iter(self._starts(batch, state))
        with operators.plain(x):
            for index in range(self.options.num_layers):
                parts = []
                for direction in self._at(index):
                    label = f"layer {index}{' reverse' if direction.reverse else ''}"
                    start = next(starts)
                    streams = [x, *extra, *_flags(batch, direction.reverse)]
                    resets, lengths = batch.reset is not None, batch.valid is not None
                    found = direction.first_nonfinite(
                        streams, start, resets, lengths, batch.valid, label
                    )
                    if found is not None:
                        return found
                    parts.append(direction(streams, start, (), resets, lengths)[0][0])
                x = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        return None

    def _check_finite(
        self, results: Sequence[Tensor], batch: Batch, state: State | Sequence[Tensor] | None
    ) -> None:
        if all_finite(results):
            return
        found = self._find_nonfinite(batch, state)
        if found is not None:
            raise NonFiniteError(found, self.cell.sources())

    def expected(self, batch_first: bool | None = None) -> Expected:
        """What calls must look like now: dtype and device follow ``.to()``."""
        like, usual = self.first.like(), self._usual
        first = self.options.batch_first if batch_first is None else batch_first
        if (like.dtype, like.device, first) == (usual.dtype, usual.device, usual.batch_first):
            return usual
        return self._expected(like, first)

    def _expected(self, like: Tensor, batch_first: bool) -> Expected:
        kinds = self.input_types, self.input_sizes
        return Expected(*kinds, like.dtype, like.device, batch_first)

    @property
    def first(self) -> Direction:
        """The lowest layer, forward in time."""
        found: Direction = self._stacked["0"]
        return found

    def _tap_names(self, taps: Sequence[str]) -> tuple[str, ...]:
        if _are_none(taps):
            return ()
        if not isinstance(taps, Sequence):
            kind = f"a {type(taps).__name__}"
            raise LayerInputError(catalogue.BadOption(None, "taps", "a tuple of names", kind))
        names = (taps,) if isinstance(taps, str) else tuple(taps)
        if names:
            known = tappable(self.first.graph)
            for place, name in enumerate(names):
                if not isinstance(name, str) or name in names[:place]:
                    raise LayerInputError(
                        catalogue.BadOption(None, "taps", "different names", repr(names))
                    )
                if name not in known:
                    close = did_you_mean(name, known)
                    listed = ", ".join(known)
                    raise LayerInputError(catalogue.UnknownTap(None, name, listed, close))
        return names

    # ------------------------------------------------------------------------- description

    @property
    def output_size(self) -> int:
        """The size of the last axis of the output; 1 for scalar outputs."""
        return self.first.output_shape[-1] * self.directions if self.first.output_shape else 1

    @property
    def directions(self) -> int:
        """2 for a bidirectional layer, else 1."""
        return 1 + self.options.bidirectional

    def parameter_count(self, trainable_only: bool = False) -> int:
        """How many numbers the parameters hold, frozen ones included."""
        each = [d for d in self.layers.values() if isinstance(d, Direction)]
        return sum(count_parameters(d.specs, d.sizes, trainable_only) for d in each)

    def flops_per_step(self) -> int:
        """Floating-point operations of one time step of one example, forward, all layers."""
        return sum(d.flops_per_step() for d in self.layers.values() if isinstance(d, Direction))

    def memory_plan(self, steps: int, batch: int) -> MemoryPlan:
        """How the lowest layer trains on a sequence [T, B, *shape] with lengths and restarts
        left out: ``peak`` are the bytes of saved values that it holds at most, ``reruns`` of
        ``blocks`` blocks are computed a second time.
        """
        return self.first.memory_plan(whole_number("steps", steps), whole_number("batch", batch))

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from torch's default generator."""
        for direction in self.layers.values():
            assert isinstance(direction, Direction)
            direction.reset_parameters()

    def extra_repr(self) -> str:
        sizes = ", ".join(f"{name}={size}" for name, size in self.first.sizes.items())
        default = Options()
        shown = [
            f"{name}={value}"
            for name, value in self.options._asdict().items()
            if value != getattr(default, name)
        ]
        return ", ".join([self.cell.name, sizes, *shown])


def _are_none(taps: object) -> bool:
    return isinstance(taps, tuple) and not taps


def _flags(batch: Batch, reverse: bool) -> list[Tensor]:
    """The extra inputs of a direction: restart flags, then validity flags, where asked for."""
    flags = []
    if batch.reset is not None:
        reset = batch.reset if batch.valid is None else batch.reset * batch.valid
        if reverse:  # a segment that begins at t ends, seen from behind, before step t - 1
            reset = torch.cat([reset[1:], torch.zeros_like(reset[:1])])
        flags.append(reset)
    if batch.valid is not None:
        flags.append(batch.valid)
    return flags


def _repacked(y: Tensor, packed: PackedSequence) -> PackedSequence:
    """A padded stream in the packed form of the input."""
    order = packed.sorted_indices
    y = y if order is None else y.index_select(1, order)
    lengths = (packed.batch_sizes[:, None] > torch.arange(y.shape[1])).sum(0)
    data = pack_padded_sequence(y, lengths, enforce_sorted=True).data
    return PackedSequence(data, packed.batch_sizes, order, packed.unsorted_indices)

"""Streaming: one time step for each call, on weights that were read when the stream was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.sizes import whole_number
from rnndsl.backends.torch.arguments import Expected, arrange, fail, tensor_of
from rnndsl.backends.torch.automatic import resolve
from rnndsl.backends.torch.calls import program_call
from rnndsl.backends.torch.errors import LayerInputError
from rnndsl.backends.torch.ownership import as_it_lies
from rnndsl.backends.torch.programs import find_runner
from rnndsl.backends.torch.states import State, split_states
from rnndsl.backends.torch.stepping import PACKED_DTYPES, KernelStep, PlanStep
from rnndsl.compiler.forms.choose import STEPS
from rnndsl.diagnostics import RnndslError

if TYPE_CHECKING:
    from rnndsl.backends.torch.direction import Direction
    from rnndsl.backends.torch.module import Layer

_len_torch_dispatch_stack = torch._C._len_torch_dispatch_stack


class Stream:
    """A layer that is fed one time step at a time; made by ``layer.stream()``.

    ``y = stream(x)`` takes x [B, *shape] to y [B, *shape] and goes on from there; with B = 1
    x may come as [*shape], and y does too.  It holds its states and a copy of the weights:
    what is done to the layer later does not reach it.  It computes no gradients, drops nothing
    out, and serves one thread at a time.
    """

    def __init__(self, layer: Layer, batch: int) -> None:
        whole_number("batch", batch)
        if layer.options.bidirectional:
            raise LayerInputError(catalogue.NoStreaming(None))
        self.batch = batch
        self._expected: Expected = layer.expected(batch_first=False)
        self._types, self._sizes = layer.state_types, layer.state_sizes
        self._dtype, self._device = self._expected.dtype, self._expected.device
        first, *others = layer.input_sizes.values()
        # The shape of a step that needs no second look; None where there are other inputs.
        self._usual = None if others else (batch, *first)
        try:
            # Memory that is written to in and out of inference mode must be made outside.
            with torch.inference_mode(False), torch.no_grad():
                self._layers = [_step_of(d, batch, self._expected) for d in layer.stack()]
        except RnndslError as error:
            error.sources = error.sources or layer.cell.sources()
            raise
        self._name = repr(layer)
        self.reset()

    def __call__(self, x: Tensor, **inputs: Tensor) -> Tensor:
        """One time step; LayerInputError where a tensor does not fit."""
        if (
            not inputs
            and type(x) is Tensor
            and x.shape == self._usual
            and x.dtype is self._dtype
            and x.device == self._device
            and x.is_contiguous()
            and not x.is_neg()
            and not _len_torch_dispatch_stack()
        ):
            for layer in self._layers:
                x = layer(x)
            return x
        # A mode may make tensors without memory, which kernels write to.
        with _disable_current_modes():
            return self._checked(x, inputs)

    def _checked(self, x: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        expected = self._expected
        first = tensor_of(f"input `{expected.main}`", x).unsqueeze(0)
        others = {n: tensor_of(f"input `{n}`", value).unsqueeze(0) for n, value in inputs.items()}
        batch = arrange(expected, first, others, None, None)
        size = batch.inputs[0].shape[1]
        if size != self.batch:
            what = f"input `{expected.main}`"
            wanted = f"the batch of the stream, {self.batch}"
            raise fail(catalogue.WrongSize(None, what, "B", self.batch, size, wanted))
        for name, stream in zip(expected.inputs, batch.inputs, strict=True):
            there = stream.untyped_storage().device
            if there != stream.device:  # a fake one has no numbers
                what = f"the memory of input `{name}`"
                raise fail(catalogue.WrongDevice(None, what, str(stream.device), str(there)))
        y, *extra = (as_it_lies(stream[0].detach()) for stream in batch.inputs)
        for layer in self._layers:
            y = layer(y, *extra)
        return y[0] if batch.unbatched else y

    @property
    def state(self) -> State:
        """A copy of the states, [layers, B, *shape] each, as a call of the layer returns them."""
        columns = zip(*(layer.states for layer in self._layers), strict=True)
        found = tuple(torch.stack(tensors) for tensors in columns)
        return found[0] if len(found) == 1 else found

    def reset(self, state: State | Sequence[Tensor] | None = None) -> None:
        """Begin anew from ``state``, as a call of the layer takes it, or as the cell declares.

        LayerInputError says which state does not fit, and how.
        """
        count = len(self._layers)
        given = split_states(
            self._expected, self._types, self._sizes, state, count, self.batch, False
        )
        with torch.no_grad():
            for layer, start in zip(self._layers, given, strict=True):
                layer.begin(start)

    def __reduce__(self) -> NoReturn:
        """Kernels know where their memory lies: no copies, and none in files."""
        raise TypeError(
            "a stream cannot be copied: make another one by layer.stream(), and give its reset() "
            "the state of this one"
        )

    def __repr__(self) -> str:
        return f"Stream(batch={self.batch}, {self._name})"


def _step_of(direction: Direction, batch: int, expected: Expected) -> KernelStep | PlanStep:
    """One layer's step, by whatever the layer is compiled with."""
    request = direction.request._replace(budget=None, form=STEPS)
    handle, names = program_call(request, portable=False)
    runner = find_runner(handle)
    params = [tensor.detach().clone() for tensor in direction.tensors_of(names)]
    like = torch.empty((1, batch), dtype=expected.dtype, device=expected.device)
    values, start = runner.prepared(like, params)
    packed = resolve(request.backend, like) == "tvm" and like.dtype in PACKED_DTYPES
    return (KernelStep if packed else PlanStep)(runner, values, start, like)

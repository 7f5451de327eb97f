"""One layer's time step on weights that stay as they are: a kernel, or a compiled plan.

Both hold their states, take the step's inputs [B, *shape], contiguous, and return the output
[B, *shape] in new memory.  ``values`` are parameters and what depends on them alone, by name,
``start`` the declared states [B, *shape]; ``like`` is [1, B] of their dtype, where they are.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.torch.by_dtype import DTYPES
from rnndsl.backends.torch.errors import LayerInputError
from rnndsl.backends.torch.ownership import fresh, own
from rnndsl.backends.torch.program import parse_program
from rnndsl.backends.torch.runner import Runner
from rnndsl.backends.tvm.arranging import arrange
from rnndsl.backends.tvm.groups import work_of
from rnndsl.backends.tvm.making import table_choices
from rnndsl.backends.tvm.signature import Signature
from rnndsl.backends.tvm.worker import Worker
from rnndsl.compiler.cost import worthwhile

# Kernels that take packed weights compute in these.
PACKED_DTYPES = frozenset((torch.float32, torch.float64))


class PlanStep:
    """A step by the function that also runs sequences."""

    def __init__(
        self, runner: Runner, values: Mapping[str, Tensor], start: Sequence[Tensor], like: Tensor
    ) -> None:
        self._step = runner.forward(like).step
        self._shared = runner.step_params(like, values)
        self._start = [fresh(state) for state in start]
        self.states = self._start

    def begin(self, states: Sequence[Tensor]) -> None:
        """Go on from these states, or from the declared ones if there are none."""
        self.states = [fresh(state) for state in states or self._start]

    def __call__(self, *inputs: Tensor) -> Tensor:
        with torch.no_grad():
            streams = tuple([x.unsqueeze(0) for x in inputs])
            outputs, finals, _ = self._step(streams, tuple(self.states), self._shared)
            y, *self.states = own([outputs[0][0], *finals], [*inputs, *self.states, *self._shared])
        return y


class KernelStep:
    """A step by a kernel of TVM, whose weights are packed once and whose memory stays."""

    def __init__(
        self, runner: Runner, values: Mapping[str, Tensor], start: Sequence[Tensor], like: Tensor
    ) -> None:
        if like.device.type != "cpu":
            where = str(like.device)
            raise LayerInputError(catalogue.WrongDevice(None, "a stream for TVM", "cpu", where))
        batch, text = like.shape[1], runner.program.text
        parts = _worthwhile(text, batch, torch.get_num_threads())
        make: Callable[..., tuple[Signature, Any]] = _shared_kernel if parts > 1 else _kernel
        signature, function = make(text, like.dtype)
        # Kernels compute numbers of 16 bits as float32, and take packed weights as such.
        self._function = function
        computed = torch.float64 if like.dtype == torch.float64 else torch.float32
        self._packed = [
            torch.from_numpy(w.pack(values[w.source].to(computed).numpy(), signature.dtype)).clone()
            for w in signature.weights
        ]
        self._start = [fresh(state) for state in start]
        self.states = [fresh(state) for state in start]
        (output,) = signature.outputs
        self._batch, self._output = batch, like.new_empty((batch, *output.shape))
        work = like.new_empty(signature.workspace.elements(1, batch, parts), dtype=computed)
        self._work = work
        self._before = tuple([t.data_ptr() for t in (*self._packed, *self.states)])
        self._after = (work.data_ptr(), 1, batch, work.numel())
        # Where several threads share a step: how many they are, what they are called with, and
        # where in that the output stands.
        self._parts = parts
        self._table: Any = None
        self._place = len(signature.inputs) + len(self._before)
        if parts > 1:
            numbers = [*[0] * len(signature.inputs), *self._before, 0, *self._after, parts]
            self._table, self._last = function.table(numbers, parts), len(numbers) - 1
            self._zeros = self._table[len(numbers) :]

    def begin(self, states: Sequence[Tensor]) -> None:
        """Go on from these states, or from the declared ones if there are none."""
        for state, value in zip(self.states, states or self._start, strict=True):
            state.copy_(value)

    def __call__(self, x: Tensor, *others: Tensor) -> Tensor:
        y = torch.empty_like(self._output)  # half the time of `torch.empty` with its options
        if self._table is None and not others:  # the usual step, by the shortest way
            self._function(x.data_ptr(), *self._before, y.data_ptr(), *self._after)
            return y
        addresses = [x.data_ptr(), *[other.data_ptr() for other in others]]
        if self._table is None:
            self._function(*addresses, *self._before, y.data_ptr(), *self._after)
        else:
            self._table[: len(addresses)] = array("q", addresses)
            self._table[self._place] = y.data_ptr()
            parts, seconds = self._function.parts(self._parts, 1, self._batch)
            self._table[self._last] = parts
            # OpenMP may give fewer threads than are asked for: those left out did not count.
            self._table[self._last + 1 :] = self._zeros
            self._function.run(self._table, parts, seconds)
        return y


@lru_cache(maxsize=64)
def _kernel(text: str, dtype: torch.dtype) -> tuple[Signature, Any]:
    """The kernel of a program that takes packed weights."""
    from rnndsl.backends.tvm.runtime import compile_direct

    plan = parse_program(text).step_plan()
    found = compile_direct(plan, DTYPES[dtype], packed_weights=True)
    return found.signature, found.function


@lru_cache(maxsize=64)
def _shared_kernel(text: str, dtype: torch.dtype) -> tuple[Signature, Worker]:
    """The same for several threads."""
    from rnndsl.backends.tvm.runtime import begin_worker

    return begin_worker(parse_program(text).step_plan(), DTYPES[dtype], packed_weights=True)()


@lru_cache(maxsize=64)
def _worthwhile(text: str, batch: int, threads: int) -> int:
    """How many threads a step is worth."""
    if threads == 1 or not table_choices(True).shared:
        return 1
    plan = parse_program(text).step_plan()
    return worthwhile(work_of(arrange(plan)), 1, batch, threads)

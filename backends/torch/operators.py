"""The custom operators: to torch, a whole sequence is one opaque call.

`rnndsl::run` computes outputs and final states.  Where a gradient is wanted, its autograd
rule calls `rnndsl::run_saving`, which also returns what the backward pass reads, and later
`rnndsl::run_backward`.  Each is given the program by its text or by a handle, so a program
that was exported can be loaded in another process that has imported this module.

Tensors are lists: inputs [T, B, *shape], states [B, *shape] (or none, for the states that the
cell declares), params [*shape], in the order of the program's inputs, states and params.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import FunctionCtx

from rnndsl.backends.torch.errors import SecondDerivativeError, TransformError
from rnndsl.backends.torch.ownership import own
from rnndsl.backends.torch.programs import find_runner
from rnndsl.backends.torch.repeats import TrainingRepeat
from rnndsl.compiler.ir import Type

_LISTS = "str program, Tensor[] inputs, Tensor[] states, Tensor[] params"
_library: Any = torch.library.Library("rnndsl", "DEF")  # type: ignore[no-untyped-call]
_tags = (torch.Tag.pt2_compliant_tag,)
_library.define(f"run({_LISTS}) -> Tensor[]", tags=_tags)
_library.define(f"run_saving({_LISTS}, bool[] needs) -> Tensor[]", tags=_tags)
_library.define(
    f"run_backward({_LISTS}, bool[] needs, Tensor[] kept, Tensor?[] cotangents) -> Tensor[]",
    tags=_tags,
)

Tensors = Sequence[Tensor]


def plain(like: Tensor) -> AbstractContextManager[None]:
    """Torch operations as they are: they record no gradient, and autocast leaves them alone."""
    if not (torch.is_grad_enabled() or torch._C._is_any_autocast_enabled()):
        return _AS_IT_IS
    device = like.device.type
    return _plain(device, torch.is_autocast_enabled(device))


_AS_IT_IS = nullcontext()


@contextmanager
def _plain(device: str, casts: bool) -> Iterator[None]:
    with torch.no_grad():
        if casts:
            with torch.autocast(device, enabled=False):
                yield
        else:
            yield


def _run(program: str, inputs: Tensors, states: Tensors, params: Tensors) -> list[Tensor]:
    with plain(inputs[0]):
        return find_runner(program).run(inputs, states, params)


def _run_saving(
    program: str, inputs: Tensors, states: Tensors, params: Tensors, needs: Sequence[bool]
) -> list[Tensor]:
    with plain(inputs[0]):
        return find_runner(program).run_saving(inputs, states, params, needs)


def _run_backward(
    program: str,
    inputs: Tensors,
    states: Tensors,
    params: Tensors,
    needs: Sequence[bool],
    kept: Tensors,
    cotangents: Sequence[Tensor | None],
) -> list[Tensor]:
    """Gradients, some of which may be parts of one piece of memory."""
    with plain(inputs[0]):
        return find_runner(program).run_backward(inputs, states, params, needs, kept, cotangents)


def _run_saving_apart(program: str, inputs: Tensors, *others: Any) -> list[Tensor]:
    """The same with outputs that are all of their memory: torch.compile takes views of them as if
    they began there."""
    results = _run_saving(program, inputs, *others)
    count = len(find_runner(program).program.outputs)
    with plain(inputs[0]):
        return [*own(results[:count], []), *results[count:]]


def _run_backward_apart(program: str, inputs: Tensors, *others: Any) -> list[Tensor]:
    """The same in memory of their own, as an operator must return them."""
    with plain(inputs[0]):
        return own(_run_backward(program, inputs, *others), [])


_library.impl("run", _run, "CompositeExplicitAutograd")
_library.impl("run_saving", _run_saving_apart, "CompositeExplicitAutograd")
_library.impl("run_backward", _run_backward_apart, "CompositeExplicitAutograd")


# ------------------------------------------------------------------- shapes without values


def _streams(like: Tensor, types: Sequence[Type]) -> list[Tensor]:
    time, batch = like.shape[:2]
    return [like.new_empty((time, batch, *kind.sizes)) for kind in types]


def _fake_run(program: str, inputs: Tensors, states: Tensors, params: Tensors) -> list[Tensor]:
    found = find_runner(program).program
    batch = inputs[0].shape[1]
    finals = [inputs[0].new_empty((batch, *kind.sizes)) for kind in found.states.values()]
    return _streams(inputs[0], list(found.outputs.values())) + finals


def _fake_run_saving(
    program: str, inputs: Tensors, states: Tensors, params: Tensors, needs: Sequence[bool]
) -> list[Tensor]:
    shapes = find_runner(program).kept_shapes(inputs, needs)
    kept = [inputs[0].new_empty(shape) for shape in shapes]
    return _fake_run(program, inputs, states, params) + kept


def _fake_run_backward(
    program: str,
    inputs: Tensors,
    states: Tensors,
    params: Tensors,
    needs: Sequence[bool],
    kept: Tensors,
    cotangents: Sequence[Tensor | None],
) -> list[Tensor]:
    count = len(inputs)
    wanted = [t for t, need in zip(inputs, needs[:count], strict=True) if need]
    wanted += states
    wanted += [t for t, need in zip(params, needs[count:], strict=True) if need]
    return [inputs[0].new_empty(tensor.shape) for tensor in wanted]


torch.library.register_fake("rnndsl::run", _fake_run, lib=_library)
torch.library.register_fake("rnndsl::run_saving", _fake_run_saving, lib=_library)
torch.library.register_fake("rnndsl::run_backward", _fake_run_backward, lib=_library)


# ------------------------------------------------------------------------------- gradients


class _Sequence(torch.autograd.Function):
    """`run` with a gradient; a ``repeat`` of an earlier call does it faster."""

    @staticmethod
    def forward(
        ctx: Any,
        program: str,
        counts: tuple[int, int],
        repeat: TrainingRepeat | None,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        inputs, states, params = _groups(tensors, counts)
        if repeat is not None:
            needs, results = repeat.needs, repeat.run_saving(inputs, states, params)
        else:
            needed = ctx.needs_input_grad[3:]
            needs = [*needed[: counts[0]], *needed[sum(counts) :]]
            if is_watched(tensors):
                with torch._C._AutoDispatchBelowAutograd():
                    results = torch.ops.rnndsl.run_saving(program, inputs, states, params, needs)
            else:
                results = _run_saving(program, inputs, states, params, needs)
        found = find_runner(program).program
        outputs, visible = len(found.outputs), len(found.outputs) + len(found.states)
        ctx.program, ctx.counts, ctx.needs, ctx.repeat = program, counts, needs, repeat
        ctx.save_for_backward(*tensors, *results[:outputs], *results[visible:])
        ctx.set_materialize_grads(False)
        return tuple(results[:visible])

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        refuse_transforms(cotangents)
        program, counts, needs = ctx.program, ctx.counts, ctx.needs
        tensors = ctx.saved_tensors
        params = len(needs) - counts[0]
        count = sum(counts) + params
        given = (*cotangents, *tensors)
        if torch.is_grad_enabled() or is_watched(given):
            arguments = (program, counts, needs, len(cotangents), *given)
            gradients = _Backward.apply(*arguments)  # type: ignore[no-untyped-call]
        else:
            groups = _groups(tensors, counts, params)
            if ctx.repeat is None:
                gradients = _run_backward(program, *groups, needs, tensors[count:], cotangents)
            else:
                with plain(tensors[0]):
                    gradients = ctx.repeat.run_backward(*groups, tensors[count:], cotangents)
        flags = [*needs[: counts[0]], *[True] * counts[1], *needs[counts[0] :]]
        rest = iter(gradients)
        return (None, None, None, *(next(rest) if flag else None for flag in flags))


class _Backward(torch.autograd.Function):
    """`run_backward`, whose own derivative is a clear error."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        program: str,
        counts: tuple[int, int],
        needs: list[bool],
        visible: int,
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:
        found = find_runner(program).program
        cotangents, rest = tensors[:visible], tensors[visible:]
        inputs, states, params = _groups(rest, counts, len(found.params))
        kept = list(rest[sum(counts) + len(found.params) :])
        arguments: Any = (program, inputs, states, params, needs, kept, list(cotangents))
        if is_watched(tensors):
            with torch._C._AutoDispatchBelowAutograd():
                return tuple(torch.ops.rnndsl.run_backward(*arguments))
        return tuple(_run_backward(*arguments))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        raise SecondDerivativeError


def refuse_transforms(tensors: Sequence[Tensor | None]) -> None:
    """TransformError under torch.func's transforms and for tensors with forward-mode tangents.

    Both would otherwise be lost: an operator sees neither tangents nor batched levels.
    """
    if torch.compiler.is_compiling():
        return
    if torch._C._are_functorch_transforms_active():
        raise TransformError("transforms of torch.func")
    batched = torch._C._functorch.is_legacy_batchedtensor
    given = [tensor for tensor in tensors if tensor is not None]
    if any(map(batched, given)):
        raise TransformError("batched gradients")
    if forward_ad._current_level >= 0 and any(_has_tangent(tensor) for tensor in given):
        raise TransformError("forward-mode derivatives")


def _has_tangent(tensor: Tensor) -> bool:
    found = forward_ad.unpack_dual(tensor)  # type: ignore[no-untyped-call]
    return found.tangent is not None


def _groups(
    tensors: Sequence[Any], counts: tuple[int, int], params: int | None = None
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """One flat list as inputs, states and parameters."""
    inputs, states = counts[0], sum(counts)
    stop = None if params is None else states + params
    return list(tensors[:inputs]), list(tensors[inputs:states]), list(tensors[states:stop])


def _run_autograd(
    keyset: Any, program: str, inputs: Tensors, states: Tensors, params: Tensors
) -> list[Tensor]:
    tensors = (*inputs, *states, *params)
    refuse_transforms(tensors)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return _with_gradients(program, None, inputs, states, params)
    with torch._C._AutoDispatchBelowAutograd():
        below = keyset & torch._C._after_autograd_keyset
        found_results: list[Tensor] = torch.ops.rnndsl.run.default.redispatch(
            below, program, list(inputs), list(states), list(params)
        )
        return found_results


_library.impl("run", _run_autograd, "Autograd", with_keyset=True)
run = torch.ops.rnndsl.run

# --------------------------------------------------------------------------- the short way

_PLAIN = frozenset((Tensor, torch.nn.Parameter, type(None)))
_len_torch_dispatch_stack = torch._C._len_torch_dispatch_stack
_len_torch_function_stack = torch._C._len_torch_function_stack
_profiler_enabled = torch._C._autograd._profiler_enabled


def is_watched(tensors: Sequence[Tensor | None]) -> bool:
    """Whether somebody would see an operator: a mode, a tracer, a profiler, a kind of tensor.

    Where nobody does, the functions behind the operators can be called: that saves the
    dispatcher, which takes longer than a small layer.
    """
    return bool(
        _len_torch_dispatch_stack()
        or _len_torch_function_stack()
        or torch._C._get_tracing_state() is not None
        or _profiler_enabled()
        or not _PLAIN.issuperset(map(type, tensors))
    )


def call(program: str, inputs: list[Tensor], states: list[Tensor], params: list[Tensor]) -> Any:
    """`rnndsl::run` by the shortest way."""
    if torch.compiler.is_compiling():
        return run(program, inputs, states, params)
    found = call_again(program, inputs, states, params)
    if found is not None:
        return found
    tensors = (*inputs, *states, *params)
    if is_watched(tensors):
        return run(program, inputs, states, params)
    refuse_transforms(tensors)
    casts = torch._C._is_any_autocast_enabled()
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        results = _with_gradients(program, None, inputs, states, params)
        if not casts:
            find_runner(program).remember_training(inputs, states, params)
        return results
    results = _run(program, inputs, states, params)
    if not (torch.is_grad_enabled() or casts):
        find_runner(program).remember(inputs, states, params)
    return results


def call_again(
    program: str,
    inputs: list[Tensor],
    states: list[Tensor],
    params: list[Tensor],
    led: bool = False,
) -> list[Tensor] | None:
    """As :func:`call`, where it is like an earlier one; else None.

    States that are ``led``, those that come and those that go, are [1, B, *shape].
    """
    # A guard sees tracers and transforms in the dispatch keys of tensors, but not these, nor such
    # modes as make tensors without memory.
    if (
        _len_torch_dispatch_stack()
        or _len_torch_function_stack()
        or _profiler_enabled()
        or forward_ad._current_level >= 0
    ):
        return None
    runner = find_runner(program)
    if not torch.is_grad_enabled():
        found = runner.repeat(inputs, states, params, led)
        return None if found is None else found(inputs, states, params)
    repeat = runner.training_repeat(inputs, states, params, led)
    if repeat is None:
        return None
    given = [state.squeeze(0) for state in states] if led else states
    results = _with_gradients(program, repeat, inputs, given, params)
    if led:
        count = len(runner.program.outputs)
        results[count:] = [final.unsqueeze(0) for final in results[count:]]
    return results


def _with_gradients(
    program: str,
    repeat: TrainingRepeat | None,
    inputs: Tensors,
    states: Tensors,
    params: Tensors,
) -> list[Tensor]:
    counts = len(inputs), len(states)
    arguments = (program, counts, repeat, *inputs, *states, *params)
    return list(_Sequence.apply(*arguments))  # type: ignore[no-untyped-call]

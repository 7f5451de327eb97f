"""A loss over a long sequence, taken block by block in time under a memory budget.

Embedded tokens, outputs, logits and the gradients of all these grow with T, as does what
recurrent layers save.  Here only the states between blocks are held, and of the last blocks what
the budget has room for; the backward pass runs the others again (compiler/memory.py makes the
plan).  The length of a block depends on T alone, and sums over blocks are taken from the last
block to the first, so gradients do not depend on the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rnndsl.backends import errors_torch as catalogue
from rnndsl.backends.torch.errors import LayerInputError
from rnndsl.backends.torch.memory import budget_bytes
from rnndsl.training.block_runs import Blocks, Part, filled
from rnndsl.training.states import State, state_tensors

_IGNORED = -100  # F.cross_entropy leaves such targets out


def blockwise_loss(
    embedding: Callable[[Tensor], Tensor],
    layer: nn.Module,
    head: Callable[[Tensor], Tensor],
    tokens: Tensor,
    targets: Tensor,
    state: State = None,
    *,
    memory_budget: int | str | None = None,
) -> tuple[Tensor, State]:
    """The mean cross entropy of ``head(layer(embedding(tokens)))``, and the state after.

    Args:
        embedding: from tokens [L, B] to what the layer reads, [L, B, D].
        layer: called as ``y, state = layer(x, state)``, from the first step to the last.
        head: from outputs [L, B, H] to logits [L, B, V].
        tokens, targets: [T, B] int64; targets of -100 do not count.
        state: before the first step; by default what the layer begins with.
        memory_budget: as for :func:`blockwise`.

    Gradients reach the parameters of whichever of the three are modules, and ``state``.
    """
    backwards = getattr(layer, "bidirectional", False) or getattr(layer, "directions", 1) > 1
    options = getattr(layer, "options", layer)
    if backwards or getattr(options, "batch_first", False):
        raise _bad("layer", "a layer of one direction that reads [T, B, *shape]", layer)
    count = (targets != _IGNORED).sum()

    def part(state: State, tokens: Tensor, targets: Tensor) -> tuple[Tensor, State]:
        y, state = layer(embedding(tokens), state)
        logits = head(y).flatten(0, 1)
        return F.cross_entropy(logits, targets.flatten(), reduction="sum") / count, state

    modules = [m for m in (embedding, layer, head) if isinstance(m, nn.Module)]
    parameters = [p for module in modules for p in module.parameters()]
    return blockwise(part, (tokens, targets), state, parameters, memory_budget=memory_budget)


def blockwise(
    part: Part,
    streams: Sequence[Tensor],
    state: State,
    parameters: Iterable[Tensor],
    *,
    memory_budget: int | str | None = None,
    generators: Sequence[torch.Generator] = (),
) -> tuple[Tensor, State]:
    """The sum of ``part``'s losses over the blocks of a sequence, and the state after it.

    Args:
        part: from a state and one block of each stream to the block's loss and the next state.
            It may draw from torch's default generator and from ``generators``: a block that
            runs again draws the same numbers.
        streams: [T, B, *shape] each; they get no gradient.
        state: before the first block: a tensor, None, or tuples of these.
        parameters: what gets gradients, besides the state.
        memory_budget: how many bytes the backward pass may hold of the forward pass beyond
            one block's gradients, such as ``"64MiB"``; by default all that there is.

    LayerInputError (E0423) if the budget is too small for the sequence.
    """
    if not streams or not streams[0].numel():
        raise _bad("streams", "tensors of one step or more", "empty")
    if any(stream.requires_grad for stream in streams):
        raise _bad("streams", "tensors that need no gradient", "one that does")
    wanted = list({id(p): p for p in parameters if p.requires_grad}.values())
    run = Blocks(part, streams, wanted, generators, budget_bytes(memory_budget))
    before = list(state_tensors(state))
    if not torch.is_grad_enabled() or not any(t.requires_grad for t in (*before, *wanted)):
        return run.forward_only(state)
    loss, *after = _Blockwise.apply(run, state, *before, *wanted)  # type: ignore[no-untyped-call]
    return loss, filled(run.after, after)


class _Blockwise(torch.autograd.Function):
    """To autograd the whole sequence is one operation on the first state and the parameters."""

    @staticmethod
    def forward(ctx: Any, run: Blocks, state: State, *tensors: Tensor) -> tuple[Tensor, ...]:
        loss = run.forward(state)
        ctx.run = run
        ctx.save_for_backward(*tensors)  # for torch to notice when one is changed
        ctx.set_materialize_grads(False)
        return loss, *state_tensors(run.after)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor | None, *d_state: Tensor | None) -> Any:
        _ = ctx.saved_tensors
        return (None, None, *ctx.run.back(d_loss, d_state))


def _bad(name: str, wanted: str, got: object) -> LayerInputError:
    return LayerInputError(catalogue.BadOption(None, name, wanted, repr(got)))

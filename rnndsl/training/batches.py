"""Contiguous streams for truncated backpropagation through time with carried state."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rnndsl.training.errors import DataTooShort, training_error
from rnndsl.training.vocabulary import Tokens


@dataclass(frozen=True, slots=True)
class Streams:
    """A text cut into B streams that are read side by side, ``bptt`` tokens at a time.

    ``tokens`` is [T, B] int64; column b continues where its previous chunk ended, so the state
    after one chunk is the state before the next.  The last chunk may be shorter.
    """

    tokens: Tensor
    bptt: int

    @property
    def batch(self) -> int:
        return self.tokens.shape[1]

    @property
    def targets(self) -> int:
        """How many tokens are predicted in one pass over all chunks."""
        return (self.tokens.shape[0] - 1) * self.batch

    def __len__(self) -> int:
        """Chunks in one pass."""
        return math.ceil((self.tokens.shape[0] - 1) / self.bptt)

    def chunk(self, index: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets [T, B] of chunk ``index``; a target is the token after its input."""
        start = index * self.bptt
        stop = min(start + self.bptt, self.tokens.shape[0] - 1)
        return self.tokens[start:stop], self.tokens[start + 1 : stop + 1]


def make_streams(
    tokens: Tokens, batch: int, bptt: int, device: torch.device | str = "cpu"
) -> Streams:
    """``tokens`` as ``batch`` streams; the few tokens that do not fill a row are left out."""
    length = len(tokens) // batch
    used = torch.from_numpy(tokens[: length * batch].astype("int64"))
    return Streams(used.view(batch, length).t().contiguous().to(device), bptt)


def training_streams(
    tokens: Tokens, batch: int, bptt: int, name: str, device: torch.device | str = "cpu"
) -> Streams:
    """Streams to train on; RnndslError (E0705) unless one whole chunk fits."""
    if len(tokens) // batch < bptt + 1:
        raise training_error(
            DataTooShort(
                name=name,
                split="train",
                tokens=len(tokens),
                needed=batch * (bptt + 1),
                batch=batch,
                bptt=bptt,
                suggestion=_suggestion(len(tokens), batch, bptt),
            )
        )
    return make_streams(tokens, batch, bptt, device)


def evaluation_streams(
    tokens: Tokens,
    batch: int,
    bptt: int,
    name: str,
    split: str,
    limit: int | None = None,
    device: torch.device | str = "cpu",
) -> Streams:
    """Streams to evaluate on: at most ``limit`` tokens from the start, in ``batch`` streams.

    A short text is read in fewer streams; RnndslError (E0705) when it has under two tokens.
    """
    if limit is not None:
        tokens = tokens[: max(limit, 2)]
    if len(tokens) < 2:
        raise training_error(
            DataTooShort(
                name=name,
                split=split,
                tokens=len(tokens),
                needed=2,
                batch=1,
                bptt=1,
                suggestion="give a longer text",
            )
        )
    fitting = max(1, min(batch, len(tokens) // (bptt + 1)))
    return make_streams(tokens, fitting, bptt, device)


def _suggestion(tokens: int, batch: int, bptt: int) -> str:
    """A smaller batch, or smaller both, that ``tokens`` suffice for."""
    if tokens >= bptt + 1:
        return f"try `--batch {min(batch, tokens // (bptt + 1))}`, or a longer text"
    if tokens >= 2:
        return f"try `--batch 1 --bptt {tokens - 1}`, or a longer text"
    return "give a longer text"

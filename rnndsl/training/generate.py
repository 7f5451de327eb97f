"""Text from a trained model, one token at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnndsl.training.cells import cell_from_source
from rnndsl.training.checkpoint import Payload, damaged, load_checkpoint
from rnndsl.training.config import TrainConfig, config_from_json
from rnndsl.training.errors import (
    BadSetting,
    GenerationDiverged,
    UnknownTokens,
    training_error,
)
from rnndsl.training.layers import LayerFactory, cell_layers
from rnndsl.training.model import LanguageModel, build_model
from rnndsl.training.rundir import RunDir
from rnndsl.training.vocabulary import END_OF_LINE, Vocabulary, split_tokens


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as a checkpoint holds it, ready to be used."""

    config: TrainConfig
    vocabulary: Vocabulary
    model: LanguageModel
    data: str  # the fingerprint of what it was trained on


def load_trained(
    path: str | Path,
    make_layer: LayerFactory | None = None,
    device: str = "cpu",
    backend: str = "auto",
) -> Trained:
    """The model of a checkpoint file, or of a run's folder: its best one, else its last.

    It comes to ``device`` and ``backend``, wherever it was trained.  RnndslError when there is
    none, or it is damaged.
    """
    file = Path(path)
    if file.is_dir():
        folder = RunDir(file)
        file = folder.best if folder.best.exists() else folder.last
    payload = load_checkpoint(file)
    try:
        return _build(payload, make_layer, device, backend)
    except (KeyError, TypeError, RuntimeError) as error:
        raise damaged(file, str(error).splitlines()[0]) from None


def _build(payload: Payload, make_layer: LayerFactory | None, device: str, backend: str) -> Trained:
    settings = {**payload["config"], "device": device, "backend": backend}
    if make_layer is None:
        cell = cell_from_source(payload["cell"])
        config = config_from_json(settings, cell)
        make_layer = cell_layers(cell, config)
    else:
        config = config_from_json(settings, settings["cell"])
    vocabulary = Vocabulary(config.level, tuple(payload["vocabulary"]))
    model = build_model(config, len(vocabulary), make_layer)
    model.load_state_dict(payload["model"])
    model.eval()
    return Trained(config, vocabulary, model, payload["data"])


def generate(
    trained: Trained,
    length: int = 500,
    prime: str = "",
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> Iterator[str]:
    """Pieces of text that continue ``prime``: ``length`` tokens, drawn with ``seed``.

    ``temperature`` 0 takes the likeliest token; ``top_k`` draws among the k likeliest.  An
    empty ``prime`` begins a line.  RnndslError (E0707) for a setting out of its range, (E0713)
    when ``prime`` has tokens that the model does not know, and while drawing (E0720) when the
    model's numbers are no longer finite.
    """
    _check(length, temperature, top_k)
    ids = prime_ids(trained.vocabulary, prime)
    return _pieces(trained, ids, length, temperature, top_k, seed)


def _pieces(
    trained: Trained, ids: list[int], length: int, temperature: float, top_k: int | None, seed: int
) -> Iterator[str]:
    generator = torch.Generator().manual_seed(seed)
    vocabulary, device = trained.vocabulary, trained.config.device
    logits = torch.zeros(0)
    with torch.no_grad():
        step = trained.model.stream()
        for token in ids:
            logits = step(torch.tensor([token], device=device))
    at_line_start = vocabulary.tokens[ids[-1]] in (END_OF_LINE, "\n")
    for drawn in range(length):
        if not bool(logits.isfinite().all()):
            raise training_error(GenerationDiverged(count=len(ids) + drawn))
        token = sample(logits[0], generator, temperature, top_k, vocabulary.unknown)
        piece = vocabulary.tokens[token]
        if vocabulary.level == "word":
            is_end = piece == END_OF_LINE
            yield "\n" if is_end else (piece if at_line_start else f" {piece}")
            at_line_start = is_end
        else:
            yield piece
        with torch.no_grad():  # not around the yield: the caller's own code runs there
            logits = step(torch.tensor([token], device=device))


def sample(
    logits: Tensor,
    generator: torch.Generator,
    temperature: float,
    top_k: int | None,
    excluded: int | None,
) -> int:
    """One token drawn from ``logits`` [V]; ``excluded`` (``<unk>``) is never drawn."""
    scores = logits.detach().to("cpu", torch.float64).clone()
    if excluded is not None and len(scores) > 1:
        scores[excluded] = -torch.inf
    scores -= scores.max()  # so that no temperature, however small, makes them infinite
    if temperature == 0.0:
        return int(scores.argmax())
    scores /= temperature
    if top_k is not None and top_k < len(scores):
        lowest = scores.topk(top_k).values[-1]
        scores[scores < lowest] = -torch.inf
    return int(torch.multinomial(scores.softmax(0), 1, generator=generator))


def prime_ids(vocabulary: Vocabulary, prime: str) -> list[int]:
    """The tokens to read before sampling; an empty ``prime`` is the end of a line.

    RnndslError (E0713) for characters that the vocabulary lacks; unknown words are ``<unk>``.
    """
    tokens = split_tokens(prime, vocabulary.level)
    if not tokens:
        first = "\n" if vocabulary.level == "char" else END_OF_LINE
        return [vocabulary.encode([first]).item()] if first in vocabulary else [0]
    unseen = vocabulary.unseen(tokens)
    if unseen and vocabulary.level == "char":
        known = "".join(sorted(t for t in vocabulary.tokens if len(t) == 1))
        raise training_error(
            UnknownTokens(
                tokens=", ".join(repr(token) for token in sorted(unseen)), known=repr(known)
            )
        )
    return [int(token) for token in vocabulary.encode(tokens)]


def _check(length: int, temperature: float, top_k: int | None) -> None:
    rules: tuple[tuple[str, Any, bool, str], ...] = (
        ("length", length, length >= 0, "0 or more"),
        ("temperature", temperature, 0.0 <= temperature < float("inf"), "0 or more"),
        ("top-k", top_k, top_k is None or top_k >= 1, "1 or more"),
    )
    for name, value, holds, wanted in rules:
        if not holds:
            raise training_error(BadSetting(name=name, value=str(value), wanted=wanted))

"""A run whose numbers are no longer finite: which step, and where in the model."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from rnndsl.backends.errors_torch import NonFinite
from rnndsl.diagnostics import Diagnostic
from rnndsl.training.config import TrainConfig
from rnndsl.training.errors import TrainingDiverged, TrainingDivergedError
from rnndsl.training.model import LanguageModel
from rnndsl.training.states import State


def diverged(
    model: LanguageModel,
    tokens: Tensor,
    state: State,
    step: int,
    what: str,
    value: float,
    config: TrainConfig,
) -> TrainingDivergedError:
    """The error for a run that diverged at ``step``, reading ``tokens`` from ``state``."""
    place, layer, origin = find_place(model, tokens, state)
    # At the first step no update has been made: the learning rate is not to blame.
    lr = f"{config.lr:g}" if step > 1 else ""
    mistake = TrainingDiverged(what=what, value=str(value), step=step, place=place, lr=lr)
    cell = getattr(layer, "cell", None)
    sources = cell.sources() if origin is not None and cell is not None else ()
    return TrainingDivergedError(mistake, origin, sources)


def check_parameters(model: LanguageModel, step: int, config: TrainConfig) -> None:
    """TrainingDivergedError when a parameter is no longer finite after ``step``."""
    for name, parameter in model.named_parameters():
        bad = parameter.detach()[~parameter.isfinite()]
        if bad.numel():
            raise TrainingDivergedError(
                TrainingDiverged(
                    what=f"parameter `{name}`",
                    value=str(bad[0].item()),
                    step=step,
                    place="",
                    lr=f"{config.lr:g}",
                )
            )


def find_place(
    model: LanguageModel, tokens: Tensor, state: State
) -> tuple[str, nn.Module | None, Diagnostic | None]:
    """The first parameter or layer that is not finite: in words, as a module, and what the
    layer itself says about it; empty and None where nothing is found."""
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            return f"the parameter `{name}` is not finite", None, None
    before = state if isinstance(state, tuple) else (None,) * len(model.layers)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            x = model.embedding(tokens)
            for index, (layer, layer_state) in enumerate(zip(model.layers, before, strict=True)):
                y, _ = layer(x, layer_state)
                origin = _origin(layer, x, layer_state, index)
                if origin is not None:
                    return "", layer, origin
                if not bool(y.isfinite().all()):
                    return f"the output of layer {index} is not finite", layer, None
                x = y
    finally:
        model.train(was_training)
    return "", None, None


def _origin(layer: nn.Module, x: Tensor, state: State, index: int) -> Diagnostic | None:
    """Where in the cell it arose, for a layer that can tell."""
    find = getattr(layer, "find_nonfinite", None)
    found = find(x, state) if callable(find) else None
    # Each layer of the model is the only one of its own stack.
    return replace(found, layer=f"layer {index}") if isinstance(found, NonFinite) else None

"""A run whose numbers are no longer finite: which step, and where in the model."""

from __future__ import annotations

import torch
from torch import Tensor

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
    place = find_place(model, tokens, state)
    return TrainingDivergedError(
        TrainingDiverged(what=what, value=str(value), step=step, place=place, lr=f"{config.lr:g}")
    )


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


def find_place(model: LanguageModel, tokens: Tensor, state: State) -> str:
    """The first parameter or value that is not finite, in words; empty when none is found."""
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            return f"the parameter `{name}` is not finite"
    before = state if isinstance(state, tuple) else (None,) * len(model.layers)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            x = model.embedding(tokens)
            for index, (layer, layer_state) in enumerate(zip(model.layers, before, strict=True)):
                y, _ = layer(x, layer_state)
                if not bool(y.isfinite().all()):
                    return _place_in_layer(layer, x, layer_state, index)
                x = y
    finally:
        model.train(was_training)
    return ""


def _place_in_layer(layer: object, x: Tensor, state: State, index: int) -> str:
    """What the layer itself says about it, where it can."""
    find = getattr(layer, "find_nonfinite", None)
    found = find(x, state) if callable(find) else None
    where = f"layer {index + 1}"
    return f"{where}: {found}" if found else f"the output of {where} is not finite"

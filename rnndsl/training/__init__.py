"""Training language models: data, loop, checkpoints, generation.

The names load on first use, so that importing the package loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnndsl.training.config import TrainConfig as TrainConfig
    from rnndsl.training.corpus import Corpus as Corpus
    from rnndsl.training.corpus import build_corpus as build_corpus
    from rnndsl.training.corpus import load_corpus as load_corpus
    from rnndsl.training.errors import TrainingDivergedError as TrainingDivergedError
    from rnndsl.training.generate import generate as generate_text
    from rnndsl.training.generate import load_trained as load_trained
    from rnndsl.training.loop import train as train
    from rnndsl.training.progress import Progress as Progress
    from rnndsl.training.progress import StopTraining as StopTraining
    from rnndsl.training.progress import TrainResult as TrainResult
    from rnndsl.training.size import parameter_count as parameter_count
    from rnndsl.training.size import solve_width as solve_width
    from rnndsl.training.time_blocks import blockwise as blockwise
    from rnndsl.training.time_blocks import blockwise_loss as blockwise_loss

# name -> module and name there; no name equals that of a module of this package
_HOMES = {
    "Corpus": ("corpus", "Corpus"),
    "Progress": ("progress", "Progress"),
    "StopTraining": ("progress", "StopTraining"),
    "TrainConfig": ("config", "TrainConfig"),
    "TrainResult": ("progress", "TrainResult"),
    "TrainingDivergedError": ("errors", "TrainingDivergedError"),
    "blockwise": ("time_blocks", "blockwise"),
    "blockwise_loss": ("time_blocks", "blockwise_loss"),
    "build_corpus": ("corpus", "build_corpus"),
    "generate_text": ("generate", "generate"),
    "load_corpus": ("corpus", "load_corpus"),
    "load_trained": ("generate", "load_trained"),
    "parameter_count": ("size", "parameter_count"),
    "solve_width": ("size", "solve_width"),
    "train": ("loop", "train"),
}

__all__ = [  # noqa: RUF022 - in the order of use
    "TrainConfig",
    "TrainResult",
    "TrainingDivergedError",
    "Progress",
    "StopTraining",
    "Corpus",
    "build_corpus",
    "load_corpus",
    "train",
    "blockwise_loss",
    "blockwise",
    "load_trained",
    "generate_text",
    "parameter_count",
    "solve_width",
]

if not TYPE_CHECKING:  # so that checkers flag a misspelt name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'rnndsl.training' has no attribute {name!r}")
        module, attribute = _HOMES[name]
        value = getattr(import_module(f"rnndsl.training.{module}"), attribute)
        globals()[name] = value
        return value

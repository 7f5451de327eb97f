"""TensorBoard curves, where TensorBoard is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from rnndsl.training.evaluate import bits, perplexity
from rnndsl.training.progress import Progress

ABSENT = "TensorBoard is not installed, so no curves are written: pip install tensorboard"


def is_installed() -> bool:
    """Whether TensorBoard can be imported; does not import it."""
    return importlib.util.find_spec("tensorboard") is not None


class Curves:
    """Writes the curves of a run to ``folder``; what lies after ``step`` there is replaced."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # a second to import

        self.writer: Any = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, progress: Progress) -> None:
        """Add the points of one step."""
        step = progress.step
        if progress.valid_loss is not None:
            self._add_loss("valid", progress.valid_loss, progress)
            self._add_loss("train", progress.train_loss, progress)
            self.writer.flush()
        self.writer.add_scalar("loss/step", progress.loss, step)
        self.writer.add_scalar("learning_rate", progress.learning_rate, step)
        self.writer.add_scalar("gradient_norm", progress.gradient_norm, step)
        self.writer.add_scalar("tokens_per_second", progress.tokens_per_second, step)

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()

    def _add_loss(self, split: str, loss: float, progress: Progress) -> None:
        name, value = (
            ("bits_per_character", bits(loss))
            if progress.level == "char"
            else ("perplexity", perplexity(loss))
        )
        self.writer.add_scalar(f"{name}/{split}", value, progress.step)

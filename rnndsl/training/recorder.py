"""What a run leaves in its folder while it goes; nothing, where it has none."""

from __future__ import annotations

from pathlib import Path

from rnndsl.training.checkpoint import load_checkpoint, save_checkpoint
from rnndsl.training.config import config_to_json, resolve_path
from rnndsl.training.divergence import check_parameters
from rnndsl.training.metrics import MetricsLog
from rnndsl.training.progress import Progress, Validation
from rnndsl.training.run import Run
from rnndsl.training.rundir import RunDir
from rnndsl.training.snapshot import restore, take_snapshot


class Recorder:
    """Keeps nothing: a run without a folder."""

    def step(self, run: Run, progress: Progress, validation: Validation | None) -> None:
        """After each step."""

    def validation(self, run: Run, validation: Validation, loss: float | None = None) -> None:
        """After a validation; ``loss`` is the step's, None where it is recorded already."""

    def end(self, run: Run) -> None:
        """After the last step."""


class FolderRecorder(Recorder):
    """Metrics, last.pt and best.pt in the folder of a run."""

    def __init__(self, folder: RunDir, cell_text: str, saved_step: int) -> None:
        self.folder = folder
        self.cell_text = cell_text
        self.metrics = MetricsLog(folder.metrics)
        self.saved_step = saved_step

    def step(self, run: Run, progress: Progress, validation: Validation | None) -> None:
        step = progress.step
        every = run.config.checkpoint_every
        if validation is None and step % run.config.log_every == 0:
            self.metrics.append(
                {
                    "step": step,
                    "epoch": progress.epoch,
                    "loss": progress.loss,
                    "train_loss": progress.train_loss,
                    "learning_rate": progress.learning_rate,
                    "gradient_norm": progress.gradient_norm,
                    "tokens": progress.tokens,
                    "tokens_per_second": round(progress.tokens_per_second, 1),
                    "seconds": round(progress.seconds, 3),
                }
            )
        if validation is not None:
            self.validation(run, validation, progress.loss)
        elif every is not None and step % every == 0:
            self.save(run)

    def validation(self, run: Run, validation: Validation, loss: float | None = None) -> None:
        position = run.position
        self.metrics.append(
            {
                "step": validation.step,
                "epoch": validation.epoch,
                **({} if loss is None else {"loss": loss}),
                "train_loss": validation.train_loss,
                "valid_loss": validation.valid_loss,
                "best_loss": position.best_loss,
                "learning_rate": validation.learning_rate,
                "tokens": position.tokens,
                "seconds": round(position.seconds, 3),
            }
        )
        if position.best_step == validation.step:
            self.save(run, self.folder.best)
        self.save(run)

    def end(self, run: Run) -> None:
        if self.saved_step != run.position.step:
            self.save(run)

    def save(self, run: Run, path: Path | None = None) -> None:
        """Write a checkpoint, unless a parameter is no longer finite: the last one then stays."""
        check_parameters(run.model, run.position.step, run.config)
        save_checkpoint(path or self.folder.last, take_snapshot(run, self.cell_text))
        self.saved_step = run.position.step


def open_recorder(run: Run, cell_text: str, resume: bool) -> Recorder:
    """The recorder of ``run``; with ``resume``, ``run`` is brought to where its folder left it."""
    if run.config.run_dir is None:
        return Recorder()
    folder = RunDir(Path(run.config.run_dir))
    values = config_to_json(run.config)
    values["data"] = resolve_path(run.config.data)
    if not resume:
        folder.create(values, cell_text)
        recorder = FolderRecorder(folder, cell_text, saved_step=-1)
        recorder.save(run)  # so that a run that is killed at once can be resumed, too
        return recorder
    restore(run, load_checkpoint(folder.last), folder.last, cell_text)
    folder.remove_leftovers()
    folder.write_config(values)
    recorder = FolderRecorder(folder, cell_text, saved_step=run.position.step)
    recorder.metrics.rewind(run.position.step)
    return recorder

"""Training from beginning to end: steps, validations, checkpoints, and when to stop."""

from __future__ import annotations

import time

import torch

from rnndsl.training.cells import cell_source, lower_for_text, resolve_cell
from rnndsl.training.config import TrainConfig
from rnndsl.training.corpus import Corpus, load_corpus
from rnndsl.training.hardware import check_device, memory_errors, thread_count
from rnndsl.training.interrupt import Interrupt, deferred_interrupt
from rnndsl.training.layers import LayerFactory, cell_layers
from rnndsl.training.progress import (
    OnProgress,
    Progress,
    StopReason,
    StopTraining,
    TrainResult,
    Validation,
)
from rnndsl.training.recorder import Recorder, open_recorder
from rnndsl.training.run import Run, StepResult, start_run, train_step, validate


def train(
    config: TrainConfig,
    on_progress: OnProgress | None = None,
    *,
    resume: bool = False,
    corpus: Corpus | None = None,
    make_layer: LayerFactory | None = None,
) -> TrainResult:
    """Train the language model that ``config`` describes.

    ``on_progress`` is called after every step; it ends the run by returning False or raising
    StopTraining.  With ``config.run_dir``, checkpoints and metrics are kept there, Ctrl-C ends
    the run after the step, and ``resume`` continues it: on the CPU, to the same bits as if it
    had never stopped.  ``corpus`` spares reading the data again; ``make_layer`` puts another
    recurrent layer in place of the cell's.  Threads and the global random state are left as
    they were.  RnndslError for mistakes of the user; TrainingDivergedError when it diverges.
    """
    check_device(config.device)
    if corpus is None:
        corpus = load_corpus(config.data, config.level, config.min_count)
    if make_layer is None:
        cell = resolve_cell(config.cell)
        lower_for_text(cell, dict(config.numbers))
        make_layer, text = cell_layers(cell, config), cell_source(cell)
    else:
        text = f"# {config.cell_name}: a layer that was handed to train()\n"
    interruptible = config.run_dir is not None
    with (
        thread_count(config.threads),
        memory_errors(config.device),
        torch.random.fork_rng(devices=[]),
        deferred_interrupt(interruptible) as interrupt,
    ):
        torch.manual_seed(config.seed)
        run = start_run(config, corpus, make_layer)
        recorder = open_recorder(run, text, resume)
        stopped = _loop(run, recorder, on_progress, interrupt)
        return _result(run, stopped)


def _loop(
    run: Run, recorder: Recorder, on_progress: OnProgress | None, interrupt: Interrupt
) -> StopReason:
    position = run.position
    before = position.seconds
    started = time.perf_counter()
    first_tokens = position.tokens
    measured: StepResult = {"loss": float("nan"), "learning_rate": 0.0, "gradient_norm": 0.0}

    stopped = _bound(run, position.seconds)
    while stopped is None:
        measured = train_step(run)
        validation = None
        if _is_to_validate(run):
            train_loss = position.train_loss
            validation = validate(run, measured["learning_rate"])
        else:
            train_loss = position.train_loss
        elapsed = time.perf_counter() - started
        position.seconds = before + elapsed
        speed = (position.tokens - first_tokens) / max(elapsed, 1e-9)
        progress = _progress(run, measured, train_loss, validation, speed)
        recorder.step(run, progress, validation)
        stopped = _tell(on_progress, progress) or _bound(run, position.seconds)
        if stopped is None and interrupt.requested:
            stopped = "interrupted"

    if stopped in ("finished", "early", "time") and not _just_validated(run):
        validation = validate(run, measured["learning_rate"], last=True)
        recorder.validation(run, validation)
    recorder.end(run)
    return stopped


def _is_to_validate(run: Run) -> bool:
    """Whether a validation follows the step that was just made."""
    config, step = run.config, run.position.step
    if config.eval_steps:
        return step in config.eval_steps
    return step % (config.eval_every or run.epoch_steps) == 0


def _bound(run: Run, seconds: float) -> StopReason | None:
    """Why the run may not take another step; None while it may."""
    config, position, total = run.config, run.position, run.total_steps
    if config.patience is not None and position.waited >= config.patience:
        return "early"
    if total is not None and position.step >= total:
        return "finished"
    if config.seconds is not None and seconds >= config.seconds:
        return "time"
    return None


def _tell(on_progress: OnProgress | None, progress: Progress) -> StopReason | None:
    if on_progress is None:
        return None
    try:
        return "pruned" if on_progress(progress) is False else None
    except StopTraining:
        return "pruned"


def _just_validated(run: Run) -> bool:
    return bool(run.history) and run.history[-1].step == run.position.step


def _progress(
    run: Run,
    measured: StepResult,
    train_loss: float,
    validation: Validation | None,
    speed: float,
) -> Progress:
    config, position = run.config, run.position
    return Progress(
        step=position.step,
        total_steps=run.total_steps,
        epoch=run.epoch,
        epochs=config.epochs,
        level=config.level,
        loss=measured["loss"],
        train_loss=train_loss,
        valid_loss=None if validation is None else validation.valid_loss,
        best_loss=position.best_loss,
        learning_rate=measured["learning_rate"],
        gradient_norm=measured["gradient_norm"],
        tokens=position.tokens,
        tokens_per_second=speed,
        seconds=position.seconds,
        eta=_time_left(run, speed),
    )


def _time_left(run: Run, speed: float) -> float | None:
    """Seconds until the nearest bound, at the present speed."""
    bounds = []
    total = run.total_steps
    if total is not None:
        per_step = run.position.tokens / max(run.position.step, 1)
        bounds.append((total - run.position.step) * per_step / max(speed, 1e-9))
    if run.config.seconds is not None:
        bounds.append(max(0.0, run.config.seconds - run.position.seconds))
    return min(bounds) if bounds else None


def _result(run: Run, stopped: StopReason) -> TrainResult:
    position = run.position
    return TrainResult(
        stopped=stopped,
        step=position.step,
        valid_loss=run.history[-1].valid_loss if run.history else None,
        best_loss=position.best_loss if run.history else None,
        best_step=position.best_step,
        parameters=sum(p.numel() for p in run.model.parameters()),
        tokens=position.tokens,
        seconds=position.seconds,
        history=tuple(run.history),
        warnings=run.corpus.warnings(),
        config=run.config,
        model=run.model,
    )

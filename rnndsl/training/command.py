"""``rnndsl train``: train a language model on text, live, and resume it."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rnndsl.commands.settings import add_settings
from rnndsl.training.options import add_options, given_settings

if TYPE_CHECKING:
    from rnndsl.training.config import TrainConfig
    from rnndsl.training.corpus import Corpus
    from rnndsl.training.progress import Progress, TrainResult

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rnndsl train``."""
    parser.add_argument(
        "cell",
        nargs="?",
        metavar="CELL",
        help="a cell's name, or a .rnn file, or FILE.rnn:NAME for one of its cells (default lstm)",
    )
    parser.add_argument("--out", metavar="FOLDER", help="of the run (default runs/CELL-1, -2, …)")
    parser.add_argument("--resume", metavar="FOLDER", help="continue the run in FOLDER")
    add_settings(parser)
    parser.add_argument(
        "--tensorboard",
        action=argparse.BooleanOptionalAction,
        help="write TensorBoard curves (default: when it is installed)",
    )
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Train; the exit code: 0, or 130 after Ctrl-C."""
    from rnndsl.training.corpus import load_corpus
    from rnndsl.training.display import open_display
    from rnndsl.training.loop import train

    config = _resumed_config(args) if args.resume else _new_config(args)
    corpus = load_corpus(config.data, config.level, config.min_count)
    _print_start(config, corpus)
    with ExitStack() as stack:
        display = stack.enter_context(open_display())
        curves = _Curves(config, args.tensorboard)
        stack.callback(curves.close)

        def on_progress(progress: Progress) -> None:
            display.show(progress)
            curves.add(progress)

        result = train(config, on_progress, resume=bool(args.resume), corpus=corpus)
    return _print_end(config, corpus, result)


def _new_config(args: argparse.Namespace) -> TrainConfig:
    from rnndsl.training.cells import resolve_cell
    from rnndsl.training.config import TrainConfig
    from rnndsl.training.rundir import free_run_dir

    cell = resolve_cell(args.cell or "lstm")
    folder = Path(args.out) if args.out else free_run_dir(Path("runs"), cell.name.lower())
    return TrainConfig(
        cell=cell, numbers=tuple(args.set), run_dir=str(folder), **given_settings(args)
    )


def _resumed_config(args: argparse.Namespace) -> TrainConfig:
    """The settings that the run was started with, except for those given anew."""
    from rnndsl.training.cells import resolve_cell, stored_cell
    from rnndsl.training.config import config_from_json
    from rnndsl.training.rundir import RunDir

    folder = RunDir(Path(args.resume))
    values = folder.read_config()
    cell = resolve_cell(args.cell) if args.cell else stored_cell(folder)
    config = config_from_json({**values, **given_settings(args)}, cell)
    numbers = tuple(args.set) or config.numbers
    return replace(config, numbers=numbers, run_dir=str(folder.path))


class _Curves:
    """TensorBoard curves: when asked for, or when it is installed and nothing was said."""

    def __init__(self, config: TrainConfig, asked: bool | None) -> None:
        from rnndsl.training.tensorboard import ABSENT, is_installed

        self.config = config
        self.wanted = asked is not False and is_installed()
        self.writer: object = None
        if asked and not self.wanted:
            print(ABSENT)

    def add(self, progress: Progress) -> None:
        from rnndsl.training.rundir import RunDir
        from rnndsl.training.tensorboard import Curves

        if not self.wanted or self.config.run_dir is None:
            return
        if not isinstance(self.writer, Curves):
            folder = RunDir(Path(self.config.run_dir)).tensorboard
            self.writer = Curves(folder, progress.step - 1)
        self.writer.add(progress)

    def close(self) -> None:
        from rnndsl.training.tensorboard import Curves

        if isinstance(self.writer, Curves):
            self.writer.close()


def _print_start(config: TrainConfig, corpus: Corpus) -> None:
    from rnndsl.training.size import parameter_count

    vocabulary = len(corpus.vocabulary)
    count = parameter_count(
        config.cell,
        config.hidden,
        vocabulary=vocabulary,
        embedding=config.embedding_size,
        layers=config.layers,
        tied=config.tied,
        numbers=dict(config.numbers),
    )
    noun = "characters" if config.level == "char" else "words"
    print(f"{config.cell_name}: {count:,} parameters")
    print(
        f"{corpus.name}: {len(corpus.train):,} {noun} to train on, {len(corpus.valid):,} to "
        f"validate, {len(corpus.test):,} to test; {vocabulary:,} distinct"
    )
    for warning in corpus.warnings():
        print(f"note: {warning}")
    print(f"run: {config.run_dir}", flush=True)


_ENDS = {
    "finished": "finished",
    "early": "stopped early: no better validation",
    "time": "stopped: the time is used up",
    "pruned": "stopped",
}


def _print_end(config: TrainConfig, corpus: Corpus, result: TrainResult) -> int:
    from rnndsl.training.display import format_seconds
    from rnndsl.training.evaluate import format_loss

    if result.stopped == "interrupted":
        print(f"interrupted after step {result.step}; everything is saved")
        print(f"continue with: rnndsl train --resume {config.run_dir}")
        return INTERRUPTED
    print(f"{_ENDS[result.stopped]} after {result.step} steps, {format_seconds(result.seconds)}")
    if result.best_loss is not None:
        best = format_loss(result.best_loss, config.level)
        print(f"best validation: {best} at step {result.best_step}")
        test = _test_loss(config, corpus)
        if test is not None:
            print(f"test: {format_loss(test, config.level)}")
    print(f"sample from it with: rnndsl generate {config.run_dir}")
    return 0


def _test_loss(config: TrainConfig, corpus: Corpus) -> float | None:
    """The best model's loss on the test text; None where that is too short to have one."""
    from rnndsl.training.batches import evaluation_streams
    from rnndsl.training.evaluate import evaluate
    from rnndsl.training.generate import load_trained

    if config.run_dir is None or len(corpus.test) < 2:
        return None
    trained = load_trained(config.run_dir, device=config.device)
    streams = evaluation_streams(
        corpus.test, config.batch, config.bptt, corpus.name, "test", None, config.device
    )
    return evaluate(trained.model, streams)

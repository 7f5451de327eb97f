"""``rnndsl search``: look for a cell in a space, live, and resume it."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import OptunaMissing, SpaceMissing
from rnndsl.search.options import (
    add_arguments,
    check_budgets,
    command_line,
    read_knobs,
    train_settings,
)

if TYPE_CHECKING:
    from rnndsl.search.objective import TrainObjective, TrainSettings
    from rnndsl.search.space import Space
    from rnndsl.search.study import SearchResult, SearchSettings

__all__ = ["add_arguments", "command_line", "run"]

INTERRUPTED = 130


def run(args: argparse.Namespace) -> int:
    """Search; the exit code: 0, or 130 after Ctrl-C."""
    if args.recipes is not None:
        from rnndsl.search.recipes import import_recipe_file

        count = import_recipe_file(Path(args.recipes), Path(args.to))
        print(f"{count} cells written to {args.to}")
        return 0
    if importlib.util.find_spec("optuna") is None:
        raise RnndslError(OptunaMissing(None))
    check_budgets(args)
    if args.samplers:
        _list_samplers()
        return 0
    if args.rerun is not None:
        from rnndsl.search.rerun import rerun_trial

        return rerun_trial(args.study, args.storage, args.rerun, args.data, args.threads)
    if args.space is None:
        raise RnndslError(SpaceMissing(None))
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    from rnndsl.search.rungs import make_pruner
    from rnndsl.search.samplers import sampler
    from rnndsl.search.searchers.plain import load_start
    from rnndsl.search.study import SearchSettings
    from rnndsl.search.workers import share_of_threads

    record = sampler(args.sampler)
    knobs = read_knobs(args.knob)
    space = load_start(args.space, knobs)
    if _look(space, args):
        return 0
    record.check(space)
    training = train_settings(args)
    if args.workers > 1 and training.threads is None:
        training = replace(training, threads=share_of_threads(args.workers))
    seconds, trials = args.seconds, args.trials
    settings = SearchSettings(
        space=space,
        sampler=record,
        folder=Path(args.study or f"studies/{space.name}"),
        seed=args.seed or 0,
        trials=50 if trials is None and seconds is None else trials,
        seconds=seconds,
        command=command_line(args),
        storage=args.storage,
        workers=args.workers,
        pruner=make_pruner(args.pruner, training.places),
        seeds=args.seeds or 0,
    )
    return _search(settings, training)


def _look(space: Space, args: argparse.Namespace) -> bool:
    """Print what was asked of the space, if anything was."""
    from rnndsl.search.looking import show, show_all, show_count

    if args.show is not None:
        show(space, args.show, args.seed or 0)
    elif args.count is not None:
        show_count(space, args.count, args.seed or 0)
    elif args.enumerate:
        show_all(space)
    else:
        return False
    return True


def _search(settings: SearchSettings, training: TrainSettings) -> int:
    from rnndsl.search.display import open_display, print_end
    from rnndsl.search.looking import size_line
    from rnndsl.search.objective import TrainObjective
    from rnndsl.search.study import run_search

    _end_on_sigterm()
    objective = TrainObjective(training)
    print(size_line(settings.space))
    print(_training_line(objective, training))
    shown = f"{settings.workers} workers, " if settings.workers > 1 else ""
    print(f"study: {settings.place.shown}  ({shown}sampler {settings.sampler.name})", flush=True)
    with open_display(objective.unit) as display:
        result = run_search(settings, objective, display)
    print_end(result)
    return _say_end(settings, result, training)


def _training_line(objective: TrainObjective, training: TrainSettings) -> str:
    trained = f"each is trained for {training.steps} steps on {objective.trainer.title}"
    if "parameters" in training.objectives:
        return f"{trained} at width {training.hidden}, as {training.baseline}"
    return (
        f"{trained} with as many parameters as {training.baseline} of width "
        f"{training.hidden}: {objective.budget:,}"
    )


def _end_on_sigterm() -> None:
    """Schedulers end a job by this signal some time before they kill it: let it be Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)


_ENDS = {
    "trials": "finished",
    "time": "stopped: the time is used up",
    "exhausted": "stopped: nothing new is found in this space any more",
}


def _say_end(settings: SearchSettings, result: SearchResult, training: TrainSettings) -> int:
    from rnndsl.search.results import WINNER
    from rnndsl.search.trainers import TEXT_TASKS

    winner = settings.folder / WINNER
    if result.ended == "interrupted":
        print("interrupted; all trials are saved")
        print(f"continue with: {settings.command}")
        return INTERRUPTED
    print(_ENDS[result.ended])
    if result.board.winner is not None:
        if training.task in TEXT_TASKS:
            width = result.board.winner.facts["width"]
            sizes = f"--hidden {width} --embedding {training.hidden}"
            level = " --level word" if training.task == "word" else ""
            print(f"the best cell is in {winner}; train it with:")
            print(f"  rnndsl train {shlex.quote(str(winner))} {sizes}{level}")
        else:
            print(f"the best cell is in {winner}")
        place = f" --storage {settings.storage}" if settings.storage else ""
        from rnndsl.search.storage import hide_password

        print(f"see it all with: rnndsl report {settings.folder}{hide_password(place)}")
    return 0


def _list_samplers() -> None:
    from rnndsl.search.samplers import SAMPLERS

    for name, record in SAMPLERS.items():
        print(f"{name:<12} {record.summary}")
        if record.options:
            options = ",".join(f"{key}={value}" for key, value in record.options.items())
            print(f"{'':<12}   {options}")

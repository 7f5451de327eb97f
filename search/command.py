"""``rnndsl search``: look for a cell in a space, live, and resume it."""

from __future__ import annotations

import argparse
import importlib.util
import math
import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import BadBudget, OptunaMissing

if TYPE_CHECKING:
    from rnndsl.search.objective import TrainSettings
    from rnndsl.search.space import Space
    from rnndsl.search.study import SearchResult, SearchSettings

INTERRUPTED = 130

# name, type, help; each sets the field of TrainSettings of that name.
_TRAINING: tuple[tuple[str, type, str], ...] = (
    ("level", str, "what a token is: char or word"),
    ("baseline", str, "the cell to compare with: a name or a .rnn file"),
    ("hidden", int, "width of the baseline; a candidate gets as many parameters"),
    ("steps", int, "training steps of one cell"),
    ("rungs", int, "validations of one run; at each, a run below the median is stopped"),
    ("batch", int, "streams read side by side"),
    ("bptt", int, "time steps of one truncated backpropagation"),
    ("lr", float, "learning rate"),
    ("eval-tokens", int, "validate on at most so many tokens"),
    ("seed", int, "of the search, the initial weights and the static checks"),
    ("threads", int, "threads of the CPU"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rnndsl search``."""
    parser.add_argument(
        "space",
        metavar="SPACE",
        help="a .rnn file with a space (FILE.rnn:NAME for one of several), or the name of one "
        "that ships: dag, free, gated, lstm_gates, tree",
    )
    parser.add_argument("--data", metavar="PATH", help="text file or folder (default: bundled)")
    parser.add_argument("--study", metavar="FOLDER", help="of the study (default studies/SPACE)")
    parser.add_argument(
        "--sampler", default="tpe", metavar="NAME", help="random or tpe (default %(default)s)"
    )
    parser.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help="cells to train, those of earlier calls included (default 50)",
    )
    parser.add_argument("--seconds", type=float, metavar="X", help="search at most so long")
    parser.add_argument(
        "--show",
        type=int,
        nargs="?",
        const=3,
        metavar="N",
        help="print the size of the space and N cells drawn from it, and train none",
    )
    group = parser.add_argument_group("how each cell is trained")
    for name, kind, text in _TRAINING:
        default = _default(name)
        shown = f"{text} (default {'all' if default is None else default})"
        group.add_argument(f"--{name}", type=kind, metavar=kind.__name__.upper(), help=shown)


def run(args: argparse.Namespace) -> int:
    """Search; the exit code: 0, or 130 after Ctrl-C."""
    if importlib.util.find_spec("optuna") is None:
        raise RnndslError(OptunaMissing(None))
    from rnndsl.search.reading import load_space
    from rnndsl.search.samplers import sampler
    from rnndsl.search.study import SearchSettings

    _check(args)
    space = load_space(args.space)
    if args.show is not None:
        _show(space, args.show, args.seed or 0)
        return 0
    seconds, trials = args.seconds, args.trials
    settings = SearchSettings(
        space=space,
        sampler=sampler(args.sampler),
        folder=Path(args.study or f"studies/{space.name}"),
        seed=args.seed or 0,
        trials=50 if trials is None and seconds is None else trials,
        seconds=seconds,
        command=command_line(args),
    )
    return _search(settings, _train_settings(args))


def _search(settings: SearchSettings, training: TrainSettings) -> int:
    from rnndsl.search.display import open_display, print_end
    from rnndsl.search.objective import TrainObjective
    from rnndsl.search.study import run_search
    from rnndsl.training import load_corpus

    corpus = load_corpus(training.data, training.level)  # type: ignore[arg-type]
    objective = TrainObjective(training, corpus)
    print(_size_line(settings.space))
    print(
        f"each is trained for {training.steps} steps on {corpus.name} with as many parameters "
        f"as {training.baseline} of width {training.hidden}: {objective.budget:,}"
    )
    print(f"study: {settings.folder}  (sampler {settings.sampler.name})", flush=True)
    with open_display(objective.unit) as display:
        result = run_search(settings, objective, display)
    print_end(result)
    return _say_end(settings, result, training.hidden)


_ENDS = {
    "trials": "finished",
    "time": "stopped: the time is used up",
    "exhausted": "stopped: nothing new is found in this space any more",
}


def _say_end(settings: SearchSettings, result: SearchResult, embedding: int) -> int:
    from rnndsl.search.results import WINNER

    winner = settings.folder / WINNER
    if result.ended == "interrupted":
        print("interrupted; all trials are saved")
        print(f"continue with: {settings.command}")
        return INTERRUPTED
    print(_ENDS[result.ended])
    if result.board.winner is not None:
        sizes = f"--hidden {result.board.winner.facts['width']} --embedding {embedding}"
        print(f"the best cell is in {winner}; train it with:")
        print(f"  rnndsl train {shlex.quote(str(winner))} {sizes}")
    return 0


def _show(space: Space, count: int, seed: int) -> None:
    import random

    from rnndsl.search.counting import Counter
    from rnndsl.search.fill import fill_derivation
    from rnndsl.search.reading import candidate_text

    print(_size_line(space))
    for choice in space.choices:
        if choice.name in space.roots:
            print(f"  {choice.name}: {' | '.join(choice.labels)}")
    counter, generator = Counter(space), random.Random(seed)
    for _ in range(count):
        derivation = counter.draw_by_size(generator)
        print()
        print(candidate_text(space, fill_derivation(space, derivation)), end="")


def _size_line(space: Space) -> str:
    from rnndsl.search.counting import Counter

    total = Counter(space).total
    shown = f"{total:,}" if total < 10**15 else f"about 10^{math.floor(math.log10(total))}"
    return f"{space.name}: {len(space.choices)} choices, {shown} cells"


def command_line(args: argparse.Namespace) -> str:
    """The command that does this search again, with what was not left to its default."""
    words = ["rnndsl", "search", shlex.quote(args.space)]
    for name in ("data", "study", "sampler", "trials", "seconds", *(n for n, _, _ in _TRAINING)):
        value = getattr(args, name.replace("-", "_"), None)
        if value is not None:
            words.append(f"--{name} {shlex.quote(str(value))}")
    return " ".join(words)


def _train_settings(args: argparse.Namespace) -> TrainSettings:
    from rnndsl.search.objective import TrainSettings

    names = [name.replace("-", "_") for name, _, _ in _TRAINING]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return TrainSettings(data=args.data, **given)


def _default(name: str) -> Any:
    from rnndsl.search.objective import TrainSettings

    return {f.name: f.default for f in fields(TrainSettings)}[name.replace("-", "_")]


def _check(args: argparse.Namespace) -> None:
    """What would fail later, or train nothing, in other words."""
    for name in ("trials", "seconds", "hidden", "steps", "rungs", "threads"):
        value = getattr(args, name)
        if value is not None and value <= 0:
            raise RnndslError(BadBudget(None, name, str(value), "above 0"))

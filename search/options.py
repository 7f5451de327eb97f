"""The options of ``rnndsl search``, and the command line that does a search again."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import BadBudget
from rnndsl.search.errors_spaces import BadKnob

if TYPE_CHECKING:
    from rnndsl.search.objective import TrainSettings

_TASK_HELP = (
    "char or word: a language model of --data; or a generated one: adding, copy, digits, "
    "frequency, mackey_glass, parity"
)

# name, type, help; each sets the field of TrainSettings of that name.
TRAINING: tuple[tuple[str, type, str], ...] = (
    (
        "task",
        str,
        _TASK_HELP,
    ),
    ("min-count", int, "words seen fewer times are <unk>"),
    ("baseline", str, "the cell to compare with: a name or a .rnn file"),
    ("hidden", int, "width of the baseline; a candidate gets as many parameters"),
    ("steps", int, "training steps of one cell"),
    ("rungs", int, "validations of one run, at which others may be preferred to it"),
    ("factor", int, "each rung has so many times the steps of the one before"),
    ("batch", int, "streams read side by side"),
    ("bptt", int, "time steps of one truncated backpropagation"),
    ("lr", float, "learning rate"),
    ("eval-tokens", int, "validate on at most so many tokens"),
    ("seed", int, "of the search, the initial weights and the static checks"),
    ("threads", int, "threads of the CPU for each worker"),
    ("backend", str, "what cells are compiled with for training: torch or tvm"),
)

# What a command that repeats the search has to say besides, where it was given.
_SEARCHING = (
    "data",
    "study",
    "storage",
    "sampler",
    "objective",
    "pruner",
    "trials",
    "seconds",
    "seeds",
    "workers",
)

_ABOVE_ZERO = (
    "trials",
    "seconds",
    "seeds",
    "workers",
    "hidden",
    "steps",
    "rungs",
    "threads",
    "min-count",
    "batch",
    "bptt",
    "eval-tokens",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rnndsl search``."""
    parser.add_argument(
        "space",
        metavar="SPACE",
        nargs="?",
        help="a .rnn file with a space (FILE.rnn:NAME for one of several), or the name of one "
        "that ships: dag, enas, free, gated, hyper, lstm_gates, rnn_dsl, tree",
    )
    add = parser.add_argument
    add("--data", metavar="PATH", help="text file or folder (default: bundled)")
    add("--study", metavar="FOLDER", help="of the study (default studies/SPACE)")
    add(
        "--storage",
        metavar="URL",
        help="keep the study in a data base that several machines share "
        "(postgresql+psycopg2://...), or behind Optuna's proxy (grpc://HOST:PORT); "
        "default: a file in the study's folder",
    )
    add("--workers", type=int, default=1, metavar="N", help="processes (default %(default)s)")
    add(
        "--sampler",
        default="tpe",
        metavar="NAME",
        help="who proposes cells, `rnndsl search --samplers` lists them (default %(default)s)",
    )
    add("--samplers", action="store_true", help="list the samplers and their options")
    add(
        "--objective",
        default="loss",
        metavar="NAMES",
        help="what is made small: loss, latency, parameters, throughput; several, joined by "
        "commas, give a front (default %(default)s)",
    )
    add(
        "--pruner",
        default="median",
        metavar="NAME",
        help="who is stopped at a rung: median, asha, hyperband, none (default %(default)s)",
    )
    add(
        "--trials",
        type=int,
        metavar="N",
        help="cells to train, those of earlier calls included (default 50)",
    )
    add("--seconds", type=float, metavar="X", help="search at most so long")
    add(
        "--seeds",
        type=int,
        metavar="N",
        help="then train the three best cells and the baseline with N other seeds, and test them",
    )
    add("--rerun", type=int, metavar="N", help="train the cell of trial N of --study again")
    add(
        "--show",
        type=int,
        nargs="?",
        const=3,
        metavar="N",
        help="print the size of the space and N cells drawn from it, and train none",
    )
    add(
        "--count",
        type=int,
        nargs="?",
        const=200,
        metavar="N",
        help="print how many cells the space has, and how many of N drawn ones pass the checks",
    )
    add("--enumerate", action="store_true", help="print every cell of a small space, each once")
    add(
        "--knob",
        action="append",
        metavar="NAME=VALUE",
        help="another value for a number or text in the header of the space; may be repeated",
    )
    importing = parser.add_argument_group("cells of other searches")
    importing.add_argument(
        "--import",
        dest="recipes",
        metavar="FILE",
        help="write the cells of a file of NAS-Bench-NLP recipes (JSON lines), and train none",
    )
    importing.add_argument(
        "--to", metavar="FOLDER", default="cells", help="for them (default %(default)s)"
    )
    group = parser.add_argument_group("how each cell is trained")
    for name, kind, text in TRAINING:
        default = default_of(name)
        shown = f"{text} (default {'all' if default is None else default})"
        group.add_argument(f"--{name}", type=kind, metavar=kind.__name__.upper(), help=shown)


def command_line(args: argparse.Namespace) -> str:
    """The command that does this search again, with what was not left to its default.

    A password in a URL is left out, since the line is written into files.
    """
    from rnndsl.search.storage import hide_password

    defaults = argparse.ArgumentParser()
    add_arguments(defaults)
    words = ["rnndsl", "search", shlex.quote(args.space)]
    words += [f"--knob {shlex.quote(knob)}" for knob in args.knob or ()]
    for name in (*_SEARCHING, *(name for name, _, _ in TRAINING)):
        value = getattr(args, name.replace("-", "_"), None)
        if value is not None and value != defaults.get_default(name.replace("-", "_")):
            text = hide_password(str(value)) if name == "storage" else str(value)
            words.append(f"--{name} {shlex.quote(text)}")
    return " ".join(words)


def read_knobs(given: list[str] | None) -> dict[str, str]:
    """Names and values of ``--knob NAME=VALUE``; RnndslError (E0642) for anything else."""
    pairs = [knob.partition("=") for knob in given or ()]
    for name, equals, _ in pairs:
        if not equals:
            advice = "write `--knob depth=2`, or `--knob ops='tanh +'`"
            raise RnndslError(BadKnob(None, f"`--knob {name}` gives no value", advice))
    return {name.strip(): value.strip() for name, _, value in pairs}


def train_settings(args: argparse.Namespace) -> TrainSettings:
    """How each cell is trained, from the options; RnndslError for an unknown objective."""
    from rnndsl.search.measures import objective_names
    from rnndsl.search.objective import TrainSettings

    names = [name.replace("-", "_") for name, _, _ in TRAINING]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return TrainSettings(data=args.data, objectives=objective_names(args.objective), **given)


def default_of(name: str) -> Any:
    """The default of a training option."""
    from rnndsl.search.objective import TrainSettings

    return {f.name: f.default for f in fields(TrainSettings)}[name.replace("-", "_")]


def check_budgets(args: argparse.Namespace) -> None:
    """What would fail later, or train nothing, in other words; RnndslError (E0610)."""
    for name in _ABOVE_ZERO:
        value = getattr(args, name.replace("-", "_"))
        if value is not None and value <= 0:
            raise RnndslError(BadBudget(None, name, str(value), "above 0"))
    if args.factor is not None and args.factor < 2:
        raise RnndslError(BadBudget(None, "factor", str(args.factor), "2 or more"))

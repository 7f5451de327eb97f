"""``rnndsl bench``: measure cells beside their peers."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rnndsl.atomic import check_writable
from rnndsl.bench.cases import DEFAULT_SHAPES, MODES, parse_shapes
from rnndsl.bench.peers import DEFAULT_PEERS, OURS, PEERS, choose
from rnndsl.commands.settings import add_settings
from rnndsl.diagnostics import RnndslError
from rnndsl.errors_bench import BadBenchOption

if TYPE_CHECKING:
    from rnndsl.bench.runner import Tell
    from rnndsl.bench.session import Planned

FORMS = ("steps", "chunked", "convolution")  # as rnndsl.compiler.forms.choose has them
INTERRUPTED = 130  # as rnndsl.cli has it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cells", metavar="CELL", nargs="*", help="a name in the library, or a .rnn file"
    )
    parser.add_argument("--all", action="store_true", help="every cell of the library")
    shapes = " ".join(map(str, DEFAULT_SHAPES))
    parser.add_argument(
        "--shape",
        metavar="T,B,D,H",
        nargs="+",
        action="extend",
        default=[],
        help=f"steps, batch, input size, hidden size; one or more (default {shapes})",
    )
    for mode, doc in MODES.items():
        parser.add_argument(f"--{mode}", action="store_true", help=doc)
    known = "; ".join(f"{peer.name}: {peer.doc}" for peer in PEERS.values())
    parser.add_argument(
        "--peers",
        metavar="NAMES",
        help=f"with commas (default {','.join(DEFAULT_PEERS)}, and {OURS}). {known}",
    )
    add_settings(parser)
    parser.add_argument(
        "--form", choices=FORMS, help="how ours take linear recurrences through time"
    )
    parser.add_argument(
        "--passes",
        metavar="LIST",
        help="of the compiler for ours: names with commas, or a pipeline (`none` for none)",
    )
    parser.add_argument(
        "--threads", metavar="N", type=int, help="of every implementation (default: torch's)"
    )
    parser.add_argument(
        "--seconds",
        metavar="X",
        type=float,
        default=5.0,
        help="spent on timing each shape in each mode, at least (default 5)",
    )
    parser.add_argument(
        "--limit",
        metavar="X",
        type=float,
        default=300.0,
        help="seconds in which an implementation must be compiled and ready (default 300); "
        "who is not is left out",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the results here")
    parser.add_argument(
        "--resume", action="store_true", help="measure what the file of --json does not have yet"
    )
    parser.add_argument(
        "--steady",
        metavar="PERCENT",
        type=float,
        default=math.inf,
        help="with --resume, measure again what has a larger spread; the steadier result is kept",
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        default="",
        help="with --resume, measure again what is older, such as 2026-11-21T14:00 (UTC)",
    )
    parser.add_argument(
        "--within",
        metavar="X",
        type=float,
        default=math.inf,
        help="begin no case after so many seconds; with --resume the same command goes on",
    )


def run(args: argparse.Namespace) -> int:
    """Measure every cell in every shape and mode; what was measured is kept after Ctrl-C.

    RnndslError for an unknown peer, a bad shape, or results that disagree; with several cells
    that is noted, and the next case begins.
    """
    peers = choose(args.peers)
    for option in ("seconds", "limit"):
        value = getattr(args, option)
        if not (math.isfinite(value) and value > 0):
            raise _bad(f"--{option}", "more than 0", value)
    for option in ("within", "steady"):
        if not getattr(args, option) > 0:  # NaN, too
            raise _bad(f"--{option}", "more than 0", getattr(args, option))
    since = _utc(args.since) if args.since else ""
    if args.threads is not None and args.threads < 1:
        raise _bad("--threads", "a whole number from 1", args.threads)
    if args.resume and args.json is None:
        raise _bad("--resume", "given together with --json", "alone")
    if args.json is not None:
        check_writable(args.json)
    with _threads(args.threads):
        from rnndsl.bench.machine import describe
        from rnndsl.bench.session import Session, still_to_do
        from rnndsl.bench.store import open_report
        from rnndsl.bench.table import printing

        planned = planned_cases(args)
        file = args.json if args.resume else None
        report = open_report(file, command_text(args), describe())
        to_do = planned
        if args.resume:
            to_do = still_to_do(planned, report, peers, args.steady / 100, since)
        if len(to_do) < len(planned):
            print(f"{len(planned) - len(to_do)} of {len(planned)} cases are done already")
        with _status() as tell:
            several = len({case.source for case in planned}) > 1
            keep = printing(report, args.json)
            given = args.limit, several, tell, keep, args.within, since
            session = Session(peers, args.seconds, *given)
            report = session.run(report, to_do)
    if report.interrupted:
        print("interrupted: what was measured by then is kept", file=sys.stderr)
        return INTERRUPTED
    return 1 if report.failures else 0


def planned_cases(args: argparse.Namespace) -> list[Planned]:
    """What the options ask for, in order."""
    from rnndsl.bench.session import Planned
    from rnndsl.cell import load

    shapes, numbers, options = parse_shapes(args.shape), dict(args.set), _options(args)
    modes = [mode for mode in MODES if getattr(args, mode)] or ["infer", "train"]
    return [
        Planned(source, cell, mode, shape, numbers, options)
        for source, cell in {source: load(source) for source in _sources(args)}.items()
        for shape in shapes
        for mode in modes
    ]


def _sources(args: argparse.Namespace) -> list[str]:
    """The cells that were named, each once."""
    from rnndsl.cell import list_cells

    found = [*args.cells, *(list_cells() if args.all else ())]
    if not found:
        raise _bad("CELL", "named, or `--all` given", "left out")
    return list(dict.fromkeys(found))


def _options(args: argparse.Namespace) -> dict[str, str]:
    """Of our layers, those that were given."""
    return {name: value for name in ("form", "passes") if (value := getattr(args, name))}


def command_text(args: argparse.Namespace) -> str:
    """The command that measures this again."""
    words = ["rnndsl", "bench", *args.cells, *(["--all"] if args.all else [])]
    words += ["--shape", *args.shape] if args.shape else []
    words += [f"--{mode}" for mode in MODES if getattr(args, mode)]
    words += ["--peers", args.peers] if args.peers else []
    words += [word for name, value in args.set for word in ("--set", f"{name}={value}")]
    words += [word for name, value in _options(args).items() for word in (f"--{name}", value)]
    words += ["--threads", str(args.threads)] if args.threads else []
    return shlex.join([*words, "--seconds", f"{args.seconds:g}"])


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """The number of threads of torch and TVM; torch's is restored afterwards.

    TVM and JAX read theirs from the environment when they are first loaded.
    """
    import torch

    before = torch.get_num_threads()
    chosen = count or before
    os.environ.setdefault("TVM_NUM_THREADS", str(chosen))
    torch.set_num_threads(chosen)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _status() -> Iterator[Tell]:
    """A line on standard error that says what is being done, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(text)


def _utc(text: str) -> str:
    """A time as reports have it; without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _bad("--since", "a time such as 2026-11-21T14:00", text) from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found.astimezone(UTC).isoformat(timespec="milliseconds")


def _bad(option: str, wanted: str, value: object) -> RnndslError:
    return RnndslError(BadBenchOption(None, option, wanted, str(value)))

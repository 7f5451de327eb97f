"""``rnndsl bench``: measure a cell beside its peers."""

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

from rnndsl.bench.cases import DEFAULT_SHAPES, MODES, parse_shapes
from rnndsl.bench.peers import DEFAULT_PEERS, PEERS, choose
from rnndsl.commands.settings import add_settings
from rnndsl.diagnostics import RnndslError
from rnndsl.errors_bench import BadBenchOption

if TYPE_CHECKING:
    from rnndsl.bench.report import Case, Report
    from rnndsl.bench.runner import Tell

INTERRUPTED = 130  # as rnndsl.cli has it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", metavar="CELL", help="a name in the library, or a .rnn file")
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
        help=f"with commas (default {','.join(DEFAULT_PEERS)}, and both of ours). {known}",
    )
    add_settings(parser)
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
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the results here")


def run(args: argparse.Namespace) -> int:
    """Measure every shape in every mode; what was measured is kept after Ctrl-C.

    RnndslError for an unknown peer, a bad shape, or results that disagree.
    """
    shapes, peers = parse_shapes(args.shape), choose(args.peers)
    modes = [mode for mode in MODES if getattr(args, mode)] or ["infer", "train"]
    if not (math.isfinite(args.seconds) and args.seconds > 0):
        raise _bad("--seconds", "more than 0", args.seconds)
    if args.threads is not None and args.threads < 1:
        raise _bad("--threads", "a whole number from 1", args.threads)
    with _threads(args.threads):
        from rnndsl.bench.problem import make_problem
        from rnndsl.bench.report import write_report
        from rnndsl.bench.session import Session
        from rnndsl.bench.table import print_case
        from rnndsl.cell import load

        cell, numbers = load(args.cell), dict(args.set)
        shown: list[Case] = []

        def keep(report: Report) -> None:
            """Called after each case, so that a later failure loses nothing."""
            for case in report.cases[len(shown) :]:
                print_case(case)
                shown.append(case)
            if args.json is not None:
                write_report(args.json, report)

        started = datetime.now(UTC).isoformat(timespec="seconds")
        with _status() as tell:
            session = Session(command_text(args), started, peers, args.seconds, tell, keep)
            problems = (
                (lambda shape=shape, mode=mode: make_problem(cell, shape, mode, numbers))
                for shape in shapes
                for mode in modes
            )
            report = session.run(problems)
    if report.interrupted:
        print("interrupted: what was measured by then is kept", file=sys.stderr)
        return INTERRUPTED
    return 0


def command_text(args: argparse.Namespace) -> str:
    """The command that measures this again."""
    words = ["rnndsl", "bench", str(args.cell)]
    words += ["--shape", *args.shape] if args.shape else []
    words += [f"--{mode}" for mode in MODES if getattr(args, mode)]
    words += ["--peers", args.peers] if args.peers else []
    words += [word for name, value in args.set for word in ("--set", f"{name}={value}")]
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


def _bad(option: str, wanted: str, value: object) -> RnndslError:
    return RnndslError(BadBenchOption(None, option, wanted, str(value)))

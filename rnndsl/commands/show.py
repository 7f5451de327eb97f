"""``rnndsl show``: print a cell at any stage of compilation, or draw it."""

from __future__ import annotations

import argparse
from pathlib import Path

from rnndsl.commands.pass_options import add_pass_options, selection_of
from rnndsl.commands.settings import add_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from rnndsl.showing.show import STAGES

    parser.add_argument(
        "cell",
        metavar="CELL",
        help="a name in the library, or a .rnn file (FILE.rnn:NAME: one of its cells)",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="of the cell in the file (default: its last)"
    )
    stages = "; ".join(f"{name}: {meaning}" for name, meaning in STAGES.items())
    parser.add_argument(
        "--at",
        metavar="STAGE",
        help=f"what to print (default graph; with --passes, --stop-after or --dump: passes). "
        f"{stages}; or a pass: `rnndsl list passes`",
    )
    add_settings(parser)
    add_pass_options(parser, "backward")
    for letter, option, usual in (("T", "--steps", 35), ("B", "--batch", 20)):
        parser.add_argument(
            option,
            metavar=letter,
            type=_positive,
            default=usual,
            help=f"of the plan's predicted times (default {usual})",
        )
    parser.add_argument("--svg", metavar="FILE", type=Path, help="draw one time step into FILE")
    parser.add_argument(
        "--stages",
        action="store_true",
        help="in the drawing, tell what runs for all time steps at once from what runs step by step",
    )
    parser.add_argument(
        "--theme",
        choices=("auto", "light", "dark"),
        default="auto",
        help="colours of the drawing (default auto: as the reader's screen)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the stage, or write the drawing, or both when both are asked for."""
    from rnndsl.cell import load
    from rnndsl.showing.show import drawing, show

    cell = load(args.cell, args.name)
    numbers = dict(args.set)
    if args.svg is not None:
        from rnndsl.atomic import write_text_atomically

        text = drawing(cell, numbers, theme=args.theme, stages=args.stages)
        write_text_atomically(args.svg, text)
    if args.at is not None or args.svg is None:
        passes = selection_of(args)
        usual = "graph" if passes is None and args.dump is None else "passes"
        at, setting = args.at or usual, None
        if at == "plan":
            from rnndsl.showing.machine import machine_rates
            from rnndsl.showing.setting import Setting

            setting = Setting(args.steps, args.batch, machine_rates())
        text = show(cell, at, numbers, passes=passes, dump=args.dump, setting=setting)
        print(text, end="")
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)

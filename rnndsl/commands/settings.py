"""``--set NAME=NUMBER``: numbers and sizes of a cell on the command line."""

from __future__ import annotations

import argparse


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare ``--set``; its value is a list of pairs."""
    parser.add_argument(
        "--set",
        metavar="NAME=NUMBER",
        action="append",
        default=[],
        type=parse_number,
        help="a number or a size of the cell, as in --set depth=3; repeatable",
    )


def parse_number(text: str) -> tuple[str, int | float]:
    """``depth=3`` as a name and a number; ArgumentTypeError for anything else."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=NUMBER")
    for kind in (int, float):
        try:
            return name.strip(), kind(value)
        except ValueError:
            continue
    raise argparse.ArgumentTypeError(f"{value!r} is not a number")

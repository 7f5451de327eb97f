"""``rnndsl explain``: the page of an error code, with a wrong and a right program."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", metavar="CODE", help="as an error shows it, for example E0203")


def run(args: argparse.Namespace) -> int:
    """Print the page; RnndslError when no error has the code."""
    from rich.console import Console
    from rich.markdown import Markdown

    from rnndsl.explain import explain

    page, console = explain(args.code), Console()
    if console.is_terminal:
        console.print(Markdown(page))
    else:
        print(page, end="" if page.endswith("\n") else "\n")
    return 0

"""The command line: one table of subcommands; each lives with what it does."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from rnndsl import __version__
from rnndsl.diagnostics import RnndslError
from rnndsl.render import use_color

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand.  Its module offers ``add_arguments(parser)`` and ``run(args) -> int``;
    it is imported only when the subcommand is asked for."""

    name: str
    help: str
    module: str


COMMANDS = (
    Command("check", "look for mistakes in cell files", "rnndsl.commands.check"),
    Command("fmt", "rewrite cell files in the canonical form", "rnndsl.commands.fmt"),
    Command(
        "explain",
        "explain an error code, with a wrong and a right program",
        "rnndsl.commands.explain",
    ),
    Command("list", "list cells, passes, backends, ops or errors", "rnndsl.commands.listing"),
    Command("show", "print a cell at any stage of compilation, or draw it", "rnndsl.commands.show"),
    Command(
        "compile",
        "compile a cell to a library that needs neither torch nor rnndsl",
        "rnndsl.commands.compile",
    ),
    Command("train", "train a language model on text", "rnndsl.training.command"),
    Command("generate", "sample text from a trained model", "rnndsl.training.generate_command"),
    Command("bench", "measure a cell beside its peers", "rnndsl.bench.command"),
    Command("search", "search a space of cells", "rnndsl.search.command"),
    Command("report", "write a page about a search", "rnndsl.search.report.command"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit code: 0, 1 for an error of the user's, 2 for a misuse
    of the command line, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = _parse(words)
        code: int = import_module(arguments.module).run(arguments)
        sys.stdout.flush()
        return code
    except RnndslError as error:
        print(error.render(color=use_color(sys.stderr)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`rnndsl show … | head`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="rnndsl", description="Recurrent cells written as equations."
    )
    parser.add_argument("--version", action="version", version=f"rnndsl {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    wanted = next((word for word in words if not word.startswith("-")), "")
    for command in COMMANDS:
        sub = subparsers.add_parser(command.name, help=command.help, description=command.help)
        sub.set_defaults(module=command.module)
        if command.name == wanted:  # the others need no options, so they are not imported
            import_module(command.module).add_arguments(sub)
    return parser.parse_args(words)

"""``rnndsl fmt``: rewrite cell files in the canonical form."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help=".rnn files, folders, or - for standard input"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if a file would change"
    )


def run(args: argparse.Namespace) -> int:
    """Format every file; 1 when one has a mistake, or would change under ``--check``."""
    from rnndsl.formatting.files import format_paths, format_text
    from rnndsl.render import use_color

    if args.paths == ["-"]:
        text = sys.stdin.read()
        formatted = format_text(text, "<stdin>")
        if not args.check:
            print(formatted, end="")
        return int(args.check and formatted != text)
    results = format_paths(args.paths, check=args.check)
    for result in results:
        if result.error is not None:
            print(result.error.render(color=use_color(sys.stderr)), file=sys.stderr, end="\n\n")
        elif result.changed:
            print(f"{'would reformat' if args.check else 'formatted'} {result.path}")
    failed = any(result.error or (args.check and result.changed) for result in results)
    return int(failed)

"""``--passes``, ``--stop-after`` and ``--dump``: which passes of the compiler run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rnndsl.diagnostics import RnndslError
from rnndsl.errors_show import UnknownPass

if TYPE_CHECKING:
    from rnndsl.compiler.selection import Selection


def add_pass_options(parser: argparse.ArgumentParser, second: str) -> None:
    """Declare the options; ``second`` is the pipeline that follows, as in selection.select."""
    parser.set_defaults(second_pipeline=second)
    parser.add_argument(
        "--passes",
        metavar="LIST",
        help="passes with commas between, or a pipeline, to run on the lowered graph "
        "(default: the pipeline `default`; `none` for none)",
    )
    parser.add_argument(
        "--stop-after",
        metavar="PASS|N",
        help="run no pass after this one; passes are numbered through, those of --passes first, "
        f"then those of the pipeline `{second}`",
    )
    parser.add_argument(
        "--dump", metavar="FOLDER", type=Path, help="write the graph after every pass into FOLDER"
    )


def selection_of(args: argparse.Namespace) -> Selection | None:
    """The chosen passes, None for the usual ones; RnndslError (E0804) for unknown ones."""
    if args.passes is None and args.stop_after is None:
        return None
    from rnndsl.compiler.pipeline import UnknownPassError
    from rnndsl.compiler.selection import NoSuchPassError, select

    try:
        return select(args.passes, args.stop_after, args.second_pipeline)
    except (UnknownPassError, NoSuchPassError) as error:
        raise RnndslError(UnknownPass(None, str(error))) from None

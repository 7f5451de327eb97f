"""``rnndsl report``: a study as one page."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from rnndsl.diagnostics import RnndslError
from rnndsl.search.errors import OptunaMissing

REPORT = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rnndsl report``."""
    parser.add_argument("study", metavar="STUDY", help="the study's folder")
    parser.add_argument("--storage", metavar="URL", help="where the study is, if not in its folder")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help=f"the page (default STUDY/{REPORT})"
    )
    parser.add_argument(
        "--cells",
        type=int,
        default=3,
        metavar="N",
        help="how many of the best cells are shown whole (default %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page; RnndslError (E0615) when there is no study."""
    if importlib.util.find_spec("optuna") is None:
        raise RnndslError(OptunaMissing(None))
    from rnndsl.atomic import write_text_atomically
    from rnndsl.search.report.data import read_report
    from rnndsl.search.report.page import report_page
    from rnndsl.search.storage import Place

    folder = Path(args.study)
    report = read_report(Place(folder, args.storage))
    target = args.out or folder / REPORT
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(target, report_page(report, args.cells))
    print(f"wrote {target}")
    return 0

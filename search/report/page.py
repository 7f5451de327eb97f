"""The report as one HTML page that needs nothing from anywhere else."""

from __future__ import annotations

from html import escape

from rnndsl.search.report import sections
from rnndsl.search.report.data import StudyReport
from rnndsl.search.report.style import STYLE

BEST_CELLS = 3


def report_page(report: StudyReport, cells: int = BEST_CELLS) -> str:
    """The page; ``cells`` of the best are shown whole."""
    title = escape(report.board.study)
    parts = (
        sections.heading(report),
        sections.leaderboard(report),
        "<h2>Progress</h2>",
        f'<div class="pair">{sections.progress(report)}{sections.curves(report)}</div>',
        sections.front(report),
        sections.importance(report),
        sections.cells(report, cells),
        sections.account(report),
        sections.settings(report),
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )

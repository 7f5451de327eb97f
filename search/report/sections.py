"""The parts of a report, each as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

import rnndsl
from rnndsl.diagnostics import RnndslError
from rnndsl.search.record import TRAINED, TrialRecord
from rnndsl.search.report.charts import Axis, Ruler, Series, bars, chart
from rnndsl.search.report.data import StudyReport
from rnndsl.search.report.math import equations
from rnndsl.search.seeds import Repeats, mean_and_error

TABLE_ROWS = 20
HIGHLIGHTED = 5  # learning curves
_REASONS = 12


def heading(report: StudyReport) -> str:
    """The study's name, what came out in one sentence, and the figures beside it."""
    board = report.board
    settings = board.settings
    task = settings.get("task", "")
    tiles = [
        (f"{_score(board.winner)}", f"best, {board.unit}"),
        (f"{_score(board.baseline)}", f"{settings.get('baseline', 'baseline')}, {board.unit}"),
        (f"{report.throughput.trained:,}", f"cells trained of {len(report.records):,} proposed"),
        (f"{report.throughput.per_hour:,.0f}", "trained cells an hour"),
    ]
    if len(board.units) > 1:
        tiles.append((str(len(report.front)), "cells on the front"))
    shown = "".join(f'<div class="tile"><b>{a}</b><span>{escape(b)}</span></div>' for a, b in tiles)
    began = f"{report.began.day} {report.began:%B %Y, %H:%M}" if report.began else "not begun"
    about = (
        f"Search of cells · {escape(str(task))} · {escape(str(settings.get('data', '')))} · {began}"
    )
    return (
        f'<h1>{escape(board.study)}</h1><p class="quiet">{about}</p>'
        f'<p class="lead">{_verdict(report)}</p><div class="tiles">{shown}</div>'
    )


def _verdict(report: StudyReport) -> str:
    board, best, base = report.board, report.board.winner, report.board.baseline
    if best is None or best.score is None:
        return "No cell has been trained to the end yet."
    text = f"Trial {best.number} scores {best.score:.3f} {escape(board.unit)}"
    name = escape(str(board.settings.get("baseline", "the baseline")))
    if base is not None and base.score is not None:
        less = base.score - best.score
        beside = f"{abs(less):.3f} {'less' if less > 0 else 'more'} than {name}"
        text += f", {beside} ({base.score:.3f})"
    text += ", in one short run each."
    own, other = report.repeats.get(str(best.number)), report.repeats.get("baseline")
    if own is None or other is None:
        return text + (
            " The best of many is better than it deserves: train it again with other seeds"
            " (<code>--seeds 5</code>) before you believe it."
        )
    return text + " " + _seeds_verdict(own, other, name)


def _seeds_verdict(own: Repeats, other: Repeats, name: str) -> str:
    what = "test data" if own.test and other.test else "validation data"
    left, right = (own.test, other.test) if what == "test data" else (own.valid, other.valid)
    count = min(len(left), len(right))
    mean, error = mean_and_error(tuple(b - a for a, b in zip(left, right, strict=False)))
    shown = f"{abs(mean):.3f}" + (f" ± {error:.3f}" if error is not None else "")
    side = "lower" if mean > 0 else "higher"
    text = f"Trained again with {count} other seeds, it is {shown} {side} than {name} on {what}"
    if error is None:
        return text + "."
    sure = abs(mean) > 2 * error
    return text + (": outside two standard errors." if sure else ": within two standard errors.")


def leaderboard(report: StudyReport) -> str:
    """The best cells with the baseline among them, and their scores over seeds."""
    board = report.board
    scored = [record for record in board.rows if record.score is not None][:TABLE_ROWS]
    rows: list[TrialRecord] = [*scored]
    if board.baseline is not None and board.baseline.score is not None:
        base = board.baseline.score
        place = sum((record.score or 0.0) <= base for record in rows)
        rows.insert(place, board.baseline)
    values = [record.score for record in rows if record.score is not None]
    values += [score for found in report.repeats.values() for score in found.valid]
    ruler = Ruler(values)
    units = "".join(f'<th class="number">{escape(unit)}</th>' for unit in board.units)
    tested = any(found.test for found in report.repeats.values())
    seeds = '<th class="number">seeds, valid</th>' if report.repeats else ""
    seeds += '<th class="number">seeds, test</th>' if tested else ""
    body = "".join(_row(report, ruler, rank, r, tested) for rank, r in enumerate(rows, start=1))
    more = sum(record.score is not None for record in board.rows) - len(scored)
    note = "○ the score of the search; ● and bar: mean and standard error over seeds; " * bool(
        report.repeats
    )
    note += f"dashed: {board.settings.get('baseline', 'the baseline')}."
    note += f" {more} more in leaderboard.csv." if more > 0 else ""
    return (
        '<h2>Leaderboard</h2><div class="card wide"><table><thead><tr><th>#</th><th>cell</th>'
        f"{units}"
        f'<th></th>{seeds}<th class="number">parameters</th><th class="number">width</th>'
        f"<th>choices</th></tr></thead><tbody>{body}</tbody></table></div>"
        f'<p class="note">{escape(note)}</p>'
    )


def _row(report: StudyReport, ruler: Ruler, rank: int, record: TrialRecord, tested: bool) -> str:
    board = report.board
    is_base = record is board.baseline
    found = report.repeats.get("baseline" if is_base else str(record.number))
    base = board.baseline.score if board.baseline is not None else None
    repeated = None if found is None else mean_and_error(found.valid)
    scores = "".join(f'<td class="number">{_figure(score)}</td>' for score in record.scores)
    seeds = ""
    if report.repeats:
        seeds = f'<td class="number">{_repeated(found.valid if found else ())}</td>'
        if tested:
            seeds += f'<td class="number">{_repeated(found.test if found else ())}</td>'
    name = str(board.settings.get("baseline", "baseline")) if is_base else f"trial {record.number}"
    choices = "; ".join(f"{k} = {v}" for k, v in record.choices.items())
    facts = record.facts
    parameters = f"{facts['parameters']:,}" if "parameters" in facts else ""
    return (
        f'<tr class="{"baseline" if is_base else ""}"><td>{rank}</td><td>{escape(name)}</td>'
        f"{scores}"
        f"<td>{ruler.row(record.score, repeated, base)}</td>{seeds}"
        f'<td class="number">{parameters}</td><td class="number">{facts.get("width", "")}</td>'
        f'<td><div class="choices" title="{escape(choices)}">{escape(choices)}</div></td></tr>'
    )


def _repeated(values: tuple[float, ...]) -> str:
    if not values:
        return ""
    mean, error = mean_and_error(values)
    return f"{mean:.3f}" + (f" ± {error:.3f}" if error is not None else "")


def progress(report: StudyReport) -> str:
    """Scores in the order of the trials, and the best so far."""
    points, best = [], []
    titles = []
    lowest = float("inf")
    for record in report.records:
        if record.score is not None:
            points.append((float(record.number), record.score))
            titles.append(f"trial {record.number}: {record.score:.3f}")
            lowest = min(lowest, record.score)
            best.append((float(record.number), lowest))
    series = [
        Series(points, "faint", line=False, marks=True, titles=titles),
        Series(best, "best", steps=True, title="the best so far"),
    ]
    drawn = chart(series, Axis("trial", whole=True), Axis(report.board.unit), _levels(report), True)
    return f'<div class="card"><h3>Best so far</h3>{drawn}</div>'


def curves(report: StudyReport) -> str:
    """The score of each cell at each rung; cells that were given up end early."""
    trained = [record for record in report.board.rows if record.curve]
    best = [record.number for record in trained if record.score is not None][:HIGHLIGHTED]
    series = []
    for record in sorted(trained, key=lambda r: (r.number in best[:1], r.number in best)):
        kind = "best" if record.number in best[:1] else "good" if record.number in best else "faint"
        points = sorted((float(step), score) for step, score in record.curve.items())
        series.append(Series(points, kind, title=f"trial {record.number}"))
    if report.board.baseline is not None and report.board.baseline.curve:
        base = sorted((float(s), v) for s, v in report.board.baseline.curve.items())
        series.append(Series(base, "base", title="baseline"))
    drawn = chart(series, Axis("training steps", log=True), Axis(report.board.unit), (), True)
    names = [
        ("accent", "the best"),
        ("good", f"the next {HIGHLIGHTED - 1}"),
        ("faint", "the others"),
    ]
    names.append(("warm", str(report.board.settings.get("baseline", "baseline"))))
    return f'<div class="card"><h3>Learning curves</h3>{drawn}{_keys(names)}</div>'


def front(report: StudyReport) -> str:
    """The cells that no other beats in both of the first two objectives; empty for one."""
    units = report.board.units
    if len(units) < 2:
        return ""
    ours = {record.number for record in report.front}
    others = [r for r in report.records if r.scores and r.number not in ours]
    on_front = sorted(report.front, key=lambda record: record.scores[1])
    series = [
        _scatter(others, "faint", line=False),
        _scatter(on_front, "best", line=len(units) == 2),
    ]
    if report.board.baseline is not None and report.board.baseline.scores:
        series.append(_scatter([report.board.baseline], "base", line=False))
    drawn = chart(series, Axis(units[1]), Axis(units[0]), (), True)
    names = [("accent", "no other cell is better in every respect"), ("faint", "the others")]
    names.append(("warm", str(report.board.settings.get("baseline", "baseline"))))
    title = "Front" if len(units) == 2 else "Front, in its first two objectives"
    return f'<h2>{title}</h2><div class="card alone">{drawn}{_keys(names)}</div>'


def _scatter(records: Sequence[TrialRecord], kind: str, line: bool) -> Series:
    points = [(record.scores[1], record.scores[0]) for record in records]
    titles = [f"trial {r.number}: " + ", ".join(map(_figure, r.scores)) for r in records]
    return Series(points, kind, line=line, steps=line, marks=True, titles=titles)


def importance(report: StudyReport) -> str:
    """Which choices matter, and which options of these go with good scores."""
    title = "<h2>What matters</h2>"
    if not report.importance:
        return title + '<p class="quiet">Too few scored cells to say which choices matter.</p>'
    shares = list(report.importance.items())[:12]
    drawn = bars([(name, value, f"{value:.0%}") for name, value in shares])
    tables = []
    for name, options in report.options.items():
        rows = "".join(
            f"<tr><td><code>{escape(option.label)}</code></td>"
            f'<td class="number">{option.median:.3f}</td>'
            f'<td class="number">{option.count}</td></tr>'
            for option in options[:5]
        )
        tables.append(
            f'<table class="options"><thead><tr><th>{escape(name)}</th>'
            '<th class="number">median</th><th class="number">cells</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>"
        )
    return (
        f'{title}<div class="pair"><div class="card"><h3>Importance of each choice</h3>{drawn}'
        '<p class="note">The share of the differences between scores that a choice goes with, by '
        "Optuna's estimate; all choices together are 100 %.</p></div>"
        '<div class="card wide"><h3>Options of the most important ones</h3>'
        f"{''.join(tables)}</div></div>"
    )


def cells(report: StudyReport, count: int) -> str:
    """The best cells as equations, drawing and text."""
    best = [record for record in report.board.rows if record.score is not None][:count]
    title = "<h2>The best cells</h2>" if best else ""
    note = (
        '<p class="note">W with an index is a matrix for each of its operands, with one bias; ⊙ '
        "multiplies number by number.</p>"
    )
    return title + "".join(_cell(report, record) for record in best) + (note if best else "")


def _cell(report: StudyReport, record: TrialRecord) -> str:
    from rnndsl.showing.show import drawing

    scores = ", ".join(
        f"{_figure(score)} {unit}"
        for score, unit in zip(record.scores, report.board.units, strict=True)
    )
    text = f"<pre>{escape(record.text.rstrip())}</pre>"
    try:
        cell = rnndsl.parse(record.text)
        lines, drawn = equations(cell.definition), drawing(cell)
    except RnndslError:  # of another version
        lines, drawn = [], ""
    if lines:
        shown = f'<div class="equations">{"".join(lines)}</div>'
        shown += f"<details><summary>text of the cell</summary>{text}</details>"
    else:
        shown = text
    return (
        f'<div class="card"><h3>Trial {record.number}: {escape(scores)}</h3><div class="cell">'
        f'<div>{shown}</div><div class="drawing">{drawn}</div></div></div>'
    )


def account(report: StudyReport) -> str:
    """What became of the proposals, why, and where the time went."""
    kinds = Counter(record.kind for record in report.records)
    proposals = bars([(kind, float(n), str(n)) for kind, n in kinds.most_common()])
    found = report.throughput
    times = bars([(name, share, f"{share:.0%}") for name, share in found.shares.items()])
    static = ""
    if found.static:
        static = (
            f'<p class="note">{found.static} proposals were not trained, since they could not work '
            f"or repeated another: {found.static_seconds * 1e3:.0f} ms each.</p>"
        )
    reasons = Counter(
        record.reason
        for record in report.records
        if record.reason and record.kind not in ("duplicate", "orphaned", "interrupted", "pruned")
    ).most_common(_REASONS)
    rows = "".join(f"<tr><td>{escape(r)}</td><td class='number'>{n}</td></tr>" for r, n in reasons)
    table = f'<div class="card wide"><h3>Reasons</h3><table>{rows}</table></div>' if rows else ""
    return (
        '<h2>Proposals and time</h2><div class="pair"><div class="card"><h3>Proposals</h3>'
        f'{proposals}</div><div class="card"><h3>Where the time of the processes went</h3>'
        f"{times}{static}</div>"
        f'</div><div style="height:14px"></div>{table}'
    )


def settings(report: StudyReport) -> str:
    """Everything that the scores depend on, so that the study can be repeated."""
    board = report.board
    kept = {k: v for k, v in board.settings.items() if k != "space" and v is not None}
    shown = {**kept, **{f"{k} (version)": v for k, v in board.versions.items()}}
    cells = "".join(
        f"<tr><td>{escape(str(name))}</td><td>{escape(_plain(value))}</td></tr>"
        for name, value in shown.items()
    )
    space = escape(str(board.settings.get("space", "")).rstrip())
    command = f"<pre>{escape(board.command)}</pre>" if board.command else ""
    seeded = {record.seed for record in report.records if record.kind in TRAINED}
    note = f"Seed {', '.join(map(str, sorted(seeded)))}. " if seeded else ""
    return (
        f'<h2>Settings</h2><div class="pair"><div class="card wide"><table>{cells}</table></div>'
        f'<div class="card wide"><h3>The command</h3>{command}<p class="note">{note}Any trial is '
        "trained again from its record by <code>rnndsl search --study FOLDER --rerun N</code>.</p>"
        f"<h3>The space</h3><pre>{space}</pre></div></div>"
    )


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _figure(value: float) -> str:
    """A number at the precision at which scores are told apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def _score(record: TrialRecord | None) -> str:
    return "–" if record is None or record.score is None else f"{record.score:.3f}"


def _levels(report: StudyReport) -> list[tuple[float, str]]:
    base = report.board.baseline
    if base is None or base.score is None:
        return []
    return [(base.score, str(report.board.settings.get("baseline", "baseline")))]


def _keys(names: Sequence[tuple[str, str]]) -> str:
    shown = "".join(
        f'<span><i class="key" style="color:var(--{colour})"></i>{escape(name)}</span>'
        for colour, name in names
    )
    return f'<div class="keys">{shown}</div>'

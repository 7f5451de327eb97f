"""What a study leaves behind: the leaderboard as CSV and JSON, and the winner as a cell file."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnndsl.atomic import write_text_atomically
from rnndsl.search.record import TRAINED, TrialRecord

LEADERBOARD_CSV = "leaderboard.csv"
LEADERBOARD_JSON = "leaderboard.json"
WINNER = "winner.rnn"


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The trained cells, best first, those without a score last; and what else was proposed."""

    study: str
    units: tuple[str, ...]  # of each objective
    command: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    baseline: TrialRecord | None
    rows: tuple[TrialRecord, ...]
    counts: Mapping[str, int]

    @property
    def unit(self) -> str:
        """The unit of the first objective, by which cells are compared."""
        return self.units[0]

    @property
    def winner(self) -> TrialRecord | None:
        """The best scored cell."""
        return self.rows[0] if self.rows and self.rows[0].score is not None else None


def rank(records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
    """The trained ones, best first; of equal scores the earlier trial.

    With several objectives, those come first that no other is better than in every respect,
    among them those with the best first score.
    """
    trained = [record for record in records if record.kind in TRAINED]
    front = {record.number for record in pareto_front(trained)}

    def place(record: TrialRecord) -> tuple[bool, bool, float, int]:
        behind = record.number not in front
        return record.score is None, behind, record.score or 0.0, record.number

    return tuple(sorted(trained, key=place))


def pareto_front(records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
    """The scored ones that no other beats in one objective without losing in another; all
    of them where there is one objective, since then a score says everything."""
    scored = [record for record in records if record.scores]
    if all(len(record.scores) == 1 for record in scored):
        return tuple(scored)
    return tuple(r for r in scored if not any(_dominates(o.scores, r.scores) for o in scored))


def _dominates(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    return left != right and all(a <= b for a, b in zip(left, right, strict=True))


def count_kinds(records: Iterable[TrialRecord]) -> dict[str, int]:
    """How many trials ended in which way."""
    return dict(sorted(Counter(record.kind for record in records).items()))


def write_results(folder: Path, board: Leaderboard) -> None:
    """Write the three files into ``folder``, each whole or not at all."""
    write_text_atomically(folder / LEADERBOARD_CSV, _csv(board))
    write_text_atomically(folder / LEADERBOARD_JSON, _json(board))
    if board.winner is not None:
        write_text_atomically(folder / WINNER, winner_text(board, board.winner))


def winner_text(board: Leaderboard, winner: TrialRecord) -> str:
    """The winner's source under a comment that says how it was found."""
    against = ""
    if board.baseline is not None and board.baseline.score is not None:
        name = board.settings.get("baseline", "the baseline")
        against = f", against {board.baseline.score:.3f} of {name}"
    facts = winner.facts
    lines = [
        f"Found by rnndsl search: {winner.score:.3f} {board.unit}{against}.",
        f"Trial {winner.number}, {_size(facts)}{facts.get('steps', 0)} steps.",
        *(f"{name} = {label}" for name, label in winner.choices.items()),
        board.command,
    ]
    return "".join(f"# {line}\n" for line in lines if line) + winner.text


def _size(facts: Mapping[str, Any]) -> str:
    if "parameters" not in facts:
        return ""
    return f"hidden size {facts['width']}, {facts['parameters']:,} parameters with the model, "


def table_rows(board: Leaderboard) -> list[dict[str, Any]]:
    """The leaderboard as plain rows, the baseline in its place among them."""
    ranked = list(board.rows)
    records: Sequence[TrialRecord] = ranked
    if board.baseline is not None:
        score = board.baseline.score
        better = (r for r in ranked if r.score is not None and score is not None)
        place = sum(1 for r in better if (r.score or 0.0) <= (score or 0.0))
        records = [*ranked[:place], board.baseline, *ranked[place:]]
    return [
        {
            "rank": index if record.score is not None else None,
            "trial": record.number if record is not board.baseline else None,
            "cell": _name(board, record),
            "kind": record.kind,
            "baseline": record is board.baseline,
            **dict(zip(board.units, record.scores or (None,) * len(board.units), strict=True)),
            "parameters": record.facts.get("parameters"),
            "width": record.facts.get("width"),
            "steps": record.facts.get("steps"),
            "seconds": record.facts.get("seconds"),
            "hash": record.hash,
            "reason": record.reason,
            "choices": dict(record.choices),
        }
        for index, record in enumerate(records, start=1)
    ]


def _name(board: Leaderboard, record: TrialRecord) -> str:
    if record is board.baseline:
        return str(board.settings.get("baseline", "baseline"))
    return f"trial {record.number}"


def _csv(board: Leaderboard) -> str:
    text = io.StringIO()
    rows = table_rows(board)
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            choices = "; ".join(f"{name} = {label}" for name, label in row["choices"].items())
            writer.writerow(row | {"choices": choices})
    return text.getvalue()


def _json(board: Leaderboard) -> str:
    cells = {record.number: record for record in board.rows}
    rows = [
        row | ({} if row["trial"] is None else {"text": cells[row["trial"]].text})
        for row in table_rows(board)
    ]
    content = {
        "study": board.study,
        "units": list(board.units),
        "command": board.command,
        "settings": dict(board.settings),
        "versions": dict(board.versions),
        "proposals": dict(board.counts),
        "rows": rows,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

"""What optuna-dashboard shows of a trial besides its numbers: the cell's text and drawing."""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact

import rnndsl
from rnndsl.search.record import Outcome

ARTIFACTS = "artifacts"  # the folder, in that of the study


def attach(
    study: optuna.Study, trial: optuna.Trial, text: str, outcome: Outcome, folder: Path
) -> None:
    """Attach a cell to its trial: a note with its text, and text and drawing as files.

    The files lie in the study's folder, where ``optuna-dashboard --artifact-dir`` finds them.
    Takes some tens of milliseconds.
    """
    from rnndsl.showing.show import drawing

    store_folder = folder / ARTIFACTS
    store_folder.mkdir(exist_ok=True)
    store = FileSystemArtifactStore(store_folder)
    cell = rnndsl.parse(text)
    files = {f"{cell.name}.rnn": text, f"{cell.name}.svg": _on_paper(drawing(cell, theme="light"))}
    with tempfile.TemporaryDirectory() as place:
        for name, content in files.items():
            path = Path(place) / name
            path.write_text(content, encoding="utf-8")
            mimetype = "text/plain" if name.endswith(".rnn") else "image/svg+xml"
            upload_artifact(
                artifact_store=store,
                file_path=str(path),
                study_or_trial=trial,
                storage=study._storage,
                mimetype=mimetype,
            )
    _note(trial, _note_text(text, outcome))


def _on_paper(svg: str) -> str:
    """A drawing on a white ground: the dashboard may show it on a dark one."""
    return re.sub(
        r"(<svg[^>]*>)", r'\1<rect width="100%" height="100%" fill="white"/>', svg, count=1
    )


def _note_text(text: str, outcome: Outcome) -> str:
    facts = outcome.facts
    lines = [f"**{outcome.kind}** {outcome.reason}".strip(), "", "```", text.rstrip(), "```"]
    if "parameters" in facts:
        lines += ["", f"width {facts['width']}, {facts['parameters']:,} parameters"]
    return "\n".join(lines)


def _note(trial: optuna.Trial, body: str) -> None:
    """A note in Markdown, where optuna-dashboard is installed; its own function stores it."""
    with suppress(ImportError):
        import_module("optuna_dashboard").save_note(trial, body)

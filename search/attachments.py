"""What optuna-dashboard shows of a trial besides its numbers: the cell's text and drawing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact

import rnndsl
from rnndsl.search.record import Outcome

ARTIFACTS = "artifacts"  # the folder, in that of the study
_NOTE_PART = 2045  # characters: what the dashboard allows


def attach(
    study: optuna.Study, trial: optuna.Trial, text: str, outcome: Outcome, folder: Path
) -> None:
    """Attach a cell to its trial: a note with its text; of one that was trained to the end,
    which are few where there are rungs, also text and drawing as files.

    The files lie in the study's folder, where ``optuna-dashboard --artifact-dir`` finds them.
    A drawing takes some tenths of a second.
    """
    _note(study, trial, _note_text(text, outcome))
    if outcome.kind == "scored":
        _files(study, trial, text, folder)


def _files(study: optuna.Study, trial: optuna.Trial, text: str, folder: Path) -> None:
    from rnndsl.showing.show import drawing

    store_folder = folder / ARTIFACTS
    store_folder.mkdir(exist_ok=True)
    store = FileSystemArtifactStore(store_folder)
    cell = rnndsl.parse(text)
    files = {f"{cell.name}.rnn": text, f"{cell.name}.svg": drawing(cell, theme="light")}
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


def _note_text(text: str, outcome: Outcome) -> str:
    facts = outcome.facts
    lines = [f"**{outcome.kind}** {outcome.reason}".strip(), "", "```", text.rstrip(), "```"]
    if "parameters" in facts:
        lines += ["", f"width {facts['width']}, {facts['parameters']:,} parameters"]
    return "\n".join(lines)


def _note(study: optuna.Study, trial: optuna.Trial, body: str) -> None:
    """A note in Markdown as optuna-dashboard keeps it: in parts, with a version.

    It is written here, since importing the dashboard takes seconds, and it may be installed
    only where the study is looked at.
    """
    storage, name = study._storage, f"dashboard:{trial._trial_id}:note"
    for start in range(0, len(body), _NOTE_PART):
        part = body[start : start + _NOTE_PART]
        key = f"{name}_str:{start // _NOTE_PART}"
        storage.set_study_system_attr(study._study_id, key, part)
    storage.set_study_system_attr(study._study_id, f"{name}_ver", 1)

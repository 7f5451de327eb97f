"""A run as a checkpoint's payload, and back: everything that continuing it exactly needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import rnndsl
from rnndsl.training.checkpoint import Payload, damaged
from rnndsl.training.config import changed_settings, config_to_json
from rnndsl.training.errors import CheckpointMismatch, training_error
from rnndsl.training.progress import Validation
from rnndsl.training.run import Position, Run
from rnndsl.training.schedules import Plateau
from rnndsl.training.states import map_state


def take_snapshot(run: Run, cell_text: str) -> Payload:
    """Everything of ``run`` that changes, and what it takes to build it again."""
    return {
        "cell": cell_text,
        "config": config_to_json(run.config),
        "vocabulary": list(run.corpus.vocabulary.tokens),
        "data": run.corpus.fingerprint,
        "rnndsl": rnndsl.__version__,
        "torch": str(torch.__version__),
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "plateau": asdict(run.plateau),
        "position": asdict(run.position),
        "history": [asdict(validation) for validation in run.history],
        # A copy: a view would take the whole tensor that it looks at into the file.
        "state": map_state(lambda tensor: tensor.detach().clone(), run.state),
        "random": {"masks": run.generator.get_state(), "torch": torch.get_rng_state()},
    }


def restore(run: Run, payload: Payload, path: Path, cell_text: str) -> None:
    """Bring a fresh ``run`` to where ``payload`` was taken.

    RnndslError when the checkpoint belongs to another cell, other settings or other data
    (E0711), or lacks a part (E0710).
    """
    difference = find_difference(run, payload, cell_text)
    if difference:
        raise training_error(CheckpointMismatch(path=str(path), difference=difference))
    device = run.config.device
    try:
        run.model.load_state_dict(payload["model"])
        run.optimizer.load_state_dict(payload["optimizer"])
        run.plateau = Plateau(**payload["plateau"])
        run.position = Position(**payload["position"])
        run.history = [Validation(**validation) for validation in payload["history"]]
        run.state = map_state(lambda tensor: tensor.to(device), payload["state"])
        run.generator.set_state(payload["random"]["masks"])
        torch.set_rng_state(payload["random"]["torch"])
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise damaged(path, str(error).splitlines()[0]) from None


def find_difference(run: Run, payload: Payload, cell_text: str) -> str:
    """Why ``payload`` cannot continue ``run``; empty when it can."""
    if payload.get("cell") != cell_text:
        other = payload.get("config", {}).get("cell", "another cell")
        if other != run.config.cell_name:
            return f"it was made for the cell `{other}`, not `{run.config.cell_name}`"
        return f"the text of the cell `{other}` has changed since"
    settings: dict[str, Any] = payload.get("config", {})
    changed = changed_settings(settings, config_to_json(run.config))
    if changed:
        return "; ".join(changed)
    if payload.get("data") != run.corpus.fingerprint:
        return "the data have changed since"
    return ""

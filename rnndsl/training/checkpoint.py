"""Checkpoint files: plain values and tensors, whole or refused.

A checkpoint is what ``torch.load(weights_only=True)`` can read: dicts, lists, tuples, numbers,
strings and tensors.  A digest over all of them tells a damaged file from a sound one.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnndsl.atomic import write_atomically
from rnndsl.diagnostics import RnndslError
from rnndsl.training.errors import (
    CheckpointDamaged,
    CheckpointNotFound,
    CheckpointTooNew,
    training_error,
)

FORMAT = "rnndsl checkpoint"
VERSION = 1

Payload = dict[str, Any]


def save_checkpoint(path: Path, payload: Payload) -> None:
    """Write ``payload`` to ``path`` in one atomic replacement; RnndslError (E0123) if refused."""
    whole = {"format": FORMAT, "version": VERSION, "digest": digest(payload), "payload": payload}
    # Through memory: torch turns a full disk into a RuntimeError that says little.
    buffer = io.BytesIO()
    torch.save(whole, buffer)

    def write(file: Any) -> None:
        file.write(buffer.getbuffer())

    write_atomically(path, write)


def load_checkpoint(path: Path) -> Payload:
    """The payload of the checkpoint at ``path``, its tensors on the CPU.

    RnndslError when the file is missing (E0709), damaged or no checkpoint (E0710), or written
    by a newer version (E0712).
    """
    if not path.is_file():
        raise training_error(CheckpointNotFound(path=str(path)))
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file makes torch raise anything
        raise damaged(path, _first_line(error)) from None
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise damaged(path, "it is not a checkpoint of rnndsl")
    version = whole.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise training_error(
            CheckpointTooNew(path=str(path), version=str(version), known=str(VERSION))
        )
    payload = whole.get("payload")
    if not isinstance(payload, dict) or digest(payload) != whole.get("digest"):
        raise damaged(path, "its contents do not agree with their checksum")
    return payload


def damaged(path: Path, reason: str) -> RnndslError:
    """The error for a file that cannot be used."""
    best = path.with_name("best.pt")
    other = ""
    if path.name == "last.pt" and best.exists():
        other = f"`{best}` holds the best model so far; copied over last.pt, the run goes on there"
    return training_error(CheckpointDamaged(path=str(path), reason=reason, other=other))


def digest(value: object) -> str:
    """SHA-256 of nested plain values and tensors, bit for bit."""
    state = hashlib.sha256()
    _feed(state, value)
    return state.hexdigest()


def _feed(state: hashlib._Hash, value: object) -> None:
    if isinstance(value, Tensor):
        state.update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        data = value.detach().cpu().contiguous()
        state.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        state.update(f"dict {len(value)}".encode())
        for key, item in value.items():
            _feed(state, key)
            _feed(state, item)
    elif isinstance(value, (list, tuple)):
        state.update(f"{type(value).__name__} {len(value)}".encode())
        for item in value:
            _feed(state, item)
    else:
        state.update(f"{type(value).__name__} {value!r};".encode())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__

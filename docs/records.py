"""Where records of measurements lie: those of each kind of processor apart from the others'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
# Pages by the widest vector instructions of the processor that was measured.
PAGES = {"avx512": DOCS / "performance.md", "avx2": DOCS / "performance_avx2.md"}


def kind_here() -> str:
    """This processor's kind."""
    import torch

    return str(torch.backends.cpu.get_cpu_capability()).lower()


def folder(kind: str) -> Path:
    """The records and pictures of a kind of processor."""
    return DOCS / "performance" / kind


def folder_here() -> Path:
    """That of this processor, made where there is none."""
    found = folder(kind_here())
    found.mkdir(parents=True, exist_ok=True)
    return found


def read(kind: str, name: str) -> Any:
    """A record of a kind of processor, or None."""
    path = folder(kind) / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def read_here(name: str) -> Any:
    """A record of this processor, or None."""
    return read(kind_here(), name)


def write_here(name: str, found: Any) -> None:
    """Keep a record of this processor."""
    path = folder_here() / f"{name}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

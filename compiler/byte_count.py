"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1} | {
    f"{prefix}{suffix}": base**power
    for suffix, base in (("B", 1000), ("iB", 1024))
    for power, prefix in enumerate(("k" if suffix == "B" else "K", "M", "G", "T"), start=1)
}


def parse_bytes(text: str) -> int:
    """``64MiB``, ``1.5 GB`` or ``4096`` as bytes; ValueError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"{text!r} is no number of bytes, such as 64MiB")
    return int(float(found[1]) * _UNITS[found[2]])

"""Targets of one number each, from what the scripts beside `rnndsl bench` recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnndsl.bench.table import seconds_text

COLD, WARM = 1.5, 0.05  # seconds to compile a cell
SLOWER = 1.35  # with a memory budget
TENTH = 0.1
APART = 0.05  # planned and measured peaks, of the measured one


@dataclass(frozen=True, slots=True)
class Single:
    """A target of one number."""

    what: str
    against: str
    wanted: str
    found: str
    met: bool


def of_compile_times(found: Mapping[str, Mapping[str, float]]) -> Iterator[Single]:
    """As docs/measure_compile.py records them."""
    for key, what, most in (("cold", "cold", COLD), ("warm", "kernels on disk", WARM)):
        slowest = max(found, key=lambda cell: found[cell][key])
        within = sum(entry[key] <= most for entry in found.values())
        worst = f"{seconds_text(found[slowest][key])} ({slowest}); {within} of {len(found)} cells"
        name = f"compile time, forward and backward, {what}"
        yield Single(name, "", f"≤ {seconds_text(most)}", worst, within == len(found))


def of_lengths(found: Mapping[str, Any]) -> Iterator[Single]:
    """Memory and length, as docs/measure_lengths.py records them."""
    runs = {(row["kind"], row["T"]): row for row in found["curves"]}
    slower = {
        steps: row["seconds"] / runs["ours", steps]["seconds"]
        for (kind, steps), row in runs.items()
        if kind == "ours, budget" and steps >= 1000
    }
    worst = max(slower, key=lambda steps: slower[steps])
    text = f"{slower[worst]:.2f} (T = {worst})"
    name = "time with a memory budget of a tenth, T ≥ 1000"
    yield Single(name, "without", f"≤ {SLOWER}", text, slower[worst] <= SLOWER)
    longest = {row["kind"]: row["T"] for row in [*found["longest"], *found.get("tokens", ())]}
    name = "longest LSTM sequence trained in 4 GB"
    yield _longer(name, longest["ours, budget"] / longest["nn"], 4)
    if "ours, tokens" in longest:
        name = "the same with tokens in, and the loss in blocks"
        yield _longer(name, longest["ours, tokens"] / max(longest["nn"], longest["nn, tokens"]), 10)


def _longer(name: str, ratio: float, wanted: int) -> Single:
    return Single(name, "nn", f"≥ {wanted}", f"{ratio:.2f}", ratio >= wanted)


def of_peaks(found: Sequence[Mapping[str, Any]]) -> Iterator[Single]:
    """Planned peaks, as docs/measure_memory.py records them."""

    def apart(row: Mapping[str, Any]) -> float:
        return abs(float(row["planned"]) / float(row["measured"]) - 1)

    worst = max(found, key=apart)
    text = f"{apart(worst):.1%} ({worst['cell']}, {worst['budget'] / 2**20:.0f} MiB)"
    name = "planned peak of what a memory budget counts"
    yield Single(name, "measured", f"within {APART:.0%}", text, apart(worst) <= APART)

    # The largest budget of a cell is half of what it holds without one.
    whole = {row["cell"]: 0.0 for row in found}
    for row in found:
        whole[row["cell"]] = max(whole[row["cell"]], 2.0 * row["budget"])
    shares = {
        row["cell"]: row["measured"] / whole[row["cell"]]
        for row in found
        if round(row["budget"] / whole[row["cell"]], 3) == TENTH
    }
    cell = max(shares, key=lambda name: shares[name])
    name = "held with a memory budget of a tenth, measured"
    met = shares[cell] <= TENTH
    yield Single(name, "without", f"≤ {TENTH:.0%}", f"{shares[cell]:.1%} ({cell})", met)


def of_recurrences(page: str) -> Iterator[Single]:
    """Linear recurrences at T = 16,384, from the table of docs/recurrences.md, in whose brackets
    stand times by that of the chosen form."""
    cell, chosen, ratios = "", ("", ""), []
    for name, what, *times in re.findall(
        r"^\| (\w*) ?\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE
    ):
        cell = name or cell
        if what.startswith("chosen: "):
            form, _, training = what.removeprefix("chosen: ").partition("; ")
            chosen = form, f"TVM, {training.split()[0]}" if training else form
            continue
        for mode, form, text in zip(("inference", "training"), chosen, times, strict=True):
            ratio = re.search(r"\(([\d.]+)\)", text)
            if ratio is not None and what != form:
                ratios.append((float(ratio[1]), f"{cell}, {mode}, {what}"))
    if ratios:
        lowest, where = min(ratios)
        name = "linear recurrences, T = 16,384, chosen form"
        text = f"{lowest:.2f} ({where}); {len(ratios)} ratios"
        yield Single(name, "every other form, public implementations", "≥ 1", text, lowest >= 1)

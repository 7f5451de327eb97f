"""Where the time of one training run goes: compiling, training, validating."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Account:
    """Told after every step; the clock starts when it is made.

    The first step and the first validation compile what they run, so that what they take
    beyond the usual counts as compiling.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._began = self._last = time.perf_counter()
        self._plain: list[float] = []  # seconds of each step without a validation
        self._validated: list[float] = []  # of each step with one
        self._first: float | None = None
        self._other: dict[str, float] = {}

    def step(self, step: int, validated: bool) -> None:
        """Note that a step has ended, with a validation or without."""
        now = time.perf_counter()
        taken, self._last, self.steps = now - self._last, now, step
        if self._first is None:
            self._first = taken
        elif validated:
            self._validated.append(taken)
        else:
            self._plain.append(taken)

    @contextmanager
    def spent(self, what: str) -> Iterator[None]:
        """Count the time in here apart, as ``what``, where it is worth mentioning."""
        began = time.perf_counter()
        yield
        taken = time.perf_counter() - began
        if taken >= 1e-3:
            self._other[what] = self._other.get(what, 0.0) + taken

    @property
    def step_seconds(self) -> float:
        """The median of the steps without a validation."""
        if self._plain:
            return statistics.median(self._plain)
        return self._first or 0.0

    def facts(self) -> dict[str, Any]:
        """``steps``, ``seconds`` in all, and ``times``: seconds spent on what."""
        usual = self.step_seconds
        validations = [taken - usual for taken in self._validated]
        typical = statistics.median(validations[1:]) if len(validations) > 1 else None
        compiling = max(0.0, (self._first or 0.0) - usual) if self._plain else 0.0
        validating = sum(validations)
        if typical is not None:
            excess = max(0.0, validations[0] - typical)
            compiling, validating = compiling + excess, validating - excess
        total = time.perf_counter() - self._began
        others = sum(self._other.values())
        training = max(0.0, total - compiling - validating - others)
        times = {
            "compile": compiling,
            "train": training,
            "validate": max(0.0, validating),
            **self._other,
        }
        return {
            "steps": self.steps,
            "seconds": round(total, 2),
            "times": {name: round(seconds, 3) for name, seconds in times.items()},
        }

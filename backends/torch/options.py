"""What a user chooses of a layer, beside its cell and sizes."""

from __future__ import annotations

from typing import NamedTuple


class Options(NamedTuple):
    """How a layer stacks and lays out its cell."""

    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    batch_first: bool = False
    check_finite: bool = False
    memory_budget: int | None = None

    @property
    def lone(self) -> bool:
        """Whether a call runs one cell once, and nothing looks at what it gives."""
        return self.num_layers == 1 and not (self.bidirectional or self.check_finite)

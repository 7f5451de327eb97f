"""What code that was written for ``nn.LSTM`` asks of a module beside calling it."""

from __future__ import annotations

from collections.abc import Mapping

from rnndsl.backends.torch.options import Options


class LikeTorch:
    """The attributes of ``nn.LSTM`` by their names there; ``dimensions`` are the cell's."""

    options: Options
    dimensions: Mapping[str, int]

    @property
    def input_size(self) -> int:
        """The cell's dimension D; AttributeError if it has none."""
        return self._dimension("D", "input_size")

    @property
    def hidden_size(self) -> int:
        """The cell's dimension H; AttributeError if it has none."""
        return self._dimension("H", "hidden_size")

    @property
    def num_layers(self) -> int:
        return self.options.num_layers

    @property
    def bidirectional(self) -> bool:
        return self.options.bidirectional

    @property
    def batch_first(self) -> bool:
        return self.options.batch_first

    @property
    def dropout(self) -> float:
        return self.options.dropout

    def flatten_parameters(self) -> None:
        """Nothing: parameters are read wherever they are."""

    def _dimension(self, name: str, wanted: str) -> int:
        if name not in self.dimensions:
            raise AttributeError(f"this layer has no {wanted}: its cell has no dimension {name}")
        return self.dimensions[name]

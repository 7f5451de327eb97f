"""The table of initialisers: names, numbers they take, meaning; the arrays are made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InitRecord:
    """One initialiser; an argument's default is None where the number must be given."""

    name: str
    arguments: tuple[tuple[str, float | None], ...]
    doc: str

    @property
    def signature(self) -> str:
        """``uniform(low, high)``."""
        if not self.arguments:
            return self.name
        shown = [n if d is None else f"{n} = {d:g}" for n, d in self.arguments]
        return f"{self.name}({', '.join(shown)})"


def _make(name: str, doc: str, **arguments: float | None) -> InitRecord:
    return InitRecord(name, tuple(arguments.items()), doc)


_TABLE = (
    _make("default_uniform", "uniform within 1/sqrt(H), as recurrent layers usually start"),
    _make("zeros", "zeros"),
    _make("ones", "ones"),
    _make("constant", "one value", value=None),
    _make("uniform", "uniform between two numbers", low=None, high=None),
    _make("normal", "normal with a mean and a standard deviation", mean=0.0, std=1.0),
    _make("orthogonal", "orthonormal rows or columns, times a gain", gain=1.0),
    _make("identity", "ones on the diagonal, times a scale", scale=1.0),
    _make("xavier_uniform", "uniform, variance 2 / (fan in + fan out)", gain=1.0),
    _make("xavier_normal", "normal, variance 2 / (fan in + fan out)", gain=1.0),
    _make("kaiming_uniform", "uniform, variance gain**2 / fan in", gain=2.0**0.5),
    _make("kaiming_normal", "normal, variance gain**2 / fan in", gain=2.0**0.5),
    _make("lecun_uniform", "uniform, variance 1 / fan in"),
    _make("lecun_normal", "normal, variance 1 / fan in"),
    _make("linspace", "evenly spaced along the last axis", start=None, stop=None),
    _make("log_uniform", "exp of a uniform number between two logarithms", low=None, high=None),
    _make("signs", "-1 or 1, each with the same chance"),
    _make("block_orthogonal", "each of `blocks` groups of rows orthogonal", blocks=None, gain=1.0),
)

INITS: dict[str, InitRecord] = {record.name: record for record in _TABLE}

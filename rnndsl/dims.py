"""Named dimensions: small polynomials such as ``H``, ``D + H``, ``4*H`` and ``H/N``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

# A monomial is a sorted tuple of (name, power); a dimension is a sorted tuple of
# (monomial, coefficient).  The empty monomial carries the constant.
Monomial = tuple[tuple[str, int], ...]
# Whole numbers are ints: there are many dimensions, and arithmetic on fractions is slow.
Coefficient = int | Fraction


class DimError(ValueError):
    """A dimension has no value: a name is unbound, or the value is not a positive integer."""


@dataclass(frozen=True, slots=True)
class Dim:
    """One axis length in normal form; two equal lengths compare equal.

    Build with :func:`dim`, combine with ``+ - * /``, bind names with :meth:`bind`.
    """

    terms: tuple[tuple[Monomial, Coefficient], ...]

    def __add__(self, other: Dim) -> Dim:
        if not other.terms:
            return self
        return _collect([*self.terms, *other.terms])

    def __sub__(self, other: Dim) -> Dim:
        return self + Dim(tuple((m, -c) for m, c in other.terms))

    def __mul__(self, other: Dim) -> Dim:
        return _collect([(_multiply(m, n), c * d) for m, c in self.terms for n, d in other.terms])

    def __truediv__(self, other: Dim) -> Dim:
        """Exact division by a single term, as in ``H / N``; DimError for anything else."""
        if len(other.terms) != 1:
            raise DimError(f"cannot divide {self} by {other}")
        ((monomial, coefficient),) = other.terms
        inverse = tuple((name, -power) for name, power in monomial)
        return self * Dim(((inverse, Fraction(1, coefficient)),))

    @property
    def _is_number(self) -> bool:
        """Whether this is one number, other than 0: nearly all that a bound graph has."""
        return len(self.terms) == 1 and not self.terms[0][0]

    @property
    def names(self) -> frozenset[str]:
        """The dimension names that this length depends on."""
        return frozenset(name for monomial, _ in self.terms for name, _ in monomial)

    def bind(self, sizes: Mapping[str, int]) -> Dim:
        """Replace every name found in ``sizes`` by its value."""
        if all(not monomial for monomial, _ in self.terms):
            return self
        total = dim(0)
        for monomial, coefficient in self.terms:
            term = Dim((((), coefficient),))
            for name, power in monomial:
                if name in sizes:
                    term = _scale(term, Fraction(sizes[name]) ** power)
                else:
                    term = _collect([(_multiply(m, ((name, power),)), c) for m, c in term.terms])
            total = total + term
        return total

    def __int__(self) -> int:
        """The length as a number; DimError while a name is unbound or it is not whole."""
        if not self.terms:
            return 0
        if not self._is_number:
            raise DimError(f"dimension {self} is not bound")
        value = self.terms[0][1]
        if value.denominator != 1:
            raise DimError(f"dimension {self} is not a whole number")
        return int(value)

    def __str__(self) -> str:
        if self._is_number:
            return str(self.terms[0][1])
        if not self.terms:
            return "0"
        text = " + ".join(_term_text(m, c) for m, c in self.terms)
        return text.replace("+ -", "- ")


def dim(value: int | str | Dim) -> Dim:
    """A dimension from a number, from one name, or itself."""
    if isinstance(value, Dim):
        return value
    if isinstance(value, str):
        return Dim(((((value, 1),), 1),))
    return _constant(value)


@lru_cache(maxsize=1024)
def _constant(value: int) -> Dim:
    return _collect([((), int(value))])


def _collect(terms: list[tuple[Monomial, Coefficient]]) -> Dim:
    total: dict[Monomial, Coefficient] = {}
    for monomial, coefficient in terms:
        total[monomial] = total.get(monomial, 0) + coefficient
    kept = [(m, c.numerator if c.denominator == 1 else c) for m, c in total.items() if c]
    if len(kept) > 1:  # names before the constant, so that `D + 1` prints as it is written
        kept.sort(key=lambda item: (not item[0], item))
    return Dim(tuple(kept))


def _multiply(left: Monomial, right: Monomial) -> Monomial:
    powers = dict(left)
    for name, power in right:
        powers[name] = powers.get(name, 0) + power
    return tuple(sorted((name, power) for name, power in powers.items() if power))


def _scale(term: Dim, factor: Coefficient) -> Dim:
    return _collect([(m, c * factor) for m, c in term.terms])


def _term_text(monomial: Monomial, coefficient: Coefficient) -> str:
    above = [name for name, power in monomial for _ in range(power)]
    below = [name for name, power in monomial for _ in range(-power)]
    if coefficient.denominator != 1:
        below.insert(0, str(coefficient.denominator))
    if coefficient.numerator == -1 and above:
        above[0] = f"-{above[0]}"
    elif coefficient.numerator != 1 or not above:
        above.insert(0, str(coefficient.numerator))
    return "*".join(above) + "".join(f"/{name}" for name in below)

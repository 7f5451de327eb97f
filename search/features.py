"""Numbers that describe a cell before it is trained: what rankers learn from.

``structural_features`` reads the graph alone, ``behaviour_features`` runs the cell at its
random start.  Both return the same keys, in the same order, for every cell, and the same
numbers in every process; every number is finite.
"""

from __future__ import annotations

from rnndsl.search.features_behaviour import BEHAVIOUR, Probe, behaviour_features
from rnndsl.search.features_structure import STRUCTURE, structural_features

__all__ = ["BEHAVIOUR", "STRUCTURE", "Probe", "behaviour_features", "structural_features"]

"""Features of a cell's graph: counts, path lengths, products, spectra of its Laplacian."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from math import log2, prod
from typing import Any

import numpy as np

from rnndsl.compiler.canonical import canonical_form
from rnndsl.compiler.cell_structure import NEXT, START, CellStructure, cell_structure
from rnndsl.compiler.ir import Graph
from rnndsl.dims import Dim

SIZE = 60  # of every open dimension, where numbers of parameters are compared
_FAR = 50.0  # the length of a path that does not exist

_ACTIVATIONS = ("tanh", "sigmoid", "relu", "sin", "cos", "softplus", "exp", "abs", "erf", "sqrt")
_BOUNDED = {"tanh", "sigmoid", "sin", "cos", "erf", "step", "sign", "eq", "ne", "lt", "le"}
_OTHERS = ("where", "div", "max", "min", "pow", "reduce_sum", "reduce_max", "concat", "slice")
# What costs nothing and bends nothing is no step on a path.
_SILENT = {"output", "reshape", "broadcast", "transpose", "slice", "concat", "pad", "gather"}


def structural_features(graph: Graph) -> dict[str, float]:
    """Features of a lowered cell, bound or not, equal for equal cells.

    Counts are of values that vary with time; lengths of paths count operations; a `linear` is
    one sum over products with matrices.  ``graph`` is simplified first; see the names below.
    """
    view = _View(cell_structure(canonical_form(graph)))
    found = {**_counts(view), **_sizes(view), **_paths(view), **_states(view), **_spectrum(view)}
    return {name: float(found[name]) for name in STRUCTURE}


class _View:
    """What the features read of a structure: values that vary with time, and their uses."""

    def __init__(self, structure: CellStructure) -> None:
        self.structure = structure
        self.kinds = {v: k for v, k in structure.kinds.items() if structure.types[v].batched}
        self.states = [v for v, kind in self.kinds.items() if kind == "state"]
        self.inputs = [v for v, kind in self.kinds.items() if kind == "input"]
        self.outputs = [v for v, kind in self.kinds.items() if kind == "output"]
        self.params = [v for v, kind in structure.kinds.items() if kind == "param"]
        self.nodes = [v for v in self.kinds if self.kinds[v] not in ("state", "input", "output")]

    def operands(self, value: int) -> list[int]:
        """What a value of this step is made of, shared values left out."""
        if self.kinds[value] in ("state", "input"):
            return []
        return [part for _, part in self.structure.parts[value] if part in self.kinds]

    def after(self, state: int) -> int:
        """The value that a state has at the next step."""
        return next(part for tag, part in self.structure.parts[state] if tag == NEXT)

    @cached_property
    def users(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {value: [] for value in self.kinds}
        for value in self.kinds:
            for part in self.operands(value):
                found[part].append(value)
        return found

    @cached_property
    def order(self) -> list[int]:
        """Values of this step, each after what it is made of."""
        done: list[int] = []
        seen: set[int] = set()
        for root in self.kinds:
            stack = [(root, False)]
            while stack:
                value, ready = stack.pop()
                if ready:
                    done.append(value)
                elif value not in seen:
                    seen.add(value)
                    stack.append((value, True))
                    stack.extend((part, False) for part in self.operands(value))
        return done

    def is_product(self, value: int) -> bool:
        """A product of two or more values that vary: a gate or a second-order term."""
        return self.kinds[value] in ("mul", "contract") and len(self.operands(value)) > 1

    def is_matrix(self, value: int) -> bool:
        """A product of a parameter with one value that varies."""
        return self.kinds[value] == "contract" and len(self.operands(value)) == 1

    def cost(self, value: int) -> float:
        return 0.0 if self.kinds[value] in _SILENT | {"state", "input"} else 1.0

    def lengths(self, source: int, cost: Any, longest: bool) -> dict[int, float]:
        """From ``source`` to each value that depends on it, along the steps that ``cost``."""
        found = {source: 0.0}
        choose = max if longest else min
        for value in self.order:
            ways = [found[part] for part in self.operands(value) if part in found]
            if ways and value != source:
                found[value] = choose(ways) + cost(value)
        return found


def _counts(view: _View) -> dict[str, float]:
    kinds = Counter(view.kinds[v] for v in view.nodes)
    found: dict[str, float] = {f"count.{op}": kinds[op] for op in (*_ACTIVATIONS, *_OTHERS)}
    fan_out = [len(view.users[v]) for v in view.kinds if view.kinds[v] != "output"]
    fan_in = [len(view.operands(v)) for v in view.nodes if view.kinds[v] == "add"]
    edges = sum(len(view.operands(v)) for v in view.kinds)
    products = [v for v in view.nodes if view.is_product(v)]
    gates = [v for v in products if any(view.kinds[part] == "sigmoid" for part in view.operands(v))]
    matrices = [v for v in view.nodes if view.is_matrix(v)]
    read = Counter(view.kinds[view.operands(v)[0]] for v in matrices)
    bends = [v for v in view.nodes if view.kinds[v] in _ACTIVATIONS or view.kinds[v] == "where"]
    total = sum(kinds.values())
    return found | {
        "count.nodes": total,
        "count.edges": edges,
        "count.sums": kinds["add"],
        "count.products": len(products),
        "count.gates": len(gates),
        "count.matrices": len(matrices),
        "count.matrices_of_input": read["input"],
        "count.matrices_of_state": read["state"],
        "count.matrices_of_inner": len(matrices) - read["input"] - read["state"],
        "count.nonlinear": len(bends),
        "count.bounded": sum(view.kinds[v] in _BOUNDED for v in view.nodes),
        "count.kinds": len(kinds),
        "share.bounded": sum(view.kinds[v] in _BOUNDED for v in bends) / max(1, len(bends)),
        "share.gated": len(gates) / max(1, len(products)),
        "entropy.kinds": sum(-n / total * log2(n / total) for n in kinds.values()) if total else 0,
        "fan_out.mean": _mean(fan_out),
        "fan_out.max": max(fan_out, default=0),
        "fan_out.shared": sum(count > 1 for count in fan_out),
        "fan_in.sums_max": max(fan_in, default=0),
        "fan_in.sums_mean": _mean(fan_in),
    }


def _sizes(view: _View) -> dict[str, float]:
    types = view.structure.types
    sizes = [_length(types[v].shape) for v in view.params]
    width = sum(_length(types[v].shape) for v in view.states)
    return {
        "params.count": len(sizes),
        "params.numbers": sum(sizes) / SIZE**2,
        "params.matrices": sum(types[v].rank > 1 for v in view.params),
        "params.vectors": sum(types[v].rank == 1 for v in view.params),
        "state.numbers": width / SIZE,
    }


def _length(shape: Iterable[Dim]) -> float:
    """How many numbers, with every open dimension of one size; a fraction where it must be."""
    total = 1.0
    for each in shape:
        parts = (c * prod(SIZE**power for _, power in monomial) for monomial, c in each.terms)
        total *= float(sum(parts))
    return total


def _paths(view: _View) -> dict[str, float]:
    """Steps of one time step: from the input, and from each state, to outputs and states."""
    ends = [*view.outputs, *(view.after(state) for state in view.states)]
    found: dict[str, float] = {}
    for name, sources in (("input", view.inputs), ("state", view.states)):
        longest = [view.lengths(s, view.cost, True) for s in sources]
        shortest = [view.lengths(s, view.cost, False) for s in sources]
        found |= {
            f"path.{name}_longest": _most(d.get(e) for d in longest for e in ends),
            f"path.{name}_shortest": _least(d.get(e) for d in shortest for e in ends),
            f"path.{name}_to_output": _least(d.get(e) for d in shortest for e in view.outputs),
            f"path.{name}_mean": _mean(d[e] for d in longest for e in ends if e in d),
            f"path.{name}_reach": _mean(float(e in d) for d in shortest for e in ends),
        }
    for name, counts in (
        ("matrices", view.is_matrix),
        ("products", view.is_product),
        ("nonlinear", lambda v: view.kinds[v] in _ACTIVATIONS or view.kinds[v] == "where"),
    ):

        def cost(value: int, counts: Any = counts) -> float:
            return float(counts(value))

        most = [view.lengths(s, cost, True) for s in view.states]
        least = [view.lengths(s, cost, False) for s in view.states]
        found[f"path.{name}_most"] = _most(d.get(e) for d in most for e in ends)
        found[f"path.{name}_least"] = _least(d.get(e) for d in least for e in ends)
    return found


def _states(view: _View) -> dict[str, float]:
    """How each state is made: what closes it, what it keeps of itself, who feeds whom."""
    nexts = [view.after(state) for state in view.states]
    own = [
        view.lengths(s, view.cost, False).get(n, _FAR)
        for s, n in zip(view.states, nexts, strict=True)
    ]
    plain = [
        view.lengths(s, lambda v: float(view.is_matrix(v)), False).get(n, _FAR)
        for s, n in zip(view.states, nexts, strict=True)
    ]
    straight = [
        view.lengths(
            s, lambda v: float(view.cost(v) and view.kinds[v] not in ("add", "mul")), False
        ).get(n, _FAR)
        for s, n in zip(view.states, nexts, strict=True)
    ]
    products = [sum(view.is_product(v) for v in _below(view, n)) for n in nexts]
    bounded = _bounded_states(view)
    reach = [set(_below(view, n)) for n in nexts]
    links = sum(state in values for values in reach for state in view.states)
    count = max(1, len(view.states))
    outputs = [next(iter(view.operands(v)), v) for v in view.outputs]
    return {
        "state.count": len(view.states),
        "state.closed": sum(view.kinds[n] in _BOUNDED for n in nexts) / count,
        "state.bounded": len(bounded) / count,
        "state.all_bounded": float(len(bounded) == len(view.states)),
        "state.own_path": _mean(own),
        "state.without_matrix": sum(length == 0 for length in plain) / count,
        "state.additive": sum(length == 0 for length in straight) / count,
        "state.copies": sum(n in view.states for n in nexts) / count,
        "state.links": links / count**2,
        "state.same_value": len(nexts) - len(set(nexts)),
        "state.products_mean": _mean(products),
        "state.products_max": max(products, default=0),
        "output.is_state": float(any(v in nexts for v in outputs)),
        "output.bounded": float(all(view.kinds[v] in _BOUNDED or v in bounded for v in outputs)),
        "output.products": sum(view.is_product(v) for o in outputs for v in _below(view, o)),
        "output.reads_old": float(any(v in view.states for o in outputs for v in _below(view, o))),
    }


def _below(view: _View, value: int) -> list[int]:
    """A value and everything of this step that it is made of."""
    found: list[int] = []
    seen = {value}
    pending = [value]
    while pending:
        here = pending.pop()
        found.append(here)
        for part in view.operands(here):
            if part not in seen:
                seen.add(part)
                pending.append(part)
    return found


def _bounded_states(view: _View) -> set[int]:
    """The next values that stay within bounds whatever the parameters: each way out of them
    leads through a squashing function, or through products and sums of such values."""
    safe: dict[int, bool] = {}
    for value in view.order:
        kind = view.kinds[value]
        parts = view.structure.parts[value]
        if kind in _BOUNDED:
            safe[value] = True
        elif kind in ("add", "mul", "where", "max", "min", *_SILENT):
            # A parameter among the terms is some number: bounded at any one time.
            safe[value] = all(safe.get(p, p not in view.kinds) for _, p in parts)
        else:
            safe[value] = False
    return {view.after(s) for s in view.states if safe.get(view.after(s), False)}


def _spectrum(view: _View) -> dict[str, float]:
    """Of the normalised Laplacian of the graph closed over its states, without directions."""
    values = list(view.kinds)
    place = {value: k for k, value in enumerate(values)}
    size = max(1, len(values))  # a cell that is always zero comes to nothing
    links = np.zeros((size, size))
    for value in values:
        for tag, part in view.structure.parts[value]:
            if part in place and tag != START:
                links[place[value], place[part]] = links[place[part], place[value]] = 1
    np.fill_diagonal(links, 0)
    degrees = links.sum(0)
    scale = np.where(degrees > 0, 1 / np.sqrt(np.maximum(degrees, 1)), 0)
    laplacian = np.diag((degrees > 0).astype(float)) - scale[:, None] * links * scale
    found = np.sort(np.linalg.eigvalsh(laplacian)).round(9) if values else np.zeros(1)
    middle = found[1:] if len(found) > 1 else np.zeros(1)
    low, mid, high = np.quantile(middle, (0.25, 0.5, 0.75))
    return {
        "spectrum.second": middle[0],
        "spectrum.third": found[2] if len(found) > 2 else 0.0,
        "spectrum.largest": found[-1],
        "spectrum.low": low,
        "spectrum.middle": mid,
        "spectrum.high": high,
        "spectrum.energy": float(np.mean((found - 1) ** 2)),
        "spectrum.skew": float(np.mean((found - 1) ** 3)),
        "spectrum.near_one": float(np.mean(np.abs(found - 1) < 1e-6)),
        "degree.mean": _mean(degrees),
        "degree.deviation": float(degrees.std()) if values else 0.0,
    }


def _mean(numbers: Iterable[float]) -> float:
    listed = list(numbers)
    return sum(listed) / len(listed) if listed else 0.0


def _most(lengths: Iterable[float | None]) -> float:
    return max((length for length in lengths if length is not None), default=0.0)


def _least(lengths: Iterable[float | None]) -> float:
    return min((length for length in lengths if length is not None), default=_FAR)


def _names() -> tuple[str, ...]:
    empty = _View(CellStructure())
    return (*_counts(empty), *_sizes(empty), *_paths(empty), *_states(empty), *_SPECTRUM_NAMES)


_SPECTRUM_NAMES = (
    "spectrum.second",
    "spectrum.third",
    "spectrum.largest",
    "spectrum.low",
    "spectrum.middle",
    "spectrum.high",
    "spectrum.energy",
    "spectrum.skew",
    "spectrum.near_one",
    "degree.mean",
    "degree.deviation",
)

STRUCTURE: tuple[str, ...] = _names()

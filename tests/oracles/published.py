"""Compare a layer with a published implementation: values, states and gradients.

Nothing of theirs is copied: the packages are imported where they are installed, and their tests
are skipped where they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnndsl.backends.torch import Layer
from tests.backends.reference import call

torch.set_num_threads(1)

STEPS, BATCH = 7, 3

# Every number compared is a sum of some hundred products over the few steps of a test.  With a
# unit round-off of 1.1e-16 that is an error of about 1e-14 in units of the largest number of its
# tensor; the recurrence and the way back through it multiply it by at most about ten, and another
# ten is left as a margin.
EXACT = 1e-12

# The same for an implementation that rounds to float32, whose unit round-off is 6e-8.  Differences
# seen are below 1e-6; errors of one gate or bias would be above 1e-2.
SINGLE = 1e-5

States = tuple[Tensor, ...]
Run = Callable[[Tensor, States | None], tuple[Tensor, States]]


@dataclass(frozen=True)
class Published:
    """A published implementation, seen from a cell of ours.

    Attributes:
        parameters: what it trains.
        weights: our parameters by name, computed from theirs by differentiable operations, so
            that the chain rule turns gradients of ours into gradients of theirs.
        run: from x [T, B, D] and states [B, *shape], in our order, to outputs [T, B, H] and
            final states; None asks for its own initial states.
    """

    parameters: Sequence[Tensor]
    weights: Mapping[str, Tensor]
    run: Run


def published(name: str) -> Any:
    """The module of that name, or a skipped test; see ``oracles`` in pyproject.toml."""
    reason = f"{name} is not installed; pip install '.[oracles]'"
    return pytest.importorskip(name, reason=reason, exc_type=ImportError)


def randomised(module: Any, seed: int = 0, scale: float = 0.5) -> Any:
    """The module in float64 with normal weights, so that no term of an equation is zero."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for parameter in trained(module):
            parameter.normal_(0, scale, generator=generator)
    return module


def trained(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module that have gradients."""
    return [p for p in module.parameters() if p.requires_grad]


def stepwise(step: Callable[[Tensor, States], tuple[Tensor, States]], *shapes: int) -> Run:
    """A run that calls a cell at every step, from zeros [B, shape] unless states are given."""

    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        found = tuple(x.new_zeros(x.shape[1], n) for n in shapes) if states is None else states
        outputs = []
        for here in x:
            y, found = step(here, found)
            outputs.append(y)
        return torch.stack(outputs), found

    return run


def chunks(names: str, suffix: str, value: Tensor, axis: int = 0) -> dict[str, Tensor]:
    """Equal parts of a stacked parameter, one for each letter of names."""
    parts = value.chunk(len(names), axis)
    return {f"{name}{suffix}": part for name, part in zip(names, parts, strict=True)}


def normal(*shape: int, seed: int = 1) -> Tensor:
    """Normal draws in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def assert_same(
    layer: Layer,
    theirs: Published,
    states: States | None = None,
    tolerance: float = EXACT,
) -> float:
    """Outputs, final states and gradients are theirs, with their weights in our layer.

    Gradients are those of x, of given states and of their parameters, for random cotangents of
    every output and final state.  Numbers may differ by ``tolerance`` times the largest of
    their tensor, or times 1.  Returns the largest difference in these units.
    """
    (kind,) = layer.input_types.values()
    x = normal(STEPS, BATCH, *kind.sizes)
    fill(layer, theirs.weights)
    own = _tensors(layer)
    wanted = _results(theirs.run, x, states, list(theirs.parameters))
    ours = _results(_layer_run(layer, len(wanted["values"])), x, states, list(own.values()))
    pulled = zip(own, ours["parameters"], strict=True)
    made = {n: g for n, g in pulled if theirs.weights[n].requires_grad}  # not fixed numbers
    back = torch.autograd.grad(
        [theirs.weights[name] for name in made],
        list(theirs.parameters),
        list(made.values()),
        materialize_grads=True,
    )
    ours["parameters"] = list(back)
    worst = 0.0
    for part, values in wanted.items():
        for k, (found, value) in enumerate(zip(ours[part], values, strict=True)):
            unit = max(1.0, float(value.abs().max()))
            difference = float((found - value).abs().max()) / unit
            assert difference <= tolerance, f"{part} {k}: {difference:.2e} > {tolerance:.0e}"
            worst = max(worst, difference)
    return worst


def fill(layer: Layer, weights: Mapping[str, Tensor]) -> None:
    """Put weights into the layer; each parameter must have its own, and no more."""
    own = _tensors(layer)
    assert set(weights) == set(own)
    with torch.no_grad():
        for name, value in weights.items():
            assert value.shape == own[name].shape, name
            own[name].copy_(value)


def _tensors(layer: Layer) -> dict[str, Tensor]:
    return {spec.name: layer.first.tensor(spec.name) for spec in layer.first.specs}


def _layer_run(layer: Layer, count: int) -> Run:
    """A run of the layer that gives the first results only, as many as theirs has."""

    def run(x: Tensor, states: States | None) -> tuple[Tensor, States]:
        state = None if states is None else tuple(s[None] for s in states)
        given = state[0] if state is not None and len(state) == 1 else state
        y, *finals = call(layer, dict.fromkeys(layer.input_types, x), given)
        return y, tuple(final[0] for final in finals[: count - 1])

    return run


def _results(
    run: Run, x: Tensor, states: States | None, parameters: list[Tensor]
) -> dict[str, list[Tensor]]:
    x = x.clone().requires_grad_()
    given = [s.clone().requires_grad_() for s in states or ()]
    y, finals = run(x, tuple(given) if states is not None else None)
    results = [y, *finals]
    cotangents = [normal(*r.shape, seed=k).to(r.dtype) for k, r in enumerate(results)]
    leaves = [x, *given, *parameters]
    gradients = torch.autograd.grad(results, leaves, cotangents, materialize_grads=True)
    count = 1 + len(given)
    return {
        "values": [r.detach() for r in results],
        "gradients": list(gradients[:count]),
        "parameters": list(gradients[count:]),
    }

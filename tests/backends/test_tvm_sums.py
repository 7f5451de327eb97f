"""Totals of a kernel: the same in tiles, and for any number of threads, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("tvm", reason="TVM is not installed")

import rnndsl
from rnndsl.backends.tvm import runtime
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.ir import Graph, LeafRole, ResultRole, Type
from rnndsl.dims import dim

AFFINE = rnndsl.parse("""
cell Affine(D, H):
    input x: [D]
    y = linear[H](x)
    return y
""")
PARTS = (1, 2, 3, 5)

pytestmark = pytest.mark.usefixtures("all_threads")


def outer_sum(left: int, right: int, spec: str) -> Graph:
    b = Builder()
    x = b.leaf("x", LeafRole.INPUT, Type((dim(left),), True))
    z = b.leaf("z", LeafRole.INPUT, Type((dim(right),), True))
    b.result("total", ResultRole.SUM, b.op("contract", x, z, spec=spec, sum_batch=True))
    return b.finish("outer")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", ["i,j->ij", "i,j->ji"])
@pytest.mark.parametrize("sizes", [(640, 160), (163, 617), (139, 67), (3, 200)])
def test_an_outer_product_is_summed_in_tiles_of_any_size(
    sizes: tuple[int, int], spec: str, dtype: str
) -> None:
    """Of few and of more rows than are summed at a time."""
    graph, rng = outer_sum(*sizes, spec), np.random.default_rng(0)
    for steps, batch in ((1, 1), (5, 3), (37, 9)):
        x, z = (rng.standard_normal((steps, batch, n)).astype(dtype) for n in sizes)
        found = runtime.run_graph(graph, {"x": x, "z": z}, {}, {}, dtype).totals["total"]
        whole = f"tb{spec[0]},tb{spec[2]}->{spec[-2:]}"
        exact = np.einsum(whole, x.astype(np.float64), z.astype(np.float64))
        # Every term is rounded at most once for each addition after it.
        size = np.einsum(whole, abs(x).astype(np.float64), abs(z).astype(np.float64))
        assert (abs(found - exact) <= (steps * batch + 1) * np.finfo(dtype).eps * size).all()


def gradients(layer: torch.nn.Module, x: Tensor, weight: Tensor) -> list[Tensor]:
    y, _ = layer(x)
    params = [p for p in layer.parameters() if p.requires_grad]
    return list(torch.autograd.grad((y * weight).sum(), params))


@pytest.mark.parametrize(("steps", "batch"), [(37, 9), (41, 1), (3, 7)])
def test_any_number_of_parts_sums_up_what_the_terms_are(steps: int, batch: int) -> None:
    torch.manual_seed(0)
    layer = rnndsl.layer(AFFINE, 213, 509, backend="tvm")
    x, weight = torch.randn(steps, batch, 213), torch.randn(steps, batch, 509)
    names = [name.rsplit(".", 1)[-1] for name, _ in layer.named_parameters()]
    w, s = weight.double().flatten(0, 1), x.double().flatten(0, 1)
    exact = {"weight": w.T @ s, "bias": w.sum(0)}
    size = {"weight": w.abs().T @ s.abs(), "bias": w.abs().sum(0)}
    # Terms and the sums of parts: every one is rounded at most once for each addition after it.
    rounding = (steps * batch + max(PARTS)) * torch.finfo(torch.float32).eps
    alone: list[Tensor] = []
    for parts in PARTS:
        torch.set_num_threads(parts)
        found = gradients(layer, x, weight)
        alone = alone or found
        for name, one, first in zip(names, found, alone, strict=True):
            assert ((one.double() - exact[name]).abs() <= rounding * size[name]).all()
            # No sum of products depends on who takes which part of its results.
            assert name != "weight" or torch.equal(one, first)


@pytest.mark.parametrize(
    ("cell", "hidden"),
    [("lstm", 163), ("rhn", 67), ("nascell", 67), ("layernorm_lstm", 67), ("sru", 67)],
)
@pytest.mark.parametrize(("steps", "batch"), [(31, 9), (13, 1)])
def test_gradients_of_cells_are_alike_for_any_number_of_parts(
    cell: str, hidden: int, steps: int, batch: int
) -> None:
    torch.manual_seed(0)
    layer = rnndsl.layer(cell, 67, hidden, backend="tvm")
    x, weight = torch.randn(steps, batch, 67), torch.randn(steps, batch, hidden)
    torch.set_num_threads(1)
    alone = gradients(layer, x, weight)
    # T * B terms, in another order; a gradient is a sum of products of such sums.
    rounding = 2 * steps * batch * torch.finfo(torch.float32).eps
    for parts in PARTS[1:]:
        torch.set_num_threads(parts)
        for one, first in zip(gradients(layer, x, weight), alone, strict=True):
            scale = max(1.0, float(first.abs().max()))
            torch.testing.assert_close(one, first, rtol=0, atol=rounding * scale)

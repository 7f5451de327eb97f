"""What is kept on disk of a cell makes the layer that the cell makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import rnndsl
from rnndsl.backends.torch import calls, programs
from rnndsl.cell import Cell
from rnndsl.loading import standard_name
from rnndsl.source import Source


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RNNDSL_CACHE", str(tmp_path))
    return tmp_path / "results"


def forget() -> None:
    """Whatever this process knows of programs, as a later process would not."""
    for found in (calls.requested, calls._call):
        found.cache_clear()
    programs._runners.clear()


def gradients(cell: str | Cell, **options: Any) -> list[torch.Tensor]:
    torch.manual_seed(0)
    layer = rnndsl.layer(cell, 3, 4, **options)
    x = torch.linspace(-1, 1, 30).reshape(5, 2, 3).requires_grad_()
    y, _ = layer(x)
    y.square().sum().backward()
    return [y, x.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_a_layer_from_disk_computes_what_the_first_one_did(folder: Path, backend: str) -> None:
    pytest.importorskip("tvm", reason="TVM is not installed")
    forget()
    first = gradients("gru", backend=backend)
    names = {path.name.partition(".")[0] for path in folder.iterdir()}
    assert ("derivative" in names) == (backend == "auto")  # as for kernels
    forget()
    for one, other in zip(first, gradients("gru", backend=backend), strict=True):
        assert torch.equal(one, other)


def test_numbers_tell_graphs_apart() -> None:
    counts = [
        rnndsl.layer("rhn", 3, 4, depth=depth, backend="torch").parameter_count()
        for depth in (2, 3, 2)
    ]
    assert counts[0] == counts[2] != counts[1]


def test_only_the_librarys_own_cells_have_a_standard_name() -> None:
    cell = rnndsl.load("lstm")
    assert standard_name(cell) == "lstm"
    text = cell.source.text.replace("sigmoid", "tanh")
    assert standard_name(rnndsl.parse(text, file="stdlib/lstm.rnn")) is None
    other = Cell(cell.name, cell.definition, Source("mine.rnn", text), cell.subcells)
    assert standard_name(other) is None

"""The reference docs/language.md: every example is right, every function is in it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from rnndsl.cell import check
from rnndsl.checking.builtins import BUILTINS
from rnndsl.checking.inits import INITS
from rnndsl.compiler.initializers import initialize
from rnndsl.compiler.interpreter import run
from rnndsl.compiler.ir import LeafRole
from rnndsl.compiler.lower import lower
from rnndsl.compiler.verify import verify
from rnndsl.formatting.formatter import format_file
from rnndsl.loading import cells_of
from rnndsl.parsing.parser import parse_file
from rnndsl.source import Source

PAGE = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```rnn\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SIZES = {"D": 3, "H": 4}


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_has_no_mistakes_and_runs(text: str) -> None:
    source = Source("language.md", text)
    assert check(source) == ()
    assert parse_file(Source("again", format_file(parse_file(source)))) == parse_file(source)
    for cell in cells_of(source, None).values():
        if cell.is_space:
            continue
        lowered = lower(cell)
        verify(lowered.graph)
        graph = lowered.graph.bind(SIZES)
        params = initialize(lowered.params, SIZES)
        inputs = {
            leaf.name: np.ones((2, 1, *leaf.type.sizes)) for leaf in graph.leaves_of(LeafRole.INPUT)
        }
        states = {
            leaf.name: np.zeros((1, *leaf.type.sizes)) for leaf in graph.leaves_of(LeafRole.STATE)
        }
        assert np.isfinite(run(graph, inputs, states, params).outputs["y"]).all()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 10


@pytest.mark.parametrize("name", BUILTINS)
def test_every_function_is_described_with_its_signature(name: str) -> None:
    record = BUILTINS[name]
    assert f"| `{record.signature}` | {record.doc} |" in PAGE


@pytest.mark.parametrize("name", INITS)
def test_every_initialiser_is_described(name: str) -> None:
    assert f"| `{INITS[name].signature}` | {INITS[name].doc} |" in PAGE

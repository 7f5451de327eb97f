"""Golden files: a graph, and what a pipeline makes of it.

The first line names the pipeline; the graph above the line ``# becomes`` is its input and the
graph below what must come out.  ``--update-golden`` rewrites what stands below.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rnndsl.compiler.pipeline import PASSES, parse_pipeline, run_pipeline, verifying
from rnndsl.compiler.text import parse_graph, print_graph
from rnndsl.compiler.verify import verify

FOLDER = Path(__file__).parent / "golden"
FILES = sorted(FOLDER.rglob("*.ir"))
_MIDDLE = "\n# becomes\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_pipeline_gives_the_expected_graph(path: Path, update_golden: bool) -> None:
    text = path.read_text(encoding="utf-8")
    above, _, below = text.partition(_MIDDLE)
    graph = parse_graph(above)
    verify(graph)
    pipeline = parse_pipeline(text.splitlines()[0].removeprefix("#"))
    found = print_graph(run_pipeline(graph, pipeline, [verifying()]))
    if update_golden:
        path.write_text(f"{above.rstrip()}\n{_MIDDLE}\n{found}", encoding="utf-8")
    else:
        assert found == below.lstrip("\n")


def test_every_pass_has_a_golden_file() -> None:
    assert {path.parent.name for path in FILES} == set(PASSES)

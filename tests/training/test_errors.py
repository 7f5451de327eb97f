"""The catalogue of training mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnndsl.training import errors

MISTAKES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.TrainingMistake) and value.code
]
PAGES = Path(__file__).resolve().parents[2] / "rnndsl" / "explain"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.code)
def test_mistake_has_a_code_of_its_own_and_a_page(mistake: type[errors.TrainingMistake]) -> None:
    assert mistake.code.startswith("E07")
    assert [m for m in MISTAKES if m.code == mistake.code] == [mistake]
    page = (PAGES / f"{mistake.code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {mistake.code}: ")
    assert "## Wrong" in page
    assert "## Right" in page


def test_every_page_has_its_mistake() -> None:
    assert {p.stem for p in PAGES.glob("E07*.md")} == {m.code for m in MISTAKES}

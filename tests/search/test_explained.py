"""The pages of `rnndsl explain` for mistakes in spaces: both programs, tried."""

from __future__ import annotations

import re

import pytest

from rnndsl.diagnostics import RnndslError, all_errors
from rnndsl.explain import PAGES, explain
from rnndsl.search.reading import load_space, read_space

CODES = sorted(code for code in all_errors() if code.startswith("E06"))
IN_SPACES = ("E0601", "E0603", "E0604", "E0605", "E0606")


def program(code: str, heading: str) -> str:
    """The fenced block below a heading of a page."""
    found = re.search(rf"## {heading}\n\n```\n(.*?)```", explain(code), re.DOTALL)
    assert found, f"{code} has no {heading}"
    return found[1]


@pytest.mark.parametrize("code", CODES)
def test_every_mistake_of_searching_has_a_page(code: str) -> None:
    assert (PAGES / f"{code}.md").exists()
    assert program(code, "Wrong") != program(code, "Right")


@pytest.mark.parametrize("code", IN_SPACES)
def test_the_wrong_program_makes_the_mistake_and_the_right_one_none(code: str) -> None:
    with pytest.raises(RnndslError) as caught:
        read_space(program(code, "Wrong"))
    assert [d.code for d in caught.value.diagnostics] == [code]
    assert read_space(program(code, "Right")).roots


def test_a_misspelt_space_is_told_the_right_one() -> None:
    with pytest.raises(RnndslError, match="did you mean `gated`") as caught:
        load_space("gatde")
    assert [d.code for d in caught.value.diagnostics] == ["E0613"]

"""Every command line that the pages show is one that rnndsl accepts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rnndsl.cli import _parse
from rnndsl.explain import PAGES

ROOT = Path(__file__).resolve().parents[1]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *PAGES.glob("*.md")]
_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WRONG = re.compile(r"^## Wrong\n.*?(?=^## )", re.MULTILINE | re.DOTALL)


def command_lines(path: Path) -> list[str]:
    """The calls of rnndsl in a page's blocks, but those that it shows as wrong."""
    text = _WRONG.sub("", path.read_text(encoding="utf-8"))
    lines = "".join(_BLOCK.findall(text)).splitlines()
    return [x for x in lines if x.startswith("rnndsl ") and x[7:8].islower() and "..." not in x]


LINES = sorted({line for path in TEXTS for line in command_lines(path)})


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_pages_is_understood(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if "--help" not in words:
        assert _parse(words).module


def test_there_are_commands() -> None:
    assert len(LINES) > 30

"""Every mistake has a golden case and a page; every message shown in a page is the real one.

A golden case is `errors/NAME.rnn` beside `errors/NAME.err`; `--update-golden` writes the latter.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rnndsl.diagnostics import Diagnostic, RnndslError, all_errors
from rnndsl.explain import PAGES, explain
from tests.language.golden import FILE, codes_of, message_of

ERRORS = Path(__file__).parent / "errors"
CASES = sorted(ERRORS.glob("*.rnn"))
CODES = all_errors()
# Mistakes of single files are shown as golden cases; these are not of that kind.
NOT_A_CELL_FILE = {
    "E0120": "a file that is missing",
    "E0122": "a file of 250,000 bytes",
    "E0123": "writing, not reading",
    "E0130": "about error codes",
    "E0227": "about sizes given when a cell is built",
}
_SECTION = re.compile(r"^## (\w+)\n+```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_mistake_is_reported_as_recorded(path: Path, update_golden: bool) -> None:
    message = message_of(path)
    expected = path.with_suffix(".err")
    if update_golden:
        expected.write_text(message, encoding="utf-8")
    assert message == expected.read_text(encoding="utf-8")
    assert message != "\n", "a golden case holds a mistake"


def test_every_expected_text_has_its_case() -> None:
    assert {path.stem for path in ERRORS.glob("*.err")} == {path.stem for path in CASES}


@pytest.mark.parametrize("code", [c for c in CODES if c < "E03" and c not in NOT_A_CELL_FILE])
def test_every_mistake_in_a_cell_file_has_a_golden_case(code: str) -> None:
    assert any(f"[{code}]" in p.read_text(encoding="utf-8") for p in ERRORS.glob("*.err"))


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_page(code: str) -> None:
    assert explain(code).startswith(f"# {code}: ")


def test_every_page_has_its_code() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} <= set(CODES)


@pytest.mark.parametrize("page", sorted(PAGES.glob("E0[12]*.md")), ids=lambda page: page.stem)
def test_the_programs_of_a_page_are_wrong_and_right(
    page: Path, tmp_path: Path, update_golden: bool
) -> None:
    text = page.read_text(encoding="utf-8")
    sections = dict(_SECTION.findall(text))
    if "Wrong" not in sections:
        assert page.stem in {*NOT_A_CELL_FILE, "E0117", "E0121"}
        return
    wrong, right = tmp_path / "wrong.rnn", tmp_path / "right.rnn"
    wrong.write_text(sections["Wrong"], encoding="utf-8")
    right.write_text(sections["Right"], encoding="utf-8")
    assert codes_of(wrong) == {page.stem}
    assert codes_of(right) == set()
    message = message_of(wrong).replace(FILE, "wrong.rnn")
    if update_golden:
        shown = f"## Message\n\n```\n{message}```"
        text = re.sub(
            r"^## Message\n+```\n.*?^```$", lambda _: shown, text, flags=re.MULTILINE | re.DOTALL
        )
        page.write_text(text, encoding="utf-8")
        sections = dict(_SECTION.findall(text))
    assert sections["Message"] == message


@pytest.mark.parametrize("written", ["E0101", "e0101", "0101", " [E0101] "])
def test_a_code_is_found_however_it_is_written(written: str) -> None:
    assert explain(written).startswith("# E0101: ")


@pytest.mark.parametrize("code", ["E01O1", "E9999", "", "../../../etc/passwd", "E0101.md"])
def test_an_unknown_code_is_a_mistake_with_a_suggestion(code: str) -> None:
    with pytest.raises(RnndslError) as caught:
        explain(code)
    assert caught.value.diagnostics[0].code == "E0130"
    if code == "E01O1":
        assert "did you mean `E0101`?" in str(caught.value)


@pytest.mark.parametrize("error", CODES.values(), ids=lambda error: error.__name__)
def test_wording_is_plain_and_complete(error: type[Diagnostic]) -> None:
    assert re.fullmatch(r"E0[1-9]\d\d", error.code)
    assert error.title
    for text in (error.title, error.label, error.note, error.help):
        assert not text.endswith(".") or text.endswith("...")
        assert not text[:1].isupper() or text[:2].isupper()

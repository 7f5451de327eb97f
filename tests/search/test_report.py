"""The page about a study: whole, self-contained, readable by machines as well."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

optuna = pytest.importorskip("optuna", reason="searching needs Optuna")

import rnndsl
from rnndsl.cli import main
from rnndsl.search.objective import Report
from rnndsl.search.reading import read_space
from rnndsl.search.record import Outcome
from rnndsl.search.report.charts import Axis, Series, chart, ticks
from rnndsl.search.report.data import read_report
from rnndsl.search.report.math import equations
from rnndsl.search.report.page import report_page
from rnndsl.search.samplers import sampler
from rnndsl.search.storage import Place
from rnndsl.search.study import SearchSettings, run_search
from tests.search.stub import SPACE, Quiet, Stub, score_of
from tests.search.test_measures import search_two

VOID = {"meta", "br", "img", "line", "circle", "path", "rect", "mspace"}


class Outline(HTMLParser):
    """Checks that tags are closed in their order, and collects addresses and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    assert not found.open
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with cells of every fate."""

    def hook(text: str, report: Report) -> Outcome | None:
        report(1, score_of(text) + 1)
        if len(text) % 5 == 0:
            return Outcome("pruned", reason="given up")
        if "relu(linear" in text:
            return Outcome("diverged", reason="the loss is <nan> & gone")
        return None

    place = tmp_path_factory.mktemp("studies") / "some <study>"
    settings = SearchSettings(
        read_space(SPACE), sampler("random"), place, trials=24, command="rnndsl search <space>"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnndsl.search.loop.attach", lambda *given: None)
        patch.setattr("os.fsync", lambda descriptor: None)
        run_search(settings, Stub(hook), Quiet())
    return place


def test_the_page_needs_nothing_from_elsewhere(folder: Path) -> None:
    page = report_page(read_report(Place(folder)))
    found = outline(page)
    assert not {"script", "link", "iframe", "object"} & found.tags
    assert all(address.startswith("#") for address in found.addresses)
    assert not re.findall(r"url\((?!#)|@import", page)
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) <= {"http://www.w3.org/2000/svg"}


def test_the_page_says_what_is_in_the_study(folder: Path) -> None:
    report = read_report(Place(folder))
    page = report_page(report)
    winner = report.board.winner
    assert winner is not None
    assert f"{winner.score:.3f}" in page
    for part in ("Leaderboard", "Learning curves", "What matters", "best cells", "Settings"):
        assert part in page
    assert "some &lt;study&gt;" in page and "some <study>" not in page
    assert "the loss is &lt;nan&gt; &amp; gone" in page
    assert "prefers-color-scheme: dark" in page
    assert page.count("<math") >= 3
    assert set(report.importance) <= {name for r in report.records for name in r.choices}
    assert sum(report.importance.values()) == pytest.approx(1, abs=0.05)


def test_the_sine_is_found_to_matter(folder: Path) -> None:
    report = read_report(Place(folder))
    # Scores depend on the length of the text and on whether there is a sine.
    assert next(iter(report.importance)) == "act"
    assert report.options["act"][0].label == "sin"


def test_the_front_is_drawn_for_several_objectives(tmp_path: Path) -> None:
    search_two(tmp_path)
    page = report_page(read_report(Place(tmp_path)))
    outline(page)
    assert "<h2>Front</h2>" in page and "characters" in page


def test_the_command_writes_the_page_and_knows_when_there_is_no_study(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "pages" / "page.html"
    assert main(["report", str(folder), "--out", str(target), "--cells", "1"]) == 0
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["report", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "E0615" in told and "near it" not in told
    assert main(["report", str(folder.parent)]) == 1
    assert str(folder) in capsys.readouterr().err  # the study that is near


def test_a_study_without_a_finished_trial_has_a_page(tmp_path: Path) -> None:
    settings = SearchSettings(read_space(SPACE), sampler("random"), tmp_path, trials=1)

    def hook(text: str, report: Report) -> Outcome | None:
        raise RuntimeError("nothing works")

    run_search(settings, Stub(hook), Quiet())
    page = report_page(read_report(Place(tmp_path)))
    outline(page)
    assert "No cell has been trained to the end yet" in page


@pytest.mark.parametrize("name", ["lstm", "gru", "elman", "rhn", "nascell"])
def test_equations_are_well_formed(name: str) -> None:
    cell = rnndsl.load(name)
    for line in equations(cell.definition):
        ElementTree.fromstring(line)
    if name in ("lstm", "gru", "elman"):
        assert equations(cell.definition)


def test_equations_read_as_mathematics() -> None:
    cell = rnndsl.parse(
        "cell A(D, H):\n    input x: [D]\n    state h: [H]\n"
        "    g = sigmoid(linear[H](x, h))\n    h' = (1 - g) * h + g * tanh(linear[H](x))\n"
        "    return h'\n"
    )
    first, second = (re.sub("<[^>]*>", "", line) for line in equations(cell.definition))
    assert first == "g=σ(Wg[xt,ht−1])"
    assert second == "ht=(1−g)⊙ht−1+g⊙tanh(Whxt)"


def test_charts_leave_out_what_is_not_a_number() -> None:
    drawn = chart([Series([(1.0, 2.0), (2.0, float("nan")), (3.0, 1.0)])], Axis("x"), Axis("y"))
    assert "nan" not in drawn
    ElementTree.fromstring(drawn)
    assert "nothing to draw" in chart([], Axis("x"), Axis("y"))


def test_ticks_are_few_and_round() -> None:
    assert ticks(0, 10, Axis("")) == [0, 2, 4, 6, 8, 10]
    assert ticks(50, 400, Axis("", log=True)) == [50, 100, 200, 400]
    assert all(value == int(value) for value in ticks(0, 3, Axis("", whole=True)))

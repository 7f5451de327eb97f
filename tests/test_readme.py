"""What the README shows is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rnndsl.cell import load, parse
from rnndsl.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
PLAIN = [text for kind, text in BLOCKS if not kind]


def block(start: str) -> str:
    found: str
    (found,) = [text for text in PLAIN if text.startswith(start)]
    return found


@pytest.mark.parametrize("code", PYTHON, ids=["train", "layers"])
def test_python_runs(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def test_the_first_cell_is_the_one_in_the_library() -> None:
    assert block("# Long short-term memory") == (ROOT / "rnndsl/stdlib/lstm.rnn").read_text()


def test_the_space_is_the_one_that_ships() -> None:
    assert block("# A gated cell") == (ROOT / "search/spaces/gated.rnn").read_text()
    assert parse(block("# A gated cell")).is_space


def test_the_mistake_is_reported_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        "cell GRUish(D, H):",
        "    input x: [D]",
        "    state h: [H]",
        "    r = sigmoid(linear[H](x, h))",
        "    n = tanh(r * x + linear[H](h))",
        "    h' = h + r * (n - h)",
        "    return h'",
    ]
    (tmp_path / "wrong.rnn").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    assert main(["check", "wrong.rnn"]) == 1
    assert capsys.readouterr().err.strip() == block("error[E0203]").strip()


def test_every_link_leads_somewhere() -> None:
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)|srcset=\"([^\"]+)\"|src=\"([^\"]+)\"", prose):
        assert (ROOT / "".join(target)).exists(), target


def test_the_two_commands_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for name in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{name}:" in makefile


def test_the_library_is_as_large_as_it_says() -> None:
    from rnndsl.cell import list_cells

    (count,) = re.findall(r"\[(\d+) cells of the library\]", README)
    assert int(count) == len(list_cells())
    assert load("lstm").name == "LSTM"

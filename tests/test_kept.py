"""Results are kept on disk, and only whole ones that fit the package are taken from there."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rnndsl import kept as module
from rnndsl.cell import load
from rnndsl.kept import cache_root, collecting_later, digest, kept


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RNNDSL_CACHE", str(tmp_path))
    return tmp_path / "results"


class Counter:
    """Makes 1, 2, 3 and so on."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> dict[str, int]:
        self.made += 1
        return {"made": self.made}


def test_a_result_is_made_once(folder: Path) -> None:
    make = Counter()
    assert kept("sum", [1, "a"], make) == {"made": 1}
    assert kept("sum", [1, "a"], make) == {"made": 1}
    assert len(list(folder.iterdir())) == 1


def test_none_is_a_result(folder: Path) -> None:
    made: list[int] = []
    for _ in range(2):
        assert kept("nothing", 0, lambda: made.append(1)) is None
    assert made == [1]


def test_whatever_a_result_depends_on_tells_it_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Counter()
    kept("sum", [1, "a"], make)
    kept("sum", [1, "b"], make)
    kept("product", [1, "a"], make)
    for name, value in (("sources", lambda: "another"), ("__version__", "another")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            kept("sum", [1, "a"], make)
    assert make.made == 5


def test_the_digest_covers_the_text_of_modules_and_cells(tmp_path: Path) -> None:
    found = set()
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.rnn", "1"), ("b.rnn", "2")):
        (tmp_path / name).write_text(text)
        found.add(digest([tmp_path]))
    assert len(found) == 4


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:-1] + b"!", lambda b: b""])
def test_a_damaged_result_is_logged_and_made_again(
    folder: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    make = Counter()
    kept("sum", 1, make)
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert kept("sum", 1, make) == {"made": 2}
    assert "made again" in caplog.text
    assert kept("sum", 1, make) == {"made": 2}


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("RNNDSL_CACHE", str(blocked))
    make = Counter()
    kept("sum", 1, make)
    assert kept("sum", 1, make) == {"made": 2}
    assert caplog.text.count("nothing can be kept") == 1


def test_the_user_may_want_nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNDSL_CACHE", "off")
    assert cache_root() is None
    make = Counter()
    kept("sum", 1, make)
    assert kept("sum", 1, make) == {"made": 2}


def test_the_folder_of_nobody_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNDSL_CACHE", "~nobody-by-that-name/results")
    assert cache_root() is None


def test_what_was_used_longest_ago_goes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 2500)
    now = time.time()
    for age, name in enumerate(["new", "old", "older"]):
        kept(name, 0, lambda: bytes(1000))
        for path in folder.glob(f"{name}.*"):
            os.utime(path, (now - 100 * age, now - 100 * age))
    kept("newest", 0, lambda: bytes(1000))
    assert {path.name.partition(".")[0] for path in folder.iterdir()} == {"new", "newest"}


def test_a_mistake_is_not_kept(folder: Path) -> None:
    def fail() -> int:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            kept("sum", 1, fail)
    assert not folder.exists()
    assert gc.isenabled()


def test_garbage_is_collected_again_afterwards() -> None:
    with collecting_later():
        assert not gc.isenabled()
        with collecting_later():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_cell_from_disk_is_the_cell(folder: Path) -> None:
    from rnndsl import loading

    loading._stdlib.cache_clear()
    first = load("hyperlstm")
    loading._stdlib.cache_clear()
    again = load("hyperlstm")
    assert again is not first
    assert again == first
    assert str(again) == str(first)
    assert again.definition.body[0].span == first.definition.body[0].span

"""Reading text: splits, vocabularies, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnndsl.diagnostics import RnndslError
from rnndsl.training import errors
from rnndsl.training.corpus import build_corpus, load_corpus
from rnndsl.training.vocabulary import build_vocabulary, split_tokens


def mistake(error: RnndslError) -> object:
    (found,) = error.diagnostics
    return found


def test_bundled_text_is_split_by_position() -> None:
    corpus = load_corpus(None)
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (1003854, 55770, 55770)
    assert len(corpus.vocabulary) == 65
    assert corpus.warnings() == ()
    assert corpus.vocabulary.decode(corpus.train[:14]) == "First Citizen:"


def test_single_file_is_cut_at_90_and_95_percent(tmp_path: Path) -> None:
    path = tmp_path / "digits.txt"
    path.write_text("0123456789" * 10)
    corpus = load_corpus(path)
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (90, 5, 5)
    assert corpus.vocabulary.decode(corpus.valid) == "01234"
    assert corpus.vocabulary.decode(corpus.test) == "56789"


@pytest.mark.parametrize("name", ["{}.txt", "{}", "wiki.{}.tokens"])
def test_folder_gives_its_own_splits(tmp_path: Path, name: str) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / name.format(split)).write_text(f"{split} train valid test")
    corpus = load_corpus(tmp_path)
    assert corpus.vocabulary.decode(corpus.valid).startswith("valid")


@pytest.mark.parametrize("missing", ["train", "valid", "test"])
def test_folder_without_a_split_is_refused(tmp_path: Path, missing: str) -> None:
    for split in {"train", "valid", "test"} - {missing}:
        (tmp_path / f"{split}.txt").write_text("some text")
    with pytest.raises(RnndslError) as caught:
        load_corpus(tmp_path)
    found = mistake(caught.value)
    assert isinstance(found, errors.SplitMissing)
    assert found.split == missing


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", errors.DataEmpty),
        (b" \n\t\n", errors.DataEmpty),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00" * 20, errors.DataNotText),
        (b"text with a \x00 byte", errors.DataNotText),
        (bytes(range(256)) * 4, errors.DataNotText),
    ],
)
def test_file_that_is_no_text_is_refused(
    tmp_path: Path, content: bytes, expected: type[errors.TrainingMistake]
) -> None:
    path = tmp_path / "data"
    path.write_bytes(content)
    with pytest.raises(RnndslError) as caught:
        load_corpus(path)
    assert isinstance(mistake(caught.value), expected)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_position_of_a_byte_that_is_not_utf8_is_told(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(mark + b"first line\nna" + b"\xefve")
    with pytest.raises(RnndslError) as caught:
        load_corpus(path)
    found = mistake(caught.value)
    assert isinstance(found, errors.DataNotUtf8)
    assert (found.byte, found.line, found.column) == ("0xef", 2, 3)
    assert found.offset == 13 + len(mark)


def test_missing_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(RnndslError, match="E0701"):
        load_corpus(tmp_path / "nowhere")


def test_characters_never_seen_are_counted_and_told(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("abc")
    (tmp_path / "valid.txt").write_text("abXX")
    (tmp_path / "test.txt").write_text("cba")
    corpus = load_corpus(tmp_path)
    (warning,) = corpus.warnings()
    assert "valid has 2 characters (1 distinct: 'X')" in warning
    assert corpus.valid.tolist() == [0, 1, 3, 3]
    assert corpus.vocabulary.tokens == ("a", "b", "c", "<unk>")


def test_words_keep_line_ends_and_rare_words_are_unknown() -> None:
    splits = {
        split: split_tokens(text, "word")
        for split, text in {
            "train": "the cat\nthe  dog\n",
            "valid": "the cow",
            "test": "the dog",
        }.items()
    }
    corpus = build_corpus("animals", splits, "word", min_count=2)
    assert corpus.vocabulary.tokens == ("<unk>", "<eos>", "the")
    assert corpus.vocabulary.decode(corpus.train) == "the <unk>\nthe <unk>\n"


def test_vocabulary_does_not_depend_on_the_order_of_tokens() -> None:
    one = build_vocabulary(["the", "cat", "the", "dog"], "word")
    two = build_vocabulary(["dog", "the", "cat", "the"], "word")
    assert one == two


def test_line_breaks_of_other_systems_read_alike(tmp_path: Path) -> None:
    fingerprints = set()
    for name, end in (("unix", b"\n"), ("windows", b"\r\n"), ("mac", b"\r")):
        path = tmp_path / name
        path.write_bytes(end.join([b"some words"] * 9))
        fingerprints.add(load_corpus(path).fingerprint)
    assert len(fingerprints) == 1

"""A corpus: the train, valid and test tokens of a text file or of a folder of text."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rnndsl.training.errors import DataNotFound, SplitMissing, training_error
from rnndsl.training.textfile import read_text
from rnndsl.training.vocabulary import (
    Level,
    Tokens,
    Vocabulary,
    build_vocabulary,
    split_tokens,
    with_unknown,
)

SPLITS = ("train", "valid", "test")
BUNDLED = Path(__file__).resolve().parent.parent / "data" / "tinyshakespeare.txt"

# A single text is split by position: the first 90 % train, then 5 % each.
_TRAIN_SHARE, _VALID_SHARE = 0.90, 0.05


@dataclass(frozen=True, slots=True)
class Corpus:
    """Tokens as numbers, one array for each split, and what they mean.

    ``unseen`` counts, per split, the tokens that the training split lacks: they read as ``<unk>``.
    """

    name: str
    vocabulary: Vocabulary
    train: Tokens
    valid: Tokens
    test: Tokens
    unseen: dict[str, Counter[str]]

    @property
    def fingerprint(self) -> str:
        """A digest of vocabulary and tokens: equal for equal data."""
        digest = hashlib.sha256(repr(self.vocabulary.tokens).encode())
        for tokens in (self.train, self.valid, self.test):
            digest.update(len(tokens).to_bytes(8, "little"))
            digest.update(tokens.tobytes())
        return digest.hexdigest()[:32]

    def warnings(self) -> tuple[str, ...]:
        """One sentence for each split whose tokens are not all known."""
        return tuple(
            _unseen_sentence(split, tokens, self.vocabulary.level)
            for split, tokens in self.unseen.items()
            if tokens
        )


def load_corpus(path: str | Path | None, level: Level = "char", min_count: int = 1) -> Corpus:
    """The corpus at ``path``: a text file, or a folder with train, valid and test text.

    None is the bundled tiny Shakespeare.  The vocabulary is built from the training split
    alone.  RnndslError when a file is missing, empty or not UTF-8 text.
    """
    place = BUNDLED if path is None else Path(path)
    if place.is_dir():
        texts = {split: read_text(_find_split(place, split)) for split in SPLITS}
        splits = {split: split_tokens(text, level) for split, text in texts.items()}
    elif place.exists():
        splits = split_by_position(split_tokens(read_text(place), level))
    else:
        raise training_error(DataNotFound(path=str(place)))
    return build_corpus(place.name, splits, level, min_count)


def build_corpus(
    name: str, splits: dict[str, list[str]], level: Level, min_count: int = 1
) -> Corpus:
    """A corpus of tokens that are at hand; ``splits`` maps train, valid and test to tokens."""
    vocabulary = build_vocabulary(splits["train"], level, min_count)
    unseen = {split: vocabulary.unseen(splits[split]) for split in ("valid", "test")}
    if any(unseen.values()):
        vocabulary = with_unknown(vocabulary)
    train, valid, test = (vocabulary.encode(splits[split]) for split in SPLITS)
    return Corpus(name, vocabulary, train, valid, test, unseen)


def split_by_position(tokens: list[str]) -> dict[str, list[str]]:
    """The first 90 % of ``tokens`` to train on, the next 5 % to validate, the rest to test."""
    first = int(len(tokens) * _TRAIN_SHARE)
    second = int(len(tokens) * (_TRAIN_SHARE + _VALID_SHARE))
    return {"train": tokens[:first], "valid": tokens[first:second], "test": tokens[second:]}


def _find_split(folder: Path, split: str) -> Path:
    names = (f"{split}.txt", split, f"wiki.{split}.tokens")
    for candidate in (folder / name for name in names):
        if candidate.is_file():
            return candidate
    found = sorted(entry.name for entry in folder.iterdir())[:8]
    raise training_error(
        SplitMissing(folder=str(folder), split=split, found=", ".join(found) or "nothing")
    )


def _unseen_sentence(split: str, unseen: Counter[str], level: Level) -> str:
    kinds, total = len(unseen), unseen.total()
    noun = "character" if level == "char" else "word"
    shown = ", ".join(repr(token) for token, _ in unseen.most_common(5))
    more = ", …" if kinds > 5 else ""
    return (
        f"{split} has {total} {noun}{'s' if total != 1 else ''} ({kinds} distinct: {shown}{more}) "
        "never seen in train; they count as <unk>"
    )

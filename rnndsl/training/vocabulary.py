"""A vocabulary: tokens of text and their numbers, at character or word level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Level = Literal["char", "word"]
LEVELS: tuple[Level, ...] = get_args(Level)

UNKNOWN = "<unk>"
END_OF_LINE = "<eos>"  # what a line break becomes at word level

Tokens = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a training text, numbered from 0 in a fixed order.

    ``unknown`` is the number of ``<unk>``, or None where every token is known.
    """

    level: Level
    tokens: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ids", {token: i for i, token in enumerate(self.tokens)})

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    @property
    def unknown(self) -> int | None:
        return self._ids.get(UNKNOWN)

    def encode(self, tokens: Iterable[str]) -> Tokens:
        """Numbers of ``tokens``; unseen ones become ``<unk>``, or KeyError where there is none."""
        ids, unknown = self._ids, self.unknown
        if unknown is None:
            return np.fromiter((ids[t] for t in tokens), dtype=np.int32)
        return np.fromiter((ids.get(t, unknown) for t in tokens), dtype=np.int32)

    def unseen(self, tokens: Iterable[str]) -> Counter[str]:
        """The tokens that this vocabulary lacks, with how often each occurs."""
        return Counter({t: n for t, n in Counter(tokens).items() if t not in self._ids})

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ``ids`` stand for; words are joined by spaces, ``<eos>`` ends a line."""
        tokens = [self.tokens[i] for i in ids]
        if self.level == "char":
            return "".join(tokens)
        return join_words(tokens)


def split_tokens(text: str, level: Level) -> list[str]:
    """``text`` as tokens: its characters, or its words with ``<eos>`` for each line break."""
    if level == "char":
        return list(text)
    words: list[str] = []
    for line in text.splitlines():
        words.extend(line.split())
        words.append(END_OF_LINE)
    if words and not text.endswith(("\n", "\r")):
        words.pop()  # the last line was not broken off
    return words


def join_words(tokens: Iterable[str]) -> str:
    """Words as text: the inverse of ``split_tokens`` up to the width of white space."""
    pieces: list[str] = []
    at_line_start = True
    for token in tokens:
        if token == END_OF_LINE:
            pieces.append("\n")
            at_line_start = True
        else:
            pieces.append(token if at_line_start else f" {token}")
            at_line_start = False
    return "".join(pieces)


def build_vocabulary(tokens: Iterable[str], level: Level, min_count: int = 1) -> Vocabulary:
    """The vocabulary of a training text.

    Characters stand in code point order.  Words stand by falling count, then alphabetically;
    ``<unk>`` is always among them and replaces words seen fewer than ``min_count`` times.
    """
    counts = Counter(tokens)
    if level == "char":
        return Vocabulary(level, tuple(sorted(counts)))
    kept = [word for word, n in counts.items() if n >= min_count and word != UNKNOWN]
    kept.sort(key=lambda word: (-counts[word], word))
    return Vocabulary(level, (UNKNOWN, *kept))


def with_unknown(vocabulary: Vocabulary) -> Vocabulary:
    """``vocabulary`` with ``<unk>`` as its last token, if it has none."""
    if vocabulary.unknown is not None:
        return vocabulary
    return Vocabulary(vocabulary.level, (*vocabulary.tokens, UNKNOWN))

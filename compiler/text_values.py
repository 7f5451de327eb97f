"""The small pieces of graph text: names, dimensions, types, attributes and spans."""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache

from rnndsl.compiler.ir import Attrs, AttrValue, Type
from rnndsl.dims import Dim, dim
from rnndsl.source import Span

QUOTED = r'"(?:[^"\\]|\\.)*"'
WORD = r"[A-Za-z_][\w.']*"
_WORD = re.compile(WORD, re.ASCII)
_ATTR = re.compile(
    rf"\s*(\w+)\s*=\s*({QUOTED}|\((?:[^\")]|{QUOTED})*\)|\[[^\]]*\]|[^,\s]+)\s*(?:,|$)"
)
_ITEM = re.compile(rf"\s*((?:[^\",]|{QUOTED})+)\s*(?:,|$)")
_SPAN = re.compile(r"\s*(.+):(\d+)-(\d+)\s*")
_TERM = re.compile(r"\s*([+-]?)\s*(\w+(?:\s*[*/]\s*\w+)*)\s*", re.ASCII)


def name_text(name: str) -> str:
    """The name itself if it is a word with dots and primes, else quoted as in JSON."""
    return name if _WORD.fullmatch(name) else json.dumps(name)


def parse_name(text: str) -> str:
    """The inverse of :func:`name_text`; ValueError for a malformed string."""
    return _string(text) if text.startswith('"') else text


@lru_cache(maxsize=4096)
def type_text(kind: Type) -> str:
    return str(kind)


@lru_cache(maxsize=4096)
def parse_type(text: str) -> Type:
    """The type of ``batch[D, 4*H]``; ValueError if a dimension is malformed."""
    kind, _, shape = text.partition("[")
    return Type(_parse_dims(shape[:-1]), kind == "batch")


def attrs_text(attrs: Attrs) -> str:
    """The text of a node's attributes; it tells 1, 1.0 and true apart, and 0.0 from -0.0."""
    return ", ".join([f"{key}={_attr_text(value)}" for key, value in attrs])


@lru_cache(maxsize=4096)
def parse_attrs(text: str) -> Attrs:
    """The inverse of :func:`attrs_text`; ValueError if the text is malformed."""
    attrs: list[tuple[str, AttrValue]] = []
    position = 0
    while position < len(text):
        match = _ATTR.match(text, position)
        if match is None:
            raise ValueError(f"not an attribute: `{text[position:].strip()}`")
        attrs.append((match[1], _parse_attr(match[2])))
        position = match.end()
    return tuple(attrs)


def split_items(text: str) -> list[str]:
    """The parts between commas, trimmed; commas in quotes do not split."""
    if not text.strip():
        return []
    parts = _ITEM.findall(text) if '"' in text else text.split(",")
    return [part.strip() for part in parts]


def span_text(span: Span | None) -> str:
    """A trailing comment that names the place in the source; empty without a span."""
    if span is None:
        return ""
    plain = span.file.isprintable() and span.file == span.file.strip() and span.file[:1] != '"'
    return f"  # {span.file if plain else json.dumps(span.file)}:{span.start}-{span.end}"


def parse_span(comment: str | None) -> Span | None:
    """The span that a comment (without its ``#``) stands for, None for any other comment."""
    match = _SPAN.fullmatch(comment) if comment else None
    return Span(parse_name(match[1].strip()), int(match[2]), int(match[3])) if match else None


def _string(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        raise ValueError(f"not a string: `{text}`") from None


def _attr_text(value: AttrValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, tuple):
        if value and isinstance(value[0], Dim):
            return f"[{', '.join(map(str, value))}]"
        return f"({', '.join([_attr_text(item) for item in value])})"  # type: ignore[arg-type]
    return repr(value)


def _parse_attr(text: str) -> AttrValue:
    if text.startswith("["):
        return _parse_dims(text[1:-1])
    if text.startswith("("):
        return tuple(_parse_attr(item) for item in split_items(text[1:-1]))  # type: ignore[return-value]
    if text.startswith('"'):
        return _string(text)
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"not an attribute value: `{text}`") from None
    # One not-a-number object: tuples that hold the same object compare equal.
    return math.nan if math.isnan(value) else value


def _parse_dims(text: str) -> tuple[Dim, ...]:
    return tuple([_parse_dim(part) for part in text.split(",")]) if text.strip() else ()


@lru_cache(maxsize=4096)
def _parse_dim(text: str) -> Dim:
    if not text.strip():
        raise ValueError("a dimension is missing")
    total = dim(0)
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None or (position and not match[1]):
            raise ValueError(f"not a dimension: `{text.strip()}`")
        term = dim(1)
        for operator, factor in re.findall(r"([*/]?)\s*(\w+)", match[2]):
            length = dim(int(factor) if factor.isdigit() else factor)
            term = term / length if operator == "/" else term * length
        total = total - term if match[1] == "-" else total + term
        position = match.end()
    return total

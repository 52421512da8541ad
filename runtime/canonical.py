"""One spelling of a JSON value, so that two parties hash and sign the same bytes.

Keys sorted, no spaces, UTF-8 unescaped, no NaN or infinity. Numbers that are signed should be integers or text:
a float is written as Python's shortest form, which other languages spell differently.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from math import isfinite

from runtime.errors import NotCanonical as NotCanonical

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_MOST_SHOWN = 80
_UNKNOWN = "it is not in our form"

MAX_DEPTH = 64
MOST_VALUES = 200_000  # keys and items in all: each may be a complaint, which costs a hundred times what its bytes do


def canonical_json(value: object) -> bytes:
    """The canonical bytes of a JSON value. Raises NotCanonical for NaN, infinity and foreign types."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise NotCanonical(f"The value has no canonical JSON form: {error}.") from None


def canonical_digest(value: object) -> str:
    """SHA-256 of the canonical bytes, hex."""
    return sha256(canonical_json(value)).hexdigest()


def parse_json(data: bytes, what: str, most_values: int = MOST_VALUES) -> object:
    """A JSON value from bytes: every key given once, finite numbers, at most MAX_DEPTH deep and `most_values` large.

    Raises NotCanonical naming `what`.
    """
    try:
        found: object = json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise NotCanonical(f"{what} is nested more than {MAX_DEPTH} deep.") from None
    except _NotOurs:
        raise NotCanonical(f"{what} is not JSON: {_complaint(data)}.") from None
    except ValueError as error:
        raise NotCanonical(f"{what} is not JSON: {error}.") from None
    _require_small(found, what, most_values)
    return found


def _require_small(value: object, what: str, most_values: int) -> None:
    """Raises NotCanonical for a value nested beyond MAX_DEPTH, or of more than `most_values` keys and items."""
    level = [value] if isinstance(value, dict | list) else []
    counted = 0
    for _ in range(MAX_DEPTH):
        counted += sum(map(len, level))
        if counted > most_values:
            raise NotCanonical(f"{what} holds more than {most_values} values.")
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise NotCanonical(f"{what} is nested more than {MAX_DEPTH} deep.")


class _NotOurs(ValueError):
    """JSON as Python reads it, but with a number that is none or a key that is given twice."""


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _NotOurs
    return number


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotOurs
    return found


def _no_constant(_text: str) -> object:
    raise _NotOurs


def _complaint(data: bytes) -> str:
    try:
        return next(_not_ours(data.decode(json.detect_encoding(data), "surrogatepass")), _UNKNOWN)
    except (ValueError, LookupError):  # nor is it JSON otherwise, further on
        return _UNKNOWN


def _not_ours(text: str) -> Iterator[str]:
    """What is wrong with a text that Python reads as JSON, and in which line, in the order of the text."""
    objects: list[set[str] | None] = []  # those around the place; None for a list
    before, line, seen = "", 1, 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        line, seen = line + text.count("\n", seen, token.start()), token.start()
        if word in "{[":
            objects.append(set() if word == "{" else None)
        elif word in "}]":
            objects.pop()
        elif objects and objects[-1] is not None and before in "{,":
            key = json.loads(word)
            if key in objects[-1]:
                yield f"key {key[:_MOST_SHOWN]!r} is given twice, again in line {line}"
            objects[-1].add(key)
        elif word.lstrip("-") in ("NaN", "Infinity"):
            yield f"{word} is not a JSON number (line {line})"
        elif word[:1] in "-0123456789" and not word.lstrip("-").isdigit() and not isfinite(float(word)):
            yield f"{word[:20]} is larger than a number may be (line {line})"
        before = word

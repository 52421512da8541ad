"""One spelling of a JSON value, so that two parties hash and sign the same bytes.

Keys sorted, no spaces, UTF-8 unescaped, no NaN or infinity. Numbers that are signed should be integers or text:
a float is written as Python's shortest form, which other languages spell differently.
"""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from math import isfinite

from runtime.errors import NotCanonical as NotCanonical

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


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:20]} is larger than a number may be")
    return number


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = Counter(name for name, _ in pairs)
        raise ValueError(f"key {max(names, key=lambda name: names[name])[:80]!r} is given twice")
    return found


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is not a JSON number")

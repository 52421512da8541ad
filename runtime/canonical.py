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


def parse_json(data: bytes, what: str) -> object:
    """A JSON value from bytes, with every key given once, finite numbers, not nested beyond MAX_DEPTH.

    Raises NotCanonical naming `what`.
    """
    try:
        found: object = json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise NotCanonical(f"{what} is nested more than {MAX_DEPTH} deep.") from None
    except ValueError as error:
        raise NotCanonical(f"{what} is not JSON: {error}.") from None
    if not _is_flat(found):
        raise NotCanonical(f"{what} is nested more than {MAX_DEPTH} deep.")
    return found


def _is_flat(value: object) -> bool:
    """Whether no value is nested beyond MAX_DEPTH."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(item, dict | list)
        ]
        if not level:
            return True
    return False


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

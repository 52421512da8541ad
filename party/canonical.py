"""One spelling of a JSON value, so that two parties hash and sign the same bytes.

Keys sorted, no spaces, UTF-8 unescaped, no NaN or infinity. Numbers that are signed should be integers or text:
a float is written as Python's shortest form, which other languages spell differently.
"""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256

from party.errors import NotCanonical as NotCanonical


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
    """A JSON value from bytes, where a key given twice is an error. Raises NotCanonical naming `what`."""
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(f"{what} is not JSON: {error}.") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = Counter(name for name, _ in pairs)
        raise ValueError(f"key {max(names, key=lambda name: names[name])[:80]!r} is given twice")
    return found


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is not a JSON number")

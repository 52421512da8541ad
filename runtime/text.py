"""Text that somebody else wrote, made fit to be shown: what could move a cursor or turn a line around is replaced.

Nothing that came from a file, an executor or another party is printed, logged or put on a page before it went through
`printable`: a terminal obeys escape sequences, and bidirectional controls make a line read as what it is not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_PLACE_CHARS = 200
MOST_COMPLAINTS = 1_000  # about one document that are listed: pydantic makes a record of each before the first is read
_BREAKS = "\n\t"
# C0, DEL and C1; marks, embeddings, overrides and isolates of direction; line separators; lone surrogates.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, *, lines: bool = False) -> str:
    """The text with every control character replaced by U+FFFD; `lines` keeps line breaks and tabs."""
    return _CONTROLS.sub(lambda found: found[0] if lines and found[0] in _BREAKS else REPLACEMENT, text)


def is_printable(text: str) -> bool:
    """Whether the text has no control character at all, line breaks included."""
    return _CONTROLS.search(text) is None


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return ""


def first_problem(error: ValidationError) -> str:
    """The first complaint about a document as `path.of.field: what is wrong`, fit to be shown."""
    if error.error_count() > MOST_COMPLAINTS:
        return f"{error.error_count()} things are wrong with it"
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:MAX_PLACE_CHARS]
    return printable(f"{place}: {first['msg']}" if place else str(first["msg"]))

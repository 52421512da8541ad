"""What somebody may have meant who wrote a name that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST_LISTED = 12
MOST_COMPARED = 200  # comparing costs: of more names only those that begin alike are looked at
MAX_CHARS = 200
_OTHER_WORDS = {
    **dict.fromkeys(("cpu", "cpus", "threads"), "cores"),
    **dict.fromkeys(("mem", "ram"), "memory"),
    **dict.fromkeys(("secure", "encrypt", "encrypted", "encryption", "he"), "protection"),
}


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known name, or lists what there is, or says that there is nothing."""
    names = sorted(known)
    word = _OTHER_WORDS.get(given.lower(), "")
    if word in names:
        return f"Did you mean '{word}'?"
    alike = names if len(names) <= MOST_COMPARED else [name for name in names if name[:1] == given[:1]]
    near = get_close_matches(given[:MAX_CHARS], alike[:MOST_COMPARED], n=1, cutoff=0.5)
    if near:
        return f"Did you mean '{near[0]}'?"
    if not names:
        return "There are none yet."
    listed = ", ".join(name[:MAX_CHARS] for name in names[:MOST_LISTED])
    return f"There are: {listed}{', …' if len(names) > MOST_LISTED else ''}."

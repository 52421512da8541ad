"""How long to wait before the next of many tries, by how many there were."""

from __future__ import annotations

MOST_DOUBLINGS = 60  # more than any pause needs; a float ends at some 1,000


def doubled_s(first_s: float, times: int, last_s: float) -> float:
    """`first_s` doubled so many times, at most `last_s`; of any number of tries."""
    return min(first_s * 2.0 ** min(times, MOST_DOUBLINGS), last_s)

from __future__ import annotations

from runtime.limits.tally import Tally


def test_the_first_is_told_at_once_and_what_comes_meanwhile_together() -> None:
    told: list[str] = []
    now = [0.0]
    tally = Tally(told.append, 30.0, lambda: now[0])
    for why in ("late", "many", "late"):
        tally.count(why)
    assert told == ["1 late"]
    now[0] = 30.0
    tally.count("many")
    assert told == ["1 late", "2 many, 1 late"]

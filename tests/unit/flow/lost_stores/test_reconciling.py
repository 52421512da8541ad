"""Which jobs the rooms below have lost, and of which jobs they hold something that nobody knows."""

from __future__ import annotations

import pytest

from flow.lost_stores.reconciling import compare

CASES = [
    ({}, [], [], [], []),
    ({"j": "open"}, ["j"], ["j"], [], []),
    ({"j": "open"}, ["j"], [], [], []),
    ({"j": "open"}, [], ["j"], ["j"], []),
    ({"j": "agreed"}, ["j"], [], [], []),
    ({"j": "ended"}, ["j"], [], [], []),
    ({}, ["j"], [], [], ["j"]),
    ({}, [], ["j"], [], ["j"]),
    ({"k": "open"}, ["j"], ["j"], ["k"], ["j"]),
]


@pytest.mark.parametrize(("parts", "passing", "running", "lost", "strange"), CASES)
def test_what_differs(
    parts: dict[str, str], passing: list[str], running: list[str], lost: list[str], strange: list[str]
) -> None:
    assert compare(parts, passing, running) == (lost, strange)

"""When a party may leave a job because its time is over, and when its own clock is not enough."""

from __future__ import annotations

import pytest

from flow.job.spec import JobSettings
from flow.participant.limits import Over, Passed, confirm, judge
from flow.rooms.clock_evidence import CONFIRM_S, LOOK_AGAIN_S, ClockEvidence, Wait, evidence
from gateway.client import ClocksDiffer, PeerStatus

SETTINGS = JobSettings(timeout_s=100, wait_s=1_000)
GRACE_S = 60.0
ALL_S = 1_160.0  # of them together
NOW_MS = 1_767_225_600_000
SAYS = "which says 2026-01-01 00:00:00 UTC"
OVER = "Its timeout_s and wait_s, 1100 s together, are over"


@pytest.mark.parametrize(
    ("passed", "found"),
    [
        (Passed(0, 0, 0), Wait(160)),
        (Passed(150, 10, 0), Wait(10)),
        (Passed(0, 1_100, 0), Wait(60)),
        (Passed(0, 100, 1_000), Wait(60)),
        (Passed(160, 10, 0), Over("It ran here for more than its timeout_s of 100 s")),
        (Passed(0, ALL_S, 0), Over(OVER)),
        (Passed(0, ALL_S, 10**9), Over(OVER)),
        (Passed(0, ALL_S - 1, 1), None),
        (Passed(0, 0, 10**9), None),
    ],
)
def test_what_was_measured_here_needs_no_word_and_what_only_the_wall_clock_says_does(
    passed: Passed, found: Over | Wait | None
) -> None:
    assert judge(SETTINGS, passed, GRACE_S) == found


@pytest.mark.parametrize(
    ("clock", "watched_s", "found"),
    [
        (
            ClockEvidence(NOW_MS, "Our card is over.", agree=("a",)),
            CONFIRM_S,
            Wait(LOOK_AGAIN_S, "Our card is over."),
        ),
        (
            ClockEvidence(NOW_MS, agree=("c",), differ=("a",)),
            0.0,
            Over(f"{OVER} by the clock here, {SAYS} as that of c does"),
        ),
        (
            ClockEvidence(NOW_MS, differ=("a",)),
            CONFIRM_S,
            Wait(LOOK_AGAIN_S, f"The clock here, {SAYS}, is not that of a."),
        ),
        (ClockEvidence(NOW_MS), 0.0, Wait(LOOK_AGAIN_S, "No other party tells the time.")),
        (ClockEvidence(NOW_MS), CONFIRM_S - 1, Wait(1, "No other party tells the time.")),
        (
            ClockEvidence(NOW_MS),
            CONFIRM_S,
            Over(f"{OVER} by the clock here, {SAYS}; no other party could be asked"),
        ),
    ],
)
def test_a_limit_that_is_over_by_the_wall_clock_alone_is_confirmed_before_a_job_is_left(
    clock: ClockEvidence, watched_s: float, found: Over | Wait
) -> None:
    assert confirm(SETTINGS, Passed(0, watched_s, 10**9), clock) == found


def test_the_links_say_whose_clocks_agree_with_ours() -> None:
    peers = [
        PeerStatus("a", (), "up", 1.0, 0),
        PeerStatus("b", (), "up", 1.0, 0, "Its clock is ahead.", ClocksDiffer.code),
        PeerStatus("c", (), "refused", 1.0, 0, "It is too late.", ClocksDiffer.code),
        PeerStatus("d", (), "refused", 1.0, 0, "It does not trust us.", "gateway.peer_distrusts_us"),
        PeerStatus("e", (), "not-valid", 1.0, 0, "Its card is over.", "party.card_expired"),
        PeerStatus("f", (), "down", 1.0, 0),
        PeerStatus("g", (), "no-address", 1.0, 0),
    ]
    assert evidence(NOW_MS, "", peers) == ClockEvidence(NOW_MS, "", ("a",), ("b", "c", "e"))

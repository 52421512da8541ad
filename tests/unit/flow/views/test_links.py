"""What is said of the lines to other parties, and of their clocks."""

from __future__ import annotations

import pytest

from flow.views.links import Links, clock_problem
from flow.views.times import clock_text
from gateway.client import PeerStatus
from runtime.clock import Apart, apart_text

NOW_MS = 1_767_225_600_000
HEARD = f"Last heard of: {clock_text(NOW_MS - 300_000)}."
NEVER = "Not heard of since our gateway started."
WRONG = apart_text("b", 7_200_000)


def peer(state: str, seen_s: float = NOW_MS / 1000 - 300, problem: str = "", remedy: str = "") -> PeerStatus:
    return PeerStatus("b", ("127.0.0.1:9",), state, seen_s, 0, problem, "some.code", remedy)


@pytest.mark.parametrize(
    ("known", "says"),
    [
        (None, "b is not trusted here: get its newest card and run 'flow party trust CARD'."),
        (peer("up"), ""),
        (peer("up", problem=WRONG), ""),
        (peer("down"), f"The link to b is down. {HEARD}"),
        (peer("down", 0.0), f"The link to b is down. {NEVER}"),
        (
            peer("down", problem="Nobody listens at 127.0.0.1:9.", remedy="Is it up?"),
            f"The link to b is down: Nobody listens at 127.0.0.1:9. {HEARD} Is it up?",
        ),
        (
            peer("refused", problem="b does not trust our card.", remedy="Send it."),
            f"The link to b is refused: b does not trust our card. {HEARD} Send it.",
        ),
        (peer("not-valid", problem="The card is over."), f"The link to b is not-valid: The card is over. {HEARD}"),
        (peer("no-address", NOW_MS / 1000 - 5), ""),
        (peer("no-address"), f"b, which only calls out, has not called for 5 min. {HEARD}"),
        (peer("no-address", 0.0), f"b, which only calls out, has not called. {NEVER}"),
    ],
)
def test_a_line_that_does_not_work_is_told_with_since_when_and_what_to_do(known: PeerStatus | None, says: str) -> None:
    peers = {} if known is None else {"b": known}
    assert Links("a", NOW_MS, peers).away("b") == says
    assert Links("a", NOW_MS, peers).away("a") == ""


def test_our_own_gateway_that_does_not_answer_is_named_and_not_the_others() -> None:
    links = Links("a", NOW_MS, None, "The gateway is down.")
    assert list(links.gateway()) == ["Our own gateway does not answer: The gateway is down."]
    assert (links.away("b"), links.clock("b")) == ("", "")


def test_a_clock_is_told_as_present_only_of_a_party_that_is_up() -> None:
    apart = Apart(7_200_000, NOW_MS)
    assert clock_problem(peer("up", problem=WRONG), apart) == WRONG
    assert clock_problem(peer("up"), apart) == "", "the gateway has measured it since"
    assert clock_problem(peer("refused"), apart) == apart_text("b", 7_200_000, NOW_MS)
    assert clock_problem(peer("refused"), None) == ""

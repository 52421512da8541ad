"""Parties whose clocks differ by more than a call may be old."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.client import GatewayAdmin
from gateway.errors import ClocksDiffer
from tests.fakes.gateway_parties import GatewayProcess, make_homes


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=-400)])
def test_calls_go_both_ways_between_clocks_that_differ_and_on_when_the_wrong_one_is_set(
    tmp_path: Path, ahead: timedelta
) -> None:
    homes = make_homes(tmp_path)
    alpha = GatewayProcess(homes["alpha"]).start()
    beta = GatewayProcess(homes["beta"], ahead).start()
    try:
        _both_ways(alpha, beta)
        beta.kill()
        beta = GatewayProcess(homes["beta"]).start()
        _both_ways(alpha, beta)
    finally:
        alpha.stop()
        beta.stop()


def _both_ways(alpha: GatewayProcess, beta: GatewayProcess) -> None:
    for asker, asked in ((alpha, beta), (beta, alpha)):
        served = asked.admin().serve_calls(lambda call: call.body)
        assert _answer(asker.admin(), asked.home.party) == b"body"
        served.stop()


def _answer(asker: GatewayAdmin, party: str) -> bytes:
    """The answer, once the asker has learnt the other's clock."""
    until = time.monotonic() + 60
    while True:
        try:
            return asker.call(party, "propose", b"body")
        except ClocksDiffer:
            assert time.monotonic() < until
            time.sleep(0.1)

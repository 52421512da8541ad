"""What the services of a party count, gathered by Flow for an operator's Prometheus."""

from __future__ import annotations

import pytest

from gateway.client import GatewayDown
from runtime.errors import Denied
from tests.fakes.flow_party import FakeParty


def test_an_operator_reads_what_every_room_counts(party: FakeParty) -> None:
    text = party.client_of("prometheus", "operator").service_metrics()
    for line in (
        'archipelago_flow_room_answers{room="gateway"} 1.0',
        "archipelago_gateway_messages_total 3.0",
        "archipelago_cluster_manager_no_capacity_total 0.0",
    ):
        assert f"{line}\n" in text


def test_a_room_that_does_not_answer_is_said_and_keeps_none_of_the_others(
    party: FakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(party.gateway, "down", GatewayDown("The gateway does not answer."))
    text = party.client.service_metrics()
    assert 'archipelago_flow_room_answers{room="gateway"} 0.0' in text
    assert "archipelago_gateway_messages_total" not in text
    assert "archipelago_cluster_manager_no_capacity_total" in text


def test_who_runs_no_services_reads_none(party: FakeParty) -> None:
    with pytest.raises(Denied, match="read service"):
        party.client_of("curious", "scientist").service_metrics()

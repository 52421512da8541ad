"""What a running party keeps on disk is its owner's alone."""

from __future__ import annotations

from launcher.federation import LocalFederation
from tests.fakes.gateway_parties import open_to_others


def test_no_file_of_a_running_party_is_open_to_others(federation: LocalFederation) -> None:
    for party in federation.parties.values():
        assert (party.home / "state" / "flow" / "flow.sqlite").is_file()
        assert open_to_others(party.home) == []

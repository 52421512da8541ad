"""A host that says it has too little left is passed over, with its own words as the reason."""

from __future__ import annotations

from dataclasses import replace

from cluster_manager.placement import Candidate, choose, fit_now
from node_manager.client import NOTHING, NodeStatus, Resources

SHORT = "its memory is short: 1.0 GiB of 64.0 GiB left"
SIZE = Resources(cores=4, memory_bytes=8 << 30)
ROOMY = Candidate(address="b", node="b", capacity=SIZE, reserved=NOTHING)
PRESSED = replace(ROOMY, address="a", node="a", pressure=SHORT)


def test_another_host_is_chosen():
    assert choose(Resources(), [PRESSED, ROOMY]).address == "b"


def test_alone_it_is_why_there_is_no_room_and_waiting_may_help():
    choice = choose(Resources(), [PRESSED])
    assert (choice.address, choice.reasons, choice.can_ever_fit) == (None, (f"a: {SHORT}",), True)


def test_nothing_fits_on_it_now():
    status = NodeStatus(schema=1, node="a", cores=4, memory_bytes=8 << 30, gpus=0)
    assert fit_now([Resources()], [status])
    assert not fit_now([Resources()], [status.model_copy(update={"pressure": SHORT})])

"""What `ballast@1` takes is what the limits of a host are tried with."""

from __future__ import annotations

import pytest

from algorithms.registry import component
from node_manager.client import EventKind, Resources


@pytest.fixture
def ballast_of(order_of):
    made = component("ballast")
    given = {
        "component": made.reference,
        "code_digest": made.code_digest,
        "resources": Resources(memory_bytes=100 << 20),
    }
    return lambda **parameters: order_of(parameters=parameters, **given)


def test_within_its_limits_it_takes_all_and_gives_it_back(client, reader, ballast_of):
    order = ballast_of(memory_mib=40, disk_mib=2, log_lines=5, processes=2, cores=1, seconds=0.5)
    client.start(order)
    assert reader.final(order).kind is EventKind.SUCCEEDED, reader.final(order)
    assert [text for text in reader.texts(order) if text.startswith("Line")][-1] == "Line 5 of 5"


def test_beyond_them_it_is_ended_although_it_hears_no_signal(client, reader, ballast_of):
    order = ballast_of(memory_mib=600, seconds=300, ignore_sigterm=True)
    client.start(order)
    assert reader.final(order).body["cause"] == "memory"

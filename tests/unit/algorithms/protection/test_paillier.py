"""Keys that do not belong to a task are refused, and an arbiter that could decrypt."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.aggregate.adder import Adder
from algorithms.aggregate.aggregation import AggregationParameters
from algorithms.aggregate.contributor import Contributor
from algorithms.api.channel import Channel
from algorithms.api.component import Component, Terms
from algorithms.api.errors import BadKey, RolesRefused, WrongKey
from algorithms.local_run import LocalMemory
from algorithms.protection import key_agreement
from algorithms.protection.settings import ProtectionSettings
from algorithms.registry import components
from party.ids import Role
from tests.fixtures.algorithms import ARBITER, ENCRYPTED, GUEST, HOST, RecordingExchange, context


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33), "text", None, np.zeros(32, np.uint8)])
def test_what_is_no_key_for_tags_is_refused(secret):
    exchange = RecordingExchange()
    Channel(exchange.wire(GUEST), LocalMemory()).send(HOST, "tag-key", 0, secret)
    with pytest.raises(BadKey, match="guest:hospital-a sent no key to make tags with"):
        key_agreement.agree_on_secret(context(HOST, exchange), ProtectionSettings(kind="paillier"))


def test_a_key_of_another_length_or_a_foreign_half_is_refused():
    from algorithms.crypto.paillier import generate

    secure, exchange = AggregationParameters(**ENCRYPTED), RecordingExchange()
    small, good, other = generate(1024), generate(2048), generate(2048)
    maker = Channel(exchange.wire(GUEST), LocalMemory())
    maker.send(ARBITER, "public-key", 0, small.public.record())
    with pytest.raises(BadKey, match="1024 bits; the job says standard, 2048 bits"):
        Adder(context(ARBITER, exchange), secure)
    maker.send(HOST, "public-key", 0, good.public.record())
    maker.send(HOST, "private-key", 0, other.record())
    with pytest.raises(WrongKey, match="guest:hospital-a"):
        Contributor(context(HOST, exchange), secure, 1)


def test_a_public_key_with_another_h_than_the_private_one_is_refused():
    from algorithms.crypto.paillier import PublicKey, generate

    secure, exchange = AggregationParameters(**ENCRYPTED), RecordingExchange()
    good, other = generate(2048), generate(2048)
    maker = Channel(exchange.wire(GUEST), LocalMemory())
    maker.send(HOST, "public-key", 0, PublicKey(good.public.n, other.h % good.public.n).record())
    maker.send(HOST, "private-key", 0, good.record())
    with pytest.raises(WrongKey, match="guest:hospital-a"):
        Contributor(context(HOST, exchange), secure, 1)


ADDING = [made for made in components() if "protection" in made.parameters.model_fields]


@pytest.mark.parametrize("made", ADDING, ids=lambda made: made.name)
def test_every_component_that_adds_up_refuses_an_arbiter_that_could_decrypt(made: Component) -> None:
    assert {one.name for one in ADDING} >= {"homo_lr", "homo_nn", "scale", "exchange"}
    parameters = made.parameters.model_validate({"protection": {"kind": "paillier"}})
    parties = {Role("guest"): ("a",), Role("host"): ("b",), Role("arbiter"): ("a",)}
    with pytest.raises(RolesRefused, match="'a' is arbiter and trainer"):
        made.require(Terms(parameters, parties))

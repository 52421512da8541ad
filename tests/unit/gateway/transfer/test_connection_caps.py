from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transfer.client_hello import MAX_RECORD_BYTES, NotTls, bytes_wanted, server_name
from gateway.transfer.connection_caps import Caps
from gateway.transfer.strangers import MAX_KNOWN, Strangers, claimed, knock
from runtime.limits.waiting_room import Room, WaitingRoom, network_of

ARRIVALS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=200)


def hello(name: str) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()


def test_a_full_room_lets_the_newcomer_in_and_the_oldest_of_the_busiest_address_out() -> None:
    room: WaitingRoom[int] = WaitingRoom(Room(total=4, of_one_address=3))
    for who, address in enumerate(["honest", "flood", "flood", "flood"]):
        assert room.enter(who, address) == []
    assert room.enter(4, "flood") == [1]
    assert room.enter(5, "other") == [2]
    room.leave(0, "honest")
    room.leave(0, "honest")
    assert room.enter(6, "honest") == []
    assert room.longest() == 3
    assert len(room) == 4


@given(ARRIVALS)
def test_a_room_is_never_fuller_than_its_cap_and_a_newcomer_is_never_the_one_to_go(
    arrivals: list[tuple[int, bool]],
) -> None:
    room: WaitingRoom[int] = WaitingRoom(Room(total=7, of_one_address=4))
    inside: dict[int, str] = {}
    for who, (address, leaves) in enumerate(arrivals):
        if leaves and inside:
            gone, from_where = next(iter(inside.items()))
            room.leave(gone, from_where)
            del inside[gone]
        inside[who] = str(address)
        for out in room.enter(who, str(address)):
            assert out != who
            same = [known for known, where in inside.items() if where == inside[out]]
            assert out == min(same)
            del inside[out]
        counts = [list(inside.values()).count(where) for where in set(inside.values())]
        assert len(room) == len(inside) <= 7
        assert max(counts) <= 4


@pytest.mark.parametrize("descriptors", [64, 1024, 20_000, 1 << 20])
def test_those_who_wait_leave_most_descriptors_to_the_rest(descriptors: int) -> None:
    caps = Caps.within(descriptors)
    assert caps.greeting.total + 3 * caps.handshaking.total <= descriptors * 2 / 3
    assert caps.greeting.of_one_address < caps.greeting.total
    assert caps.handshaking.of_one_address < caps.handshaking.total


def test_addresses_that_one_subscriber_can_choose_from_count_as_one() -> None:
    assert network_of("2001:db8:1:2:3::1") == network_of("2001:db8:1:2:ffff::9") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") != network_of("10.0.0.2")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    assert network_of("") == ""


def test_a_hello_is_measured_before_it_is_there() -> None:
    whole = hello("beta")
    assert [bytes_wanted(whole[:size]) for size in (0, 1, 4)] == [6, 6, 6]
    assert [bytes_wanted(whole[:size]) for size in (5, 6, 100, len(whole))] == [len(whole)] * 4


@pytest.mark.parametrize(
    "begun",
    [b"GET / HTTP/1.1", b"\x17\x03\x03\x00\xff\x01", b"\x16\x02\x00\x01\x00\x01", b"\x16\x03\x01\x02\x00\x02",
     b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\xff\xff\x01", b"\x80\x2e\x01"],
)  # fmt: skip
def test_what_does_not_begin_a_tls_connection_is_not_waited_for(begun: bytes) -> None:
    with pytest.raises(NotTls):
        bytes_wanted(begun)


@given(st.binary(max_size=600))
def test_any_bytes_are_measured_or_refused_and_named_or_not(data: bytes) -> None:
    with contextlib.suppress(NotTls):
        assert 5 < bytes_wanted(data) <= MAX_RECORD_BYTES + 5
    assert isinstance(server_name(b"\x16\x03\x01\x02\x00\x01" + data), str)


@given(st.data())
def test_a_damaged_hello_has_a_name_or_none(data: st.DataObject) -> None:
    whole = bytearray(hello("alpha.knocks.beta"))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(server_name(bytes(whole[: data.draw(st.integers(0, len(whole)))])), str)


def test_a_gateway_that_was_turned_away_says_who_it_is() -> None:
    name = server_name(hello(knock("hospital-a_1", "beta")))
    assert claimed(name, "beta") == "hospital-a_1"
    assert claimed(name, "gamma") == claimed("beta", "beta") == claimed("Bad Name.knocks.beta", "beta") == ""


def test_only_few_strangers_are_remembered_and_a_flood_of_them_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    strangers = Strangers("beta")
    for number in range(500):
        strangers.turned_away(f"10.0.{number // 250}.{number % 250}", f"party{number}.knocks.beta")
    assert len(strangers.recent()) == MAX_KNOWN
    strangers.turned_away("10.9.9.9", "")
    strangers.turned_away("10.9.9.9", "alpha.knocks.beta")
    strangers.turned_away("10.9.9.9", "alpha.knocks.beta")
    (known,) = [found for found in strangers.recent() if found.address == "10.9.9.9"]
    assert (known.claims, known.count) == ("alpha", 2)
    assert len(caplog.records) <= 1

"""Flow-to-Flow calls through two gateway processes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.calls.calls import MAX_CALL_BYTES
from gateway.client import FlowSilent, GatewayAdmin, GatewayDown, IncomingCall, NoSubscriber, PeerUnknown
from gateway.errors import BadEnvelope, CallTooLarge, PurposeReserved
from party.errors import BadSignature
from runtime.errors import Conflict, NotFound, ServiceFault
from tests.fakes.gateway_parties import Pair


class TableMissing(NotFound):
    code = "test.table_missing"


def handle(call: IncomingCall) -> bytes:
    if call.method == "fail":
        raise TableMissing("There is no table 'x'.", hint="Upload it.")
    if call.method == "crash":
        raise RuntimeError("a secret of the handler")
    return f"{call.party} {call.method} ".encode() + call.body


def test_a_call_is_answered_and_its_caller_is_named(pair: Pair) -> None:
    served = pair.beta.admin().serve_calls(handle)
    assert pair.alpha.admin().call("beta", "propose", b"body") == b"alpha propose body"
    assert pair.beta.admin().call("beta", "propose", b"body") == b"beta propose body"
    served.stop()


def test_what_the_gateway_counts_is_read_at_the_door_of_its_services(pair: Pair) -> None:
    assert b"archipelago_gateway_process_cpu_seconds_total" in pair.alpha.admin().metrics()


def test_the_error_of_a_handler_travels_with_code_message_and_hint(pair: Pair) -> None:
    served = pair.beta.admin().serve_calls(handle)
    for caller in (pair.alpha, pair.beta):
        with pytest.raises(TableMissing) as caught:
            caller.admin().call("beta", "fail", b"")
        assert (caught.value.message, caught.value.hint) == ("There is no table 'x'.", "Upload it.")
        with pytest.raises(ServiceFault) as crash:
            caller.admin().call("beta", "crash", b"")
        assert "secret" not in str(crash.value)
    served.stop()


def test_an_error_code_that_is_unknown_here_keeps_its_kind_and_code(pair: Pair) -> None:
    def refuse(_: IncomingCall) -> bytes:
        error = Conflict("moved on")
        vars(error)["code"] = "future.moved"
        raise error

    served = pair.beta.admin().serve_calls(refuse)
    with pytest.raises(Conflict) as caught:
        pair.alpha.admin().call("beta", "m", b"")
    assert caught.value.code == "future.moved"
    served.stop()


def test_without_a_subscriber_or_a_card_a_call_fails_by_name(pair: Pair) -> None:
    with pytest.raises(NoSubscriber):
        pair.alpha.admin().call("beta", "m", b"")
    with pytest.raises(PeerUnknown, match="'gamma'"):
        pair.alpha.admin().call("gamma", "m", b"")
    with pytest.raises(BadEnvelope, match="is not a method"):
        pair.alpha.admin().call("beta", "no method", b"")
    with pytest.raises(CallTooLarge):
        pair.alpha.admin().call("beta", "m", bytes(MAX_CALL_BYTES + 1))


def test_a_flow_that_takes_too_long_is_named_by_its_own_gateway(pair: Pair) -> None:
    frozen = threading.Event()
    served = pair.beta.admin().serve_calls(lambda _call: b"%d" % frozen.wait(60))
    for caller, patience_s in ((pair.alpha, 4.0), (pair.beta, 0.2)):
        with pytest.raises(FlowSilent, match="The Flow of that party did not answer 'slow'"):
            caller.admin().call("beta", "slow", b"", patience_s)
    frozen.set()
    served.stop()


def test_calls_are_answered_side_by_side(pair: Pair) -> None:
    together = threading.Barrier(6, timeout=10)

    def meet(call: IncomingCall) -> bytes:
        together.wait()
        return call.body

    served = pair.beta.admin().serve_calls(meet, threads=12)  # half of them are for one caller
    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(lambda n: pair.alpha.admin().call("beta", "meet", b"%d" % n, 20), range(6))
        assert sorted(answers) == [b"%d" % n for n in range(6)]
    served.stop()


def test_statements_are_signed_and_verified(pair: Pair) -> None:
    signature = pair.alpha.admin().sign("manifest", b"text")
    pair.beta.admin().verify("alpha", "manifest", b"text", signature)
    for party, purpose, message in (
        ("alpha", "other", b"text"),
        ("alpha", "manifest", b"tex"),
        ("beta", "manifest", b"text"),
    ):
        with pytest.raises(BadSignature):
            pair.beta.admin().verify(party, purpose, message, signature)
    with pytest.raises(PurposeReserved):
        pair.alpha.admin().sign("archipelago/envelope/v1", b"forged")
    with pytest.raises(PeerUnknown):
        pair.alpha.admin().verify("gamma", "manifest", b"text", signature)


def test_peers_and_health_are_told(pair: Pair) -> None:
    pair.alpha.admin().reload()
    deadline = time.monotonic() + 5
    while pair.alpha.admin().peers()[0].state != "up" and time.monotonic() < deadline:
        time.sleep(0.02)
    (peer,) = pair.alpha.admin().peers()
    assert (peer.party, peer.state, peer.queued, peer.problem) == ("beta", "up", 0, "")
    assert peer.last_seen_s > time.time() - 3600
    health = pair.alpha.admin().health()
    assert pair.alpha.process is not None
    assert (health.party, health.pid) == ("alpha", pair.alpha.process.pid)


def test_a_gateway_that_is_away_is_named(pair: Pair) -> None:
    with pytest.raises(GatewayDown, match=r"nowhere\.sock"):
        GatewayAdmin(pair.homes["alpha"].root / "nowhere.sock").health()

"""Messages between the executors of two parties, each with its own gateway process."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gateway.client import ContractViolation, ExecutorWire, IncarnationOutdated, JobNotOpen, MessageGone, TokenRefused
from gateway.errors import BadEnvelope, KeyChanged
from gateway.executors.executor_servicer import MAX_EXPECTED
from runtime.rpc import MAX_MESSAGE_BYTES
from storage.client import Ciphertexts, UnsupportedValue
from tests.fakes.gateway_parties import GUEST, HOST, TASK, Pair, line, make_contract, open_to_others


def test_values_of_every_size_arrive(pair: Pair) -> None:
    guest, host = pair.wires(pair.open())
    for step, size in enumerate((0, 10, 10_000, 100_000, 300_000, 3_000_000)):
        value = np.arange(size, dtype=np.float64)
        guest.send(HOST, "update", (step,), value)
        got = host.recv(GUEST, "update", (step,))
        assert isinstance(got, np.ndarray)
        assert np.array_equal(got, value)
        assert not got.flags.writeable
    assert 2 * MAX_MESSAGE_BYTES < 3_000_000 * 8


def test_a_large_message_is_streamed_to_an_executor_that_cannot_open_its_file(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, host = pair.wires(pair.open())
    value = np.arange(400_000, dtype=np.float64)
    guest.send(HOST, "update", (0,), value)

    def refuse(*_: object) -> pa.Buffer:
        raise PermissionError("not yours")

    monkeypatch.setattr("gateway.mailbox.store.Place.buffer", refuse)
    got = host.recv(GUEST, "update", (0,))
    assert isinstance(got, np.ndarray)
    assert np.array_equal(got, value)


def test_a_waiting_executor_is_woken_by_the_arrival(pair: Pair) -> None:
    guest, host = pair.wires(pair.open())
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(host.recv, GUEST, "loss", (1,))
        expected = {(GUEST, "loss", (2,)), (HOST, "loss", (2,))}
        any_of = pool.submit(host.wait_any, expected, None)
        time.sleep(0.2)
        guest.send(HOST, "loss", (1,), 0.5)
        assert one.result(5) == 0.5
        guest.send(HOST, "loss", (2,), 0.25)
        assert any_of.result(5) == {(GUEST, "loss", (2,))}


def test_one_question_is_about_no_more_messages_than_a_gateway_may_look_up_at_once(pair: Pair) -> None:
    _, host = pair.wires(pair.open())
    assert host.arrived({(GUEST, "loss", (n,)) for n in range(MAX_EXPECTED)}) == set()
    with pytest.raises(BadEnvelope, match=f"more than {MAX_EXPECTED} at once"):
        host.arrived({(GUEST, "loss", (n,)) for n in range(MAX_EXPECTED + 1)})


def test_a_second_value_of_a_key_never_leaves_and_a_message_is_read_until_released(pair: Pair) -> None:
    guest, host = pair.wires(pair.open())
    guest.send(HOST, "loss", (1,), 1.0)
    guest.send(HOST, "loss", (1,), 2.0)
    assert host.recv(GUEST, "loss", (1,)) == host.recv(GUEST, "loss", (1,)) == 1.0


def test_many_small_messages_come_by_their_own_steps(pair: Pair) -> None:
    contract = pair.open()
    guest, host = pair.wires(contract)
    guest.send(HOST, "loss", (0, 5), 5.0)
    guest.send_many(HOST, "loss", {(0, n): float(n) if n != 5 else -1.0 for n in range(300)})
    assert [host.recv(GUEST, "loss", (0, n)) for n in range(300)] == [float(n) for n in range(300)]
    traffic = pair.alpha.admin().close_job(contract.job)
    assert traffic.peers["beta"].messages_out == 300


def test_a_sealed_message_arrives_in_the_clear_and_travels_sealed(pair: Pair) -> None:
    guest, host = pair.wires(pair.open())
    value = np.full(100_000, 1.5)
    guest.send(HOST, "model", (1,), value)
    assert np.array_equal(host.recv(GUEST, "model", (1,)), value)  # type: ignore[arg-type]
    bodies = [path.read_bytes() for path in pair.homes["beta"].state("gateway").rglob("bodies/*")]
    assert bodies
    assert not any(value[:4].tobytes() in body for body in bodies)


def test_messages_to_the_own_party_do_not_leave(pair: Pair) -> None:
    contract = pair.open()
    guest, _ = pair.wires(contract)
    guest.send(HOST, "loss", (0,), 1.0)
    assert pair.alpha.admin().close_job(contract.job).peers["beta"].messages_out == 1


def test_what_the_contract_does_not_allow_never_leaves(pair: Pair) -> None:
    contract = pair.open()
    guest, host = pair.wires(contract)
    secret = Ciphertexts("ab" * 32, "{}", 1, pa.array([b"12345678"], pa.binary(8)))
    with pytest.raises(ContractViolation, match="tag 'rows'"):
        guest.send(HOST, "rows", (0,), 1.0)
    with pytest.raises(ContractViolation, match="'loss': a value of kind array"):
        guest.send(HOST, "loss", (0,), np.zeros(3))
    with pytest.raises(ContractViolation, match="'small': "):
        guest.send(HOST, "small", (0,), np.zeros(2000))
    with pytest.raises(ContractViolation, match="'small': "):
        guest.send(HOST, "small", (0,), np.zeros(200_000))
    with pytest.raises(ContractViolation, match="encrypted, and the value holds array"):
        guest.send(HOST, "secret", (0,), {"sum": secret, "more": np.zeros(3)})
    with pytest.raises(ContractViolation, match="may not send tag 'one-way'"):
        host.send(GUEST, "one-way", (0,), 1.0)
    with pytest.raises(ContractViolation, match="may not send tag 'one-way'"):
        guest.recv(HOST, "one-way", (0,))
    with pytest.raises(UnsupportedValue):
        guest.send(HOST, "update", (0,), [1, 2])  # type: ignore[arg-type]
    guest.send(HOST, "secret", (0,), {"sum": secret, "rows": 3})
    assert host.recv(GUEST, "secret", (0,)) == {"sum": secret, "rows": 3}
    assert pair.alpha.admin().close_job(contract.job).peers["beta"].messages_out == 1


def test_ciphertexts_under_a_key_that_the_contract_does_not_name_never_leave(pair: Pair) -> None:
    lines = tuple(
        replace(line(tag, "ciphertexts", "encrypted"), key_owners=frozenset({str(owner)}))
        for tag, owner in (("labels", GUEST), ("waves", HOST))
    )
    contract = pair.open(make_contract(lines=lines))
    guest, host = pair.wires(contract)
    of_guest, leaked = (
        Ciphertexts(key * 64, "{}", 1, pa.array([b"12345678"], pa.binary(8)), str(GUEST)) for key in ("a", "b")
    )
    guest.send(HOST, "labels", (0,), of_guest)
    assert host.recv(GUEST, "labels", (0,)) == of_guest
    with pytest.raises(ContractViolation, match="under the key of guest:alpha instead of host:beta"):
        host.send(GUEST, "waves", (0,), of_guest)
    with pytest.raises(KeyChanged, match="under key bbbbbbbbbbbb of guest:alpha"):
        host.send(GUEST, "labels", (0,), leaked)
    host.send(GUEST, "labels", (0,), of_guest)
    assert guest.recv(HOST, "labels", (0,)) == of_guest


def test_a_checkpoint_releases_what_the_oldest_kept_one_covers(pair: Pair) -> None:
    contract = pair.open()
    guest, host = pair.wires(contract)
    for step in range(3):
        guest.send(HOST, "loss", (step,), float(step))
        host.recv(GUEST, "loss", (step,))
        host.checkpointed()
    impatient = ExecutorWire(host._socket, "wrong")
    with pytest.raises(TokenRefused):
        impatient.recv(GUEST, "loss", (0,))
    assert host.recv(GUEST, "loss", (2,)) == 2.0
    with pytest.raises(MessageGone):
        host.recv(GUEST, "loss", (1,))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(host.recv, GUEST, "loss", (3,))
        time.sleep(0.2)
        assert not waiting.done()
        pair.beta.admin().close_job(contract.job)
        assert isinstance(waiting.exception(5), TokenRefused)


def test_a_newer_incarnation_takes_over_and_the_older_is_refused_while_it_waits(pair: Pair) -> None:
    contract = pair.open()
    guest, old = pair.wires(contract)
    guest.send(HOST, "loss", (1,), 1.0)
    assert old.recv(GUEST, "loss", (1,)) == 1.0
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(old.recv, GUEST, "loss", (2,))
        time.sleep(0.1)
        new = pair.beta.wire(contract, HOST, incarnation=1)
        assert isinstance(waiting.exception(5), TokenRefused)
    with pytest.raises(TokenRefused, match="revoked"):
        old.send(GUEST, "loss", (1,), 1.0)
    assert new.recv(GUEST, "loss", (1,)) == 1.0
    with pytest.raises(IncarnationOutdated, match="incarnation 1"):
        pair.beta.wire(contract, HOST, incarnation=0)
    pair.beta.wire(contract, HOST, attempt=2)
    with pytest.raises(TokenRefused):
        new.recv(GUEST, "loss", (1,))


def test_a_token_is_for_its_own_address_only(pair: Pair) -> None:
    contract = pair.open()
    _, host = pair.wires(contract)
    with pytest.raises(ContractViolation, match="host:beta may not send tag 'one-way'"):
        host.send(HOST, "one-way", (1,), 1.0)
    with pytest.raises(JobNotOpen):
        pair.alpha.admin().issue_token("UNKNOWN", TASK, 1, str(GUEST), 0)


def test_a_job_the_receiver_opens_later_loses_nothing(pair: Pair) -> None:
    contract = pair.open_at_alpha()
    guest = pair.alpha.wire(contract, GUEST)
    guest.send(HOST, "loss", (1,), 1.0)
    guest.send(HOST, "update", (1,), np.zeros(100_000))
    time.sleep(0.1)
    pair.beta.admin().open_job(contract)
    host = pair.beta.wire(contract, HOST)
    assert host.recv(GUEST, "loss", (1,)) == 1.0
    assert len(host.recv(GUEST, "update", (1,))) == 100_000  # type: ignore[arg-type]


def test_two_hundred_waiting_executors_do_not_keep_others_from_sending(pair: Pair) -> None:
    guest, host = pair.wires(pair.open())
    got: list[object] = []
    threads = [threading.Thread(target=lambda n=n: got.append(host.recv(GUEST, "loss", (n,)))) for n in range(200)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    for n in range(200):
        guest.send(HOST, "loss", (n,), float(n))
    for thread in threads:
        thread.join(20)
    assert sorted(got) == [float(n) for n in range(200)]  # type: ignore[type-var]


def test_nothing_that_a_running_gateway_writes_is_open_to_others(pair: Pair) -> None:
    guest, host = pair.wires(pair.open())
    guest.send(HOST, "update", (1,), np.zeros(100_000))
    assert len(host.recv(GUEST, "update", (1,))) == 100_000  # type: ignore[arg-type]
    for home in pair.homes.values():
        assert list(home.state("gateway").rglob("*.sqlite-wal"))
        assert open_to_others(home.root) == []

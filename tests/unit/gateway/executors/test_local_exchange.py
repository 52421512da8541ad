from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gateway.client import ContractViolation, ExchangeClosed, LocalExchange
from gateway.errors import KeyChanged
from storage.client import Ciphertexts
from tests.fakes.gateway_parties import GUEST, HOST, TASK, line, make_contract


def test_the_first_write_of_a_key_wins() -> None:
    exchange = LocalExchange()
    exchange.wire(GUEST).send(HOST, "x", (1,), 1.0)
    exchange.wire(GUEST).send(HOST, "x", (1,), 2.0)
    assert exchange.wire(HOST).recv(GUEST, "x", (1,)) == 1.0


def test_a_value_is_a_copy_that_cannot_be_changed() -> None:
    exchange = LocalExchange()
    sent = np.arange(3.0)
    exchange.wire(GUEST).send(HOST, "x", (1,), sent)
    sent[:] = 9
    got = exchange.wire(HOST).recv(GUEST, "x", (1,))
    assert isinstance(got, np.ndarray)
    assert got.tolist() == [0, 1, 2]
    assert not got.flags.writeable


def test_a_released_message_is_gone_and_its_key_stays_taken() -> None:
    exchange = LocalExchange()
    sender, receiver = exchange.wire(GUEST), exchange.wire(HOST)
    sender.send(HOST, "x", (1,), 1.0)
    assert receiver.recv(GUEST, "x", (1,)) == receiver.recv(GUEST, "x", (1,)) == 1.0
    receiver.release(GUEST, "x", (1,))
    sender.send(HOST, "x", (1,), 2.0)

    def wait() -> None:
        with pytest.raises(ExchangeClosed):
            receiver.recv(GUEST, "x", (1,))

    waiter = threading.Thread(target=wait)
    waiter.start()
    waiter.join(0.05)
    assert waiter.is_alive()
    exchange.close()
    waiter.join(5)
    assert not waiter.is_alive()


def test_closing_wakes_everybody_with_the_reason() -> None:
    exchange = LocalExchange()
    caught: list[ExchangeClosed] = []

    def wait() -> None:
        try:
            exchange.wire(HOST).recv(GUEST, "never", (0,))
        except ExchangeClosed as error:
            caught.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    reason = ValueError("the guest failed")
    exchange.close(reason)
    exchange.close(KeyError("later"))
    for thread in threads:
        thread.join(5)
    assert len(caught) == 3
    assert caught[0].__cause__ is reason
    assert "the guest failed" in str(caught[0])
    with pytest.raises(ExchangeClosed):
        exchange.wire(GUEST).send(HOST, "x", (1,), 1.0)


def test_what_has_arrived_is_told_until_it_is_released() -> None:
    exchange = LocalExchange()
    guest, ours, theirs = exchange.wire(GUEST), (GUEST, "x", (0,)), (HOST, "x", (0,))
    assert guest.arrived({ours, theirs}) == guest.wait_any({ours, theirs}, 0.01) == guest.wait_any((), None) == set()
    exchange.wire(HOST).send(GUEST, "x", (0,), "from the host")
    assert guest.arrived({ours, theirs}) == guest.wait_any({ours, theirs}, None) == {theirs}
    guest.release(*theirs)
    assert guest.arrived({theirs}) == set()


def test_many_messages_come_by_their_own_steps() -> None:
    exchange = LocalExchange()
    exchange.wire(GUEST).send_many(HOST, "x", {(1, 0): 10, (1, 1): 11})
    assert exchange.wire(HOST).recv(GUEST, "x", (1, 1)) == 11
    assert exchange.wire(HOST).recv(GUEST, "x", (1, 0)) == 10


def test_a_checkpoint_lets_go_of_what_the_oldest_kept_one_covers() -> None:
    exchange = LocalExchange()
    sender, receiver = exchange.wire(GUEST), exchange.wire(HOST)
    for step in range(4):
        sender.send(HOST, "x", (step,), float(step))
        receiver.recv(GUEST, "x", (step,))
        receiver.checkpointed()
    held = [key[3] for key, body in exchange._messages.items() if body is not None]
    assert held == [(3,)]  # what came after the checkpoint before the last: a restart would read it again


def test_a_second_key_of_one_owner_is_refused_unless_its_message_came_before() -> None:
    owned = replace(line("sums", "ciphertexts", "encrypted"), key_owners=frozenset({str(GUEST)}))
    wire = LocalExchange(make_contract(lines=(owned,)), TASK).wire(GUEST)
    one, other = (
        Ciphertexts(key * 64, "{}", 1, pa.array([b"12345678"], pa.binary(8)), str(GUEST)) for key in ("1", "2")
    )
    wire.send(HOST, "sums", (1,), one)
    wire.send(HOST, "sums", (1,), other)  # a restart, of which nothing leaves
    with pytest.raises(KeyChanged):
        wire.send(HOST, "sums", (2,), other)


def test_what_the_contract_does_not_allow_is_refused_and_not_stored() -> None:
    exchange = LocalExchange(make_contract(lines=(line("loss", "float", "plain-scalar", 4096),)), TASK)
    wire = exchange.wire(GUEST)
    wire.send(HOST, "loss", (1,), 0.5)
    for tag, value in (("rows", 0.5), ("loss", "text"), ("loss", np.arange(3.0))):
        with pytest.raises(ContractViolation):
            wire.send(HOST, tag, (2,), value)
    assert [key[2:] for key in exchange._messages] == [("loss", (1,))]

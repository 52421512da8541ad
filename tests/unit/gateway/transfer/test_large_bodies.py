"""A large message lies in a file from its first byte to its reader: whoever checks it looks at a map of that file."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gateway.envelope import Header, Part, Step, signed
from gateway.executors.inbox import Inbox
from gateway.executors.outbound import Outbound
from gateway.executors.tokens import Bearer, Tokens
from gateway.mailbox.disk import DiskMailbox
from gateway.mailbox.schema import open_database
from gateway.peers import PeerBook
from gateway.transfer.delivery import _damage
from gateway.transfer.inbound import Inbound
from gateway.wire import CHUNK_BYTES
from party.home import PartyHome
from storage.client import encode
from tests.fakes.gateway_parties import GUEST, HOST, TASK, line, make_contract

JOB, TAG = "JOB", "update"
PARTS = 3
BODY = encode(np.random.default_rng(1).normal(size=1 << 20)).to_pybytes()
MOST_BYTES = len(BODY) // 2  # less than any copy of a part

# What Arrow takes while memory is counted; it outlives every buffer that was made from it.
POOL = pa.proxy_memory_pool(pa.default_memory_pool())


def held_at_once(work: Callable[[], object]) -> int:
    """The most bytes that Python and Arrow held for the work at any moment; maps of files are none."""
    before, arrow_before = pa.default_memory_pool(), POOL.bytes_allocated()
    assert POOL.max_memory() <= MOST_BYTES, "an earlier peak would hide this one"
    pa.set_memory_pool(POOL)
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] + POOL.max_memory() - arrow_before
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def chunks(count: int) -> Iterator[memoryview]:
    for _ in range(count):
        for at in range(0, len(BODY), CHUNK_BYTES):
            yield memoryview(BODY)[at : at + CHUNK_BYTES]


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[DiskMailbox]:
    made = DiskMailbox(tmp_path, open_database(tmp_path / "gateway.sqlite"))
    made.open_job(make_contract(JOB, (line(TAG, "array"),)))
    yield made
    made.close()


def test_a_large_body_of_many_parts_is_checked_and_handed_out_without_a_copy(
    homes: dict[str, PartyHome], mailbox: DiskMailbox
) -> None:
    book = PeerBook(homes["beta"])
    tokens = Tokens(mailbox._database)
    token = tokens.issue(Bearer(JOB, TASK, 1, str(HOST), 0))
    inbox = Inbox(mailbox, tokens, book)
    whole, digest = sha256(), sha256(BODY).hexdigest()
    for _ in range(PARTS):
        whole.update(BODY)
    names = {"sender": "alpha", "receiver": "beta", "from": str(GUEST), "to": str(HOST), "job": JOB, "task": TASK}
    about = {"attempt": 1, "tag": TAG, "kind": "array", "protection": "plain", "sealed": False}
    steps: list[Step] = [(n,) for n in range(PARTS)]
    parts = tuple(Part(step=step, size=len(BODY), sha256=digest) for step in steps)
    body = {"size": PARTS * len(BODY), "sha256": whole.hexdigest(), "parts": parts}
    envelope = signed(homes["alpha"].keys, Header.model_validate(names | about | body))
    # As after a restart: that the bytes are whole is not remembered, so that it is looked at once more.
    inbound = Inbound(mailbox, book, newest_attempt=tokens.newest_attempt, arrived=lambda _: None)
    alpha = homes["alpha"].card

    def take(step: Step) -> None:
        message = inbox.take(token, (str(GUEST), TAG, step), 0, lambda _: None)
        assert message is not None
        assert inbox.open(message).buffer().equals(pa.py_buffer(BODY))

    assert held_at_once(lambda: inbound.deliver(alpha, envelope, 0, chunks(PARTS))) < MOST_BYTES
    assert held_at_once(lambda: [take(step) for step in steps]) < MOST_BYTES


def test_a_large_message_of_our_own_is_checked_and_offered_without_a_copy(
    homes: dict[str, PartyHome], mailbox: DiskMailbox
) -> None:
    outbound = Outbound(mailbox, PeerBook(homes["alpha"]), left=lambda _: None, arrived=lambda _: None)
    bearer = Bearer(JOB, TASK, 1, str(GUEST), 0)

    def offer() -> None:
        (item,) = mailbox.queued("beta", large=True, after=0, limit=9)
        assert _damage(item, digest=True) == ""

    assert held_at_once(lambda: outbound.send_large(bearer, str(HOST), TAG, (0,), chunks(1))) < MOST_BYTES
    assert held_at_once(offer) < MOST_BYTES

"""Changed bytes at a real gateway's doors: it answers each with a named refusal, stays up, and goes on for others."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from gateway.wire import transfer
from party.ids import Address
from storage.client import encode
from tests.fakes.gateway_parties import GatewayProcess, line, make_contract, make_homes
from tests.fakes.hostile_peer import HostilePeer, resident_bytes

GROWTH_BYTES = 100 << 20
ENDS = frozenset({"guest:mallory", "host:beta"})
WIRED = {"Put": transfer.Receipts, "Offer": transfer.Standing, "Deliver": transfer.Receipt, "Call": transfer.Envelope}
NUMBERS = [
    "-1",
    "0",
    "77",
    "100000000000000000",
    "9007199254740992",
    "1e999",
    "NaN",
    "1.5",
    "true",
    "null",
    '"\\u202e"',
]


class Fuzz:
    """Mallory's valid messages, changed by a seeded hand."""

    def __init__(self, root: Path) -> None:
        self.homes = make_homes(root, ("beta", "mallory"))
        self.beta = GatewayProcess(self.homes["beta"]).start()
        self.contract = make_contract(
            "",
            tuple(
                line(tag, kind, protection, 1 << 20, frm=ENDS, to=ENDS)
                for tag, kind, protection in (
                    ("update", "array", "plain"),
                    ("loss", "float", "plain-scalar"),
                    ("model", "array", "aggregate-sealed"),
                )
            ),
        )
        self.beta.admin().open_job(self.contract)
        self.token = self.beta.wire(self.contract, Address.parse("host:beta"))
        self.peer = HostilePeer(self.homes["mallory"], self.homes["beta"])
        self.changes: tuple[Callable[[random.Random, bytes], bytes], ...] = (
            _flipped,
            _cut,
            _doubled,
            _number,
            _spliced,
        )

    def memory(self) -> int:
        assert self.beta.process is not None
        assert self.beta.process.is_alive(), self.beta.log()[-2000:]
        return resident_bytes(self.beta.process.pid or 0)

    def once(self, turn: int) -> str:
        """Send one changed message; the code or outcome it was answered with."""
        chance = random.Random(turn)
        tag, value = chance.choice([("update", np.zeros(turn % 50)), ("loss", 0.5), ("model", np.zeros(3))])
        body = encode(value).to_pybytes()  # type: ignore[arg-type]
        kind, protection = {"update": ("array", "plain"), "loss": ("float", "plain-scalar")}.get(
            tag, ("array", "aggregate-sealed")
        )
        change = chance.choice(self.changes)
        if chance.random() < 0.5:  # a body that is signed as it is
            body = change(chance, body)
        envelope = self.peer.envelope(
            self.contract.job, [((turn,), body)], tag=tag, kind=kind, protection=protection, sealed=tag == "model"
        )
        header = envelope.canonical if chance.random() < 0.5 else change(chance, envelope.canonical)
        method = chance.choice(sorted(WIRED))
        raw = self._wired(method, transfer.Envelope(header=header, signature=envelope.signature, body=body))
        messages = [change(chance, part) if chance.random() < 0.3 else part for part in raw]
        try:
            answer = self.peer.stream(method)(iter(messages), timeout=30)
        except grpc.RpcError as error:
            return str(json.loads(error.details())["code"])
        return type(WIRED[method].FromString(answer)).__name__

    def _wired(self, method: str, message: transfer.Envelope) -> list[bytes]:
        if method == "Put":
            return [transfer.Envelopes(envelopes=[message]).SerializeToString()]
        if method == "Deliver":
            head = transfer.Chunk(header=message.header, signature=message.signature)
            return [head.SerializeToString(), transfer.Chunk(data=message.body).SerializeToString()]
        return [message.SerializeToString()]


def _flipped(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4) if data else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randint(0, len(data))]


def _doubled(chance: random.Random, data: bytes) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + data[: chance.randint(0, len(data))] * chance.randint(1, 20) + data[at:]


def _number(chance: random.Random, data: bytes) -> bytes:
    places = [n for n, byte in enumerate(data) if chr(byte).isdigit()]
    if not places:
        return data + b"\xff" * 9
    at = chance.choice(places)
    return data[:at] + chance.choice(NUMBERS).encode() + data[at + 1 :]


def _spliced(chance: random.Random, data: bytes) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.randbytes(chance.randint(1, 64)) + data[at:]


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzz]:
    made = Fuzz(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.peer.close()
    assert made.beta.stop() == 0


@pytest.mark.parametrize("turns", [400, pytest.param(50_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_changed_messages_are_refused_by_name_and_the_gateway_stays_as_it_was(fuzz: Fuzz, turns: int) -> None:
    before = fuzz.memory()
    seen = {fuzz.once(turn) for turn in range(turns)}
    assert {"gateway.bad_envelope", "Receipts", "Receipt", "Standing"} <= seen
    assert "runtime.fault" not in seen
    assert all(code.startswith(("gateway.", "party.", "runtime.", "storage.", "R", "S")) for code in seen), seen
    assert fuzz.memory() - before < GROWTH_BYTES
    lines = fuzz.beta.log()
    assert "Traceback" not in lines
    assert len(lines) < 1 << 20
    update = np.arange(5.0)
    fuzz.token.send(Address.parse("guest:mallory"), "update", (0,), update)

"""A party that is trusted and hostile: it has its keys and knows the protocol, and keeps to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256

import grpc
import psutil

from gateway.envelope import Envelope, Header, Part, signed
from party.home import PartyHome
from runtime.rpc import LIMITS
from tests.fakes.gateway_parties import TASK

TRANSFER = "/archipelago.transfer.v1.Transfer"


class HostilePeer:
    """One connection of the party at `home` to the gateway of the party at `target`."""

    def __init__(self, home: PartyHome, target: PartyHome) -> None:
        self.home, self.target = home, target
        credentials = grpc.ssl_channel_credentials(
            target.card.tls_certificate.encode(), home.keys.tls_key_pem, home.keys.tls_cert_pem
        )
        self.channel = grpc.secure_channel(
            str(target.settings.gateway_listen),
            credentials,
            options=[
                ("grpc.ssl_target_name_override", str(target.party)),
                ("grpc.use_local_subchannel_pool", 1),
                *LIMITS,
            ],
        )

    def stream(self, method: str) -> grpc.StreamUnaryMultiCallable:
        """A method that is handed raw messages."""
        return self.channel.stream_unary(f"{TRANSFER}/{method}")

    def unary(self, method: str) -> grpc.UnaryUnaryMultiCallable:
        """A method that is handed one raw message."""
        return self.channel.unary_unary(f"{TRANSFER}/{method}")

    def envelope(self, job: str, parts: Iterable[tuple[tuple[int, ...], bytes]], **changes: object) -> Envelope:
        """A signed envelope of these parts."""
        held = [Part(step=step, size=len(body), sha256=sha256(body).hexdigest()) for step, body in parts]
        fields: dict[str, object] = {
            "sender": str(self.home.party), "receiver": str(self.target.party), "job": job, "task": TASK, "attempt": 1,
            "from": f"guest:{self.home.party}", "to": f"host:{self.target.party}", "tag": "update", "kind": "array",
            "protection": "plain", "sealed": False, "size": sum(part.size for part in held),
            "sha256": held[0].sha256, "parts": tuple(held),
        }  # fmt: skip
        return signed(self.home.keys, Header.model_validate(fields | changes))

    def close(self) -> None:
        """Hang up."""
        self.channel.close()


def silence(until: object) -> Iterator[bytes]:
    """Messages that never come: ends when `until` is set."""
    until.wait(120)  # type: ignore[attr-defined]
    yield from ()


def resident_bytes(pid: int) -> int:
    """The memory a process holds of its own: shared maps of files are not counted."""
    memory = psutil.Process(pid).memory_info()
    return int(memory.rss - memory.shared)

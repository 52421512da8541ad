"""Typed calls to other parties' Flows."""

from __future__ import annotations

from flow.protocol.messages import M, Message, Method, decode, encode
from flow.rooms.ports import GatewayPort
from flow.store.database import Database


class PeerCalls:
    """Typed calls to other parties' Flows, with our clock on every message."""

    def __init__(self, gateway: GatewayPort, database: Database) -> None:
        self._gateway = gateway
        self._database = database

    def ask(self, party: str, method: Method, order: Message, reply: type[M], timeout_s: float) -> M:
        """Send an order, wait for the reply. Raises what the far handler raised, or Unavailable."""
        body = encode(order, self._database.hlc())
        answer, reading = decode(reply, self._gateway.call(party, method, body, timeout_s))
        self._database.saw(reading, party)
        return answer

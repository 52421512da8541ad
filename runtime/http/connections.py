"""What a connection to an HTTP server of ours may cost: uvicorn's protocol, with a door before each of three rooms.

A connection is silent (no whole request head has come, or its last answer is done), asking (a request is worked on),
or known (a request of somebody who has shown who they are). The first two are kept by address, the third by user; a
room that is full sends its oldest away (runtime/limits/waiting_room.py); what is silent for too long goes by itself,
and whoever sends in too small pieces (runtime/http/pieces.py) is heard no longer.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import h11
from starlette.types import Scope
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from runtime.errors import BodyInPieces
from runtime.http.pieces import FREE_PIECES, LEAST_BYTES, Conversation
from runtime.limits.tally import Tally
from runtime.limits.waiting_room import Room, WaitingRoom, network_of
from runtime.log import get_logger

_log = get_logger("http")


class Stage(StrEnum):
    """How far a connection is."""

    SILENT = "silent"
    ASKING = "asking"
    KNOWN = "known"


@dataclass(frozen=True)
class Limits:
    """What connections may cost.

    Attributes:
        silent, asking: How many of strangers, in all and of one address.
        known: How many requests of users at the same time, in all and of one user.
        head_s: From a connection's begin, or a request's first byte, to the end of the request's head.
        keep_s: How long a connection stays after an answer.
        drain_s: How long the rest of a body may still come after its answer, so that its sender hears the answer.
        take_s: How long the other side may take nothing of an answer that is ready.
    """

    silent: Room
    asking: Room
    known: Room
    head_s: float = 10.0
    keep_s: float = 30.0
    drain_s: float = 5.0
    take_s: float = 30.0

    @staticmethod
    def within(descriptors: int) -> Limits:
        """Limits that leave most of a process's descriptors to its own work."""
        silent, asking = max(16, min(1024, descriptors // 16)), max(16, min(256, descriptors // 32))
        known = max(64, min(512, descriptors // 16))
        return Limits(Room(silent, silent * 3 // 4), Room(asking, asking * 3 // 4), Room(known, known // 4))

    @staticmethod
    def here() -> Limits:
        """Limits within the descriptors that this process may have now."""
        return Limits.within(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class Doors:
    """The three rooms of one server. Used in its event loop only."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._rooms: dict[Stage, WaitingRoom[Connection]] = {
            Stage.SILENT: WaitingRoom(limits.silent),
            Stage.ASKING: WaitingRoom(limits.asking),
            Stage.KNOWN: WaitingRoom(limits.known),
        }
        self.closings = Tally(lambda reasons: _log.warning("Connections were closed", reasons=reasons))

    def count(self, stage: Stage) -> int:
        """How many are at that stage."""
        return len(self._rooms[stage])

    def enter(self, connection: Connection, stage: Stage, key: str) -> None:
        """Take a newcomer, and send away who must go for it."""
        for oldest in self._rooms[stage].enter(connection, key):
            oldest.transport.abort()
            self.closings.count(f"too many {stage}")

    def leave(self, connection: Connection, stage: Stage, key: str) -> None:
        """It is there no longer."""
        self._rooms[stage].leave(connection, key)


class Connection(H11Protocol):
    """One connection; requests find it as `connection` in their state."""

    def __init__(
        self,
        doors: Doors,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state | {"connection": self}, _loop)
        self.conn: Conversation = Conversation()
        self._doors = doors
        self._stage: Stage | None = None
        self._key = ""
        self._network = ""
        self._served: RequestResponseCycle | None = None
        self._waits_for = ""
        self._timer: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def recognised(self, user: str) -> None:
        """The request that is worked on now is this user's. From any thread."""
        self.loop.call_soon_threadsafe(self._recognise, user, self.cycle)

    # What the transport tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A stranger is here."""
        super().connection_made(transport)
        self._network = network_of(self.client[0]) if self.client else ""
        with suppress(OSError):  # what is never acknowledged, or never taken, ends the connection
            user_timeout_ms = round(2 * self._doors.limits.take_s * 1000)
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, user_timeout_ms)
        self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        super().connection_lost(exc)
        self._wait("", 0)
        self._has_taken()
        if self._stage is not None:
            self._doors.leave(self, self._stage, self._key)
            self._stage = None

    def data_received(self, data: bytes) -> None:
        """More of a head or a body."""
        super().data_received(data)
        self._settle()

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP. Where an answer has begun already, there is no other."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        super().send_400_response(msg)
        if self.cycle is not None:
            self.cycle.disconnected = True

    def on_response_complete(self) -> None:
        """An answer is done."""
        super().on_response_complete()
        self._settle()

    def pause_writing(self) -> None:
        """The other side is slower than the answer."""
        super().pause_writing()
        if self._taking is None:
            self._taking = self.loop.call_later(self._doors.limits.take_s, self._end, "takes no answer")

    def resume_writing(self) -> None:
        """It has taken some."""
        super().resume_writing()
        self._has_taken()

    # Where it waits, and for what

    def _settle(self) -> None:
        """Be in the room, and under the time limit, of what is going on now."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._settle_asking(self.cycle)
        else:
            self._settle_silent(self._doors.limits)

    def _settle_asking(self, cycle: RequestResponseCycle) -> None:
        if cycle is not self._served:
            self._served = cycle
            self._wait("", 0)
            self._move(Stage.ASKING, self._network)
        if self.conn.refused:
            cycle.message_event.set()  # so that who waits for the body asks `require_heard`

    def _settle_silent(self, limits: Limits) -> None:
        self._move(Stage.SILENT, self._network)
        if self.conn.their_state is h11.SEND_BODY:
            self._wait("body", limits.drain_s)
            if self.conn.refused:
                self.transport.write_eof()  # no other request can be read
        elif self.conn.refused:
            self._doors.closings.count("sent a head in too many pieces")
            self.send_400_response("The head of the request is too long or in too many pieces.")
        elif self.cycle is None or self.conn.trailing_data[0]:
            self._wait("head", limits.head_s)
        else:
            self._wait("request", limits.keep_s)

    def _move(self, stage: Stage, key: str) -> None:
        if (stage, key) == (self._stage, self._key):
            return
        if self._stage is not None:
            self._doors.leave(self, self._stage, self._key)
        self._stage, self._key = stage, key
        self._doors.enter(self, stage, key)

    def _recognise(self, user: str, cycle: RequestResponseCycle) -> None:
        if cycle is self.cycle and not cycle.response_complete and not self.transport.is_closing():
            self._move(Stage.KNOWN, user)

    def _wait(self, what: str, limit_s: float) -> None:
        """Limit the time of what is waited for now; more of the same gets no more time."""
        if what == self._waits_for:
            return
        self._waits_for = what
        if self._timer is not None:
            self._timer.cancel()
        why = "" if what == "request" else f"sent no whole {what} in time"  # to keep a connection is no wrong
        self._timer = self.loop.call_later(limit_s, self._end, why) if what else None

    def _has_taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _end(self, why: str) -> None:
        if why:
            self._doors.closings.count(why)
        self.transport.abort()


def recognise(scope: Scope, user: str) -> None:
    """Say whose request this is, so that strangers do not crowd it out. From any thread."""
    connection = scope.get("state", {}).get("connection")
    if isinstance(connection, Connection):
        connection.recognised(user)


def require_heard(scope: Scope) -> None:
    """Raise BodyInPieces if the rest of the request's body is not listened to."""
    connection = scope.get("state", {}).get("connection")
    if isinstance(connection, Connection) and connection.conn.refused:
        raise BodyInPieces(
            "The request body comes in too many small pieces.",
            hint=f"Beyond {FREE_PIECES} pieces (chunks, or what is sent at a time) each brings {LEAST_BYTES} bytes.",
        )

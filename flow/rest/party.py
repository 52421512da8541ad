"""Routes about the party itself: health, its rooms, peers and hosts, and sessions for people."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, TypeVar

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field

from cluster_manager.client import NodeStatus
from flow.rest.sessions import TICKET_S
from flow.rest.views import Health, NodeView, PartyStatus, PeerView, RoomView, Session, Ticket
from flow.rest.who import Anybody, Behind, ReadParty, TrustParty, openly
from gateway.client import PeerStatus
from party.errors import PlatformError
from party.users import User

router = APIRouter(tags=["party"])

T = TypeVar("T")


@router.get("/health", summary="Whether the REST interface answers")
@openly
def health() -> Health:
    """Needs no token and tells nothing else."""
    return Health()


@router.get("/party", summary="The state of this party")
def status(known: ReadParty) -> PartyStatus:
    """Its services, trusted parties and hosts."""
    backends = known.backends
    rooms = [RoomView(room="flow", state="ok")]
    peers = _asked("gateway", lambda: [_peer(peer) for peer in backends.gateway.peers()], rooms)
    nodes = _asked("cluster-manager", lambda: [_node(node) for node in backends.cluster.nodes()], rooms)
    _asked("storage", backends.tables.list, rooms)
    return PartyStatus(
        party=backends.party,
        healthy=all(room.state == "ok" for room in rooms),
        user=known.user.name,
        roles=tuple(sorted(known.user.roles)),
        card_fingerprint=backends.fingerprint,
        versions=_versions(),
        rooms=tuple(rooms),
        peers=tuple(peers),
        nodes=tuple(nodes),
        notes=backends.policy.notes(),
    )


@router.post("/party/reload", status_code=204, summary="Read again whom this party trusts")
def reload(known: TrustParty) -> None:
    """After cards were added to or taken from the home."""
    known.backends.gateway.reload()


@router.post("/tickets", status_code=201, summary="A single-use login ticket for yourself")
def ticket(known: Anybody, valid_s: Annotated[int, Query(ge=5, le=600)] = TICKET_S) -> Ticket:
    """Opens one session of the caller, for a login link to the board."""
    return Ticket(ticket=known.backends.sessions.issue_ticket(known.user.name, valid_s), valid_s=valid_s)


class Redeem(BaseModel):
    """The ticket of a login link."""

    model_config = ConfigDict(extra="forbid")
    ticket: str = Field(max_length=200)


@router.post("/sessions", status_code=201, summary="Open a session with your token")
def open_session(known: Anybody) -> Session:
    """A short-lived token that stands in for the caller's own."""
    return _session(known.backends, known.user)


@router.post("/sessions/ticket", status_code=201, summary="Open a session with a ticket")
@openly
def open_by_ticket(backends: Behind, body: Annotated[Redeem, Body()]) -> Session:
    """Needs no token: the ticket is the proof, once."""
    name = backends.sessions.redeem(body.ticket)
    return _session(backends, backends.book.users().get(name))


@router.delete("/sessions", status_code=204, summary="End this session")
def end_session(known: Anybody) -> None:
    """The session token of this request works no longer. A user's own token is not a session."""
    known.backends.sessions.end(known.token)


def _session(backends: Behind, user: User) -> Session:
    token, until_ms = backends.sessions.open(user.name)
    return Session(token=token, user=user.name, roles=tuple(sorted(user.roles)), until_ms=until_ms)


def _asked(room: str, ask: Callable[[], Iterable[T]], rooms: list[RoomView]) -> Sequence[T]:
    try:
        found = list(ask())
    except PlatformError as error:
        rooms.append(RoomView(room=room, state="down", text=error.message))
        return []
    rooms.append(RoomView(room=room, state="ok"))
    return found


def _peer(peer: PeerStatus) -> PeerView:
    return PeerView(
        party=peer.party,
        state=peer.state,
        addresses=peer.addresses,
        last_seen_ms=round(peer.last_seen_s * 1000) or None,
        queued=peer.queued,
        problem=peer.problem,
    )


def _node(node: NodeStatus) -> NodeView:
    return NodeView(
        node=node.node,
        state=node.state,
        cores=node.cores,
        reserved_cores=node.reserved_cores,
        memory_bytes=node.memory_bytes,
        gpus=node.gpus,
        cpu_percent=node.cpu_percent,
        memory_used_bytes=node.memory_used,
        executors=len(node.executors),
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("archipelago-fl", "pyarrow", "numpy", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

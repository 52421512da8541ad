"""Routes about the party itself: health, its rooms, peers and hosts."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

from fastapi import APIRouter, Response

from cluster_manager.client import NodeStatus
from flow.rest.access import Behind, ReadParty, TrustParty, openly
from flow.rest.vitals import Vital
from flow.rooms.ports import GatewayPort
from flow.views.links import clock_problem
from flow.views.party import Health, NodeView, PartyStatus, PeerView, RoomView, StrangerView
from flow.views.times import clock_text
from gateway.client import PeerStatus, Stranger
from runtime.clock import Apart
from runtime.errors import PlatformError

router = APIRouter(tags=["party"])

T = TypeVar("T")
_ASKED = ("gateway", "cluster-manager")  # the state of the party asks them more than whether they answer
_OPEN = {"none", "partly"}  # kinds of isolation that do not keep what they are there for
UNSOUND = {"refused", "not-valid"}  # states of a link that somebody must do something about


@router.get(
    "/health",
    summary="Whether this party works: its database, disks, card, gateway and Cluster Manager",
    responses={int(HTTPStatus.SERVICE_UNAVAILABLE): {"model": Health, "description": "Something does not."}},
)
@openly
def health(backends: Behind, response: Response) -> Health:
    """Needs no token and tells nothing else; what does not work, the state of the party says."""
    if all(vital.ok for vital in backends.vitals.now()):
        return Health()
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return Health(status="failing")


@router.get("/party", summary="The state of this party")
def status(known: ReadParty) -> PartyStatus:
    """Its services, trusted parties and hosts."""
    backends = known.backends
    tried = backends.vitals.now()
    by_room = {vital.room: vital for vital in tried}
    vitals = [vital for vital in tried if vital.room not in _ASKED]
    rooms = [RoomView(room="flow", state="ok"), *map(_room, vitals)]
    peers = _asked(by_room["gateway"], lambda: _peers(backends), rooms)
    strangers = _strangers(backends.gateway, rooms, {peer.party: peer for peer in peers})
    died = " ".join(vital.text for vital in tried if vital.room == "gateway" and vital.ok)
    rooms[-1] = rooms[-1].model_copy(update={"text": f"{rooms[-1].text} {died}".strip()})
    hosts = _asked(by_room["cluster-manager"], backends.cluster.nodes, rooms)
    return PartyStatus(
        party=backends.party,
        healthy=all(room.state == "ok" for room in rooms) and not any(peer.state in UNSOUND for peer in peers),
        user=known.user.name,
        roles=tuple(sorted(known.user.roles)),
        card_fingerprint=backends.fingerprint,
        versions=_versions(),
        rooms=tuple(rooms),
        peers=tuple(peers),
        strangers=strangers,
        nodes=tuple(_node(host) for host in hosts),
        isolation=", ".join(f"{node.node}: {node.isolation_text}" for node in hosts if node.isolation_text),
        limits=", ".join(f"{node.node}: {node.limits_text}" for node in hosts if node.limits_text),
        notes=(*backends.policy.notes(), *_warnings(hosts)),
    )


@router.post("/party/reload", status_code=204, summary="Read again whom this party trusts")
def reload(known: TrustParty) -> None:
    """After cards were added to or taken from the home."""
    known.backends.gateway.reload()


def _warnings(hosts: Iterable[NodeStatus]) -> list[str]:
    """What nothing keeps component code from, on which host; which host takes no more executors."""
    hosts = tuple(hosts)
    open_ones = [f"Executors on {host.node} are {host.isolation_text}" for host in hosts if host.isolation in _OPEN]
    full = [f"{host.node} takes no more executors: {host.pressure}" for host in hosts if host.pressure]
    return open_ones + full


def _room(vital: Vital) -> RoomView:
    return RoomView(room=vital.room, state="ok" if vital.ok else "down", text=vital.text)


def _asked(vital: Vital, ask: Callable[[], Iterable[T]], rooms: list[RoomView]) -> Sequence[T]:
    """What a room says; nothing of one that has just been seen not to answer: it would keep us waiting."""
    if not vital.ok:
        rooms.append(_room(vital))
        return []
    try:
        found = list(ask())
    except PlatformError as error:
        rooms.append(RoomView(room=vital.room, state="down", text=error.message))
        return []
    rooms.append(RoomView(room=vital.room, state="ok"))
    return found


def _strangers(gateway: GatewayPort, rooms: list[RoomView], held: Mapping[str, PeerView]) -> tuple[StrangerView, ...]:
    """Who was turned away; what is wrong with the gateway's own card is told of its room."""
    if rooms[-1].state != "ok":
        return ()
    try:
        problem = gateway.health().problem
        known = gateway.strangers()
    except PlatformError as error:
        rooms[-1] = RoomView(room="gateway", state="down", text=error.message)
        return ()
    if problem:
        rooms[-1] = RoomView(room="gateway", state="failing", text=problem)
    return tuple(_stranger(one, held.get(one.claims)) for one in known)


def _stranger(one: Stranger, peer: PeerView | None) -> StrangerView:
    who = f"a caller that says it is {one.claims}" if one.claims else "a caller"
    why = "its certificate is not on the card we hold, or not valid now" if peer else "its card is not trusted here"
    remedy = "To work with it, get its newest card and run: flow party trust CARD"
    last_ms = round(one.last_s * 1000)
    if peer is not None and peer.state == "up" and (peer.last_seen_ms or 0) > last_ms:
        why, remedy = f"{one.claims} has shown a certificate of its card since, and is connected", ""
    return StrangerView(
        address=one.address,
        claims=one.claims,
        count=one.count,
        last_ms=last_ms,
        text=f"Turned away: {who}, from {one.address}, {one.count} times; {why} (last at {clock_text(last_ms)}).",
        remedy=remedy,
    )


def _peers(backends: Behind) -> list[PeerView]:
    clocks = backends.service.clocks_apart()
    return [_peer(peer, clocks.get(peer.party)) for peer in backends.gateway.peers()]


def _peer(peer: PeerStatus, apart: Apart | None) -> PeerView:
    clock = clock_problem(peer, apart) if peer.state != "up" else ""
    why = peer.problem or ("It has not answered yet." if peer.state == "down" else "")
    return PeerView(
        party=peer.party,
        state=peer.state,
        addresses=peer.addresses,
        last_seen_ms=round(peer.last_seen_s * 1000) or None,
        queued=peer.queued,
        problem=" ".join(text for text in (why, clock) if text),
        code=peer.code,
        remedy=peer.remedy or ("Set the clock that is wrong (by NTP)." if clock else ""),
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
        gpu_percent=node.gpu_percent,
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

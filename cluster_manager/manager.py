"""The Cluster Manager: knows what this party's nodes can bear, reserves, places, starts and stops executors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cluster_manager.errors import NoCapacity, OrderMismatch
from cluster_manager.nodes import Member, Members
from cluster_manager.placement import Candidate, fitting, never_fits
from cluster_manager.queue import BEFORE_ALL, Claim, Turn, Wait, decide, outcome, standings
from cluster_manager.queue_view import Place, held_place, waiting_place
from cluster_manager.relay import Relay
from cluster_manager.reservations import ClusterStore, Owed, StoredReservation, Taken
from node_manager.client import NOTHING, NodeStatus, NodeUnavailable, Order, Resources
from party.ids import AttemptId
from runtime.errors import PlatformError
from runtime.log import get_logger
from runtime.metrics import labelled, metrics

MAX_LEASE_S = 3600.0
GONE_S = 60.0
_log = get_logger("cluster_manager")
_RESERVED = metrics("cluster_manager").counter("reservations", "Reservations that were made or renewed.")
_NO_CAPACITY = metrics("cluster_manager").counter("no_capacity", "Times that no node could bear what was asked for.")


class ClusterManager:
    """One party's nodes.

    Args:
        database: Its SQLite file.
        nodes: The addresses of all of them.
        gone_s: How long a node may be silent before its work is done elsewhere.
    """

    def __init__(self, database: Path, nodes: list[str], gone_s: float = GONE_S) -> None:
        self._store = ClusterStore(database, nodes)
        self._members = Members(nodes, self._store, gone_s, self._back)
        self._lock = threading.Lock()
        self._relays: list[Relay] = []
        self._quiet = False

    def begin(self) -> None:
        """Watch every node."""
        self._members.begin()

    def close(self) -> None:
        """Let everything go; executors and reservations stay as they are."""
        self._members.close()
        self._store.close()

    def go_quiet(self) -> None:
        """Let readers return, now and from now on."""
        self._quiet = True
        with self._lock:
            relays = list(self._relays)
        for relay in relays:
            relay.end()

    def nodes(self) -> list[NodeStatus]:
        """What each node said last."""
        return self._members.statuses()

    def metrics(self) -> bytes:
        """What this service and those of its nodes that answer count of themselves, as Prometheus reads it."""
        found: dict[str, bytes] = {}
        for member in self._members.all():
            if member.status is not None:
                with suppress(NodeUnavailable):
                    found[member.status.node] = member.client.metrics()
        return metrics("cluster_manager").text() + labelled(found, "node")

    def reserve(self, attempt: AttemptId, address: str, resources: Resources, lease_s: float) -> StoredReservation:
        """Reserve for one executor that lost its room, before all others. Raises what `reserve_all` raises."""
        return self.reserve_all(attempt, {address: resources}, lease_s, BEFORE_ALL)[address]

    def reserve_all(
        self, attempt: AttemptId, sizes: Mapping[str, Resources], lease_s: float, turn: Turn
    ) -> dict[str, StoredReservation]:
        """Reserve for all executors of an attempt here when it is their turn.

        Raises NoCapacity, saying why not now; their place in the queue is kept for as long as they ask again.
        """

        def place(missing: Claim, taken: Taken) -> dict[str, str] | Wait:
            return decide(missing, taken.claims, taken.at_work, self._candidates(taken.amounts))

        reserved = self._store.reserve(Claim(attempt, sizes, turn), min(lease_s, MAX_LEASE_S), place)
        if isinstance(reserved, Wait):
            _NO_CAPACITY.inc()
            who = ", ".join(sizes)
            raise NoCapacity(f"There is no room for {who} of {attempt} now: {reserved.why}.", hint=reserved.help)
        _RESERVED.inc()
        return reserved

    def queue(self) -> list[Place]:
        """What has room and then what waits for it, in the order in which it gets it."""
        held, taken = self._store.queue()
        nodes = self._candidates(taken.amounts)
        waiting = standings(taken.claims, taken.at_work, nodes)
        return [
            *(held_place(each, self.name_of(each.host)) for each in held),
            *(waiting_place(each, outcome(each, nodes)) for each in waiting),
        ]

    def could_fit(self, sizes: Sequence[Resources]) -> str:
        """Why executors of these sizes can never run at the same time; empty if they could, if not now.

        A node that is silent counts with the size it had; with one that was not heard from yet nothing is certain.
        """
        known = [member.status for member in self._members.all()]
        capacities = [status.capacity for status in known if status is not None]
        if not capacities or len(capacities) < len(known):
            return ""
        return never_fits(sizes, capacities)

    def release(self, reservation_id: str) -> None:
        """Give a reservation back. May be repeated. What runs in it on a node that is gone ends once that is back."""
        held = self._store.held(reservation_id)
        member = self._members.at(held.host) if held is not None else None
        if held is not None and member is not None and self._members.gone(member):
            self._leave_word(member, Owed(held.attempt.job, held.attempt.task, held.attempt.attempt))
        self._store.release(reservation_id)

    def displaced(self) -> list[str]:
        """The reservations in use on nodes that are gone, silent for too long or no longer ours, that fit elsewhere."""
        held, taken = self._store.queue()
        stays = {member.address for member in self._members.all() if not self._members.gone(member)}
        gone = {each.id: each.resources for each in held if each.started and each.host not in stays}
        return fitting(gone, self._candidates(taken.amounts)) if gone else []

    def start(self, reservation_id: str, order: Order) -> None:
        """Start the executor of a reservation; a later incarnation may be started in the same one.

        Raises ReservationExpired, OrderMismatch, and what the Node Manager raises.
        """
        reservation = self._store.begin(reservation_id)
        try:
            _check(reservation, order)
            pid = self._member(reservation.host).client.start(order.model_copy(update={"reservation": reservation_id}))
        except PlatformError:
            self._store.not_begun(reservation_id)
            raise
        _log.info("Executor started", job=order.job, task=order.task, node=reservation.host, pid=pid)

    def stop(self, job: str, task: str | None, attempt: int | None, grace_s: float) -> None:
        """End the matching executors on every node, on one that is gone once it is back.

        Raises NodeUnavailable after all others were asked.
        """
        owed = Owed(job, task or "", attempt or 0)
        self._everywhere(lambda member: member.client.stop(job, task, attempt, grace_s), owed)

    def end_job(self, job: str) -> None:
        """The job is over: end what runs, remove its working folders, give its reservations back. May be repeated."""
        try:
            self._everywhere(lambda member: member.client.clean(job), Owed(job, clean=True))
        finally:
            self._store.end_job(job)

    def acknowledge(self, logs: Sequence[str]) -> None:
        """These event logs are recorded, up to their last event. Raises NodeUnavailable after all others were told."""
        self._everywhere(lambda member: member.client.acknowledge(logs))

    def events(self, since: Mapping[str, int], listening: Callable[[], bool]) -> Iterator[bytes]:
        """The documents of all events of each log after a sequence, for as long as somebody listens.

        It ends as well when a node's stream breaks.
        """
        relay = Relay(since)
        with self._lock:
            self._relays.append(relay)
        try:
            if not self._quiet:
                relay.begin(self._members.all())
                yield from relay.documents(listening)
        finally:
            relay.end()
            with self._lock:
                self._relays.remove(relay)

    def name_of(self, host: str) -> str:
        """The name of the node at an address, for people."""
        member = self._members.at(host)
        return member.status.node if member and member.status else host

    def _member(self, host: str) -> Member:
        member = self._members.at(host)
        if member is None:
            raise NodeUnavailable(f"The node at {host} is no longer one of ours.", hint="Reserve again.")
        return member

    def _candidates(self, reserved: Mapping[str, Resources]) -> list[Candidate]:
        now = time.monotonic()
        return [
            Candidate(
                address=member.address,
                node=member.status.node,
                capacity=member.status.capacity,
                reserved=reserved.get(member.address, NOTHING),
                silent=member.silent(now),
                pressure=member.status.pressure,
            )
            for member in self._members.all()
            if member.status is not None
        ]

    def _back(self, member: Member) -> bool:
        """A node was silent: tell it what it has missed, if it has. Raises what its calls raise."""
        missed = self._store.owed(member.address)
        for owed in missed:
            owed.tell(member.client)
            self._store.told(member.address, owed)
            _log.info("Node told what it missed", node=member.address, job=owed.job, task=owed.task)
        return bool(missed)

    def _leave_word(self, member: Member, owed: Owed) -> None:
        """Tell a node that was away as soon as it is back, which may be now."""
        with member.lock:
            if self._members.silent(member):
                self._store.owe(member.address, owed)
            else:
                owed.tell(member.client)

    def _everywhere(self, ask: Callable[[Member], object], owed: Owed | None = None) -> None:
        """Ask every node; one that cannot be reached does not keep the others from being asked.

        One that is gone, or was not heard from since we began, is not waited for: it hears what it is owed once it is
        back.
        """
        problem: NodeUnavailable | None = None
        for member in self._members.all():
            try:
                self._reach(member, ask, owed)
            except NodeUnavailable as error:
                problem = error
        if problem is not None:
            raise problem

    def _reach(self, member: Member, ask: Callable[[Member], object], owed: Owed | None) -> None:
        if not self._members.gone(member):
            try:
                ask(member)
                return
            except NodeUnavailable:
                if member.status is not None:
                    raise
        if owed is not None:
            self._leave_word(member, owed)


def _check(reservation: StoredReservation, order: Order) -> None:
    wanted = (order.job, order.task, order.attempt, order.address)
    held = (reservation.attempt.job, reservation.attempt.task, reservation.attempt.attempt, reservation.address)
    if wanted != held:
        raise OrderMismatch(f"The reservation is for {held[3]} of {reservation.attempt}, not for {wanted[3]} of it.")
    if not order.resources.within(reservation.resources):
        raise OrderMismatch(f"The order for {order.address} of {reservation.attempt} asks for more than was reserved.")

"""The Cluster Manager: knows what this party's nodes can bear, reserves, places, starts and stops executors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cluster_manager.errors import NoCapacity, OrderMismatch
from cluster_manager.nodes import Member, Members
from cluster_manager.placement import Candidate, never_fits
from cluster_manager.queue import BEFORE_ALL, Claim, Turn, Wait, decide, outcome, standings
from cluster_manager.queue_view import Place, held_place, waiting_place
from cluster_manager.relay import Relay
from cluster_manager.reservations import ClusterStore, StoredReservation, Taken
from node_manager.client import NOTHING, NodeStatus, NodeUnavailable, Order, Resources
from party.ids import AttemptId
from runtime.errors import PlatformError
from runtime.log import get_logger
from runtime.metrics import labelled, metrics

MAX_LEASE_S = 3600.0
_log = get_logger("cluster_manager")
_RESERVED = metrics("cluster_manager").counter("reservations", "Reservations that were made or renewed.")
_NO_CAPACITY = metrics("cluster_manager").counter("no_capacity", "Times that no node could bear what was asked for.")


class ClusterManager:
    """One party's nodes.

    Args:
        database: Its SQLite file.
        nodes: The addresses of all of them.
    """

    def __init__(self, database: Path, nodes: list[str]) -> None:
        self._store = ClusterStore(database, nodes)
        self._members = Members(nodes, self._store)
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
        """Give a reservation back. May be repeated."""
        self._store.release(reservation_id)

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
        """End the matching executors on every node. Raises NodeUnavailable after all others were asked."""
        self._everywhere(lambda member: member.client.stop(job, task, attempt, grace_s))

    def end_job(self, job: str) -> None:
        """The job is over: end what runs, remove its working folders, give its reservations back. May be repeated."""
        try:
            self._everywhere(lambda member: member.client.clean(job))
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

    def _everywhere(self, ask: Callable[[Member], object]) -> None:
        """Ask every node; one that cannot be reached does not keep the others from being asked."""
        problem: NodeUnavailable | None = None
        for member in self._members.all():
            try:
                ask(member)
            except NodeUnavailable as error:
                problem = error if member.status is not None else problem
        if problem is not None:
            raise problem


def _check(reservation: StoredReservation, order: Order) -> None:
    wanted = (order.job, order.task, order.attempt, order.address)
    held = (reservation.attempt.job, reservation.attempt.task, reservation.attempt.attempt, reservation.address)
    if wanted != held:
        raise OrderMismatch(f"The reservation is for {held[3]} of {reservation.attempt}, not for {wanted[3]} of it.")
    if not order.resources.within(reservation.resources):
        raise OrderMismatch(f"The order for {order.address} of {reservation.attempt} asks for more than was reserved.")

"""Delivery: for each peer one thread for small envelopes and one for large ones, so that neither waits for the other.

A thread sleeps until something is put into the outbox, the peer says hello, or the time of the next try has come.
An envelope leaves the outbox when the peer has it durably, or will never take it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum, auto
from hashlib import sha256

from gateway.backoff import Backoff
from gateway.errors import JobClosed, MessageRefused
from gateway.mailbox.store import Mailbox, Outgoing
from gateway.peer_status import PeerStatus
from gateway.peers import PeerBook
from gateway.recorder import Recorder
from gateway.transfer.link import HEARTBEAT_S, Link, Outcome, Receipt
from runtime.errors import PlatformError
from runtime.log import get_logger

BATCH_ENVELOPES = 64
BATCH_BYTES = 2 << 20
WAITING_CEILING_S = 1.0  # between tries while something waits for the peer
IDLE_CEILING_S = 5.0  # between tries to greet a peer for whom nothing waits
_FAULTS = (sqlite3.Error, OSError, ValueError, PlatformError)
_log = get_logger("gateway")


class _Round(Enum):
    DONE = auto()
    AGAIN = auto()


class Lane:
    """One thread that empties one peer's queue of small or of large envelopes."""

    def __init__(
        self, link: Link, mailbox: Mailbox, recorder: Recorder, refused: Callable[[Outgoing], None], *, large: bool
    ) -> None:
        self._link = link
        self._mailbox = mailbox
        self._recorder = recorder
        self._refused = refused
        self._large = large
        self._wake = threading.Event()
        self._stopping = False
        name = f"delivery-{link.party}-{'large' if large else 'small'}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._thread.ident is not None

    def wake(self) -> None:
        """Something was put into the queue, or the peer is there again."""
        self._wake.set()

    def stop(self) -> None:
        """Deliver no more; returns at once."""
        self._stopping = True
        self._wake.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        backoff = Backoff(WAITING_CEILING_S)
        while not self._stopping:
            self._wake.clear()
            if self._round() is _Round.DONE:
                backoff.reset()
                self._wake.wait(None if self._large else HEARTBEAT_S)
                continue
            backoff.ceiling_s = self._ceiling_s()
            self._wake.wait(backoff.next())

    def _ceiling_s(self) -> float:
        try:
            waiting = self._mailbox.queued(self._link.party, large=self._large, after=0, limit=1)
        except _FAULTS:
            return IDLE_CEILING_S
        return WAITING_CEILING_S if waiting else IDLE_CEILING_S

    def _round(self) -> _Round:
        """Offer everything in the queue once."""
        result = _Round.DONE
        try:
            if self._link.quiet and not self._large:
                self._link.greet()
            for found in self._batches():
                batch = [item for item in found if self._whole(item)]
                if batch and self._settle(batch, self._deliver(batch)):
                    result = _Round.AGAIN
                if self._stopping:
                    break
        except PlatformError as error:
            _log.debug("A delivery was put off", peer=self._link.party, code=error.code, reason=error.message)
            return _Round.AGAIN
        except _FAULTS:
            _log.exception("A delivery met a fault of this host", peer=self._link.party)
            return _Round.AGAIN
        return result

    def _deliver(self, batch: list[Outgoing]) -> list[Receipt]:
        for item in batch:
            self._recorder.record(item.envelope.id, item.envelope.canonical, item.place.buffer())
        return [self._link.deliver(batch[0])] if self._large else self._link.put(batch)

    def _settle(self, batch: list[Outgoing], receipts: list[Receipt]) -> bool:
        """Take what is settled out of the queue; True if something is to be offered again."""
        pairs = list(zip(batch, receipts, strict=True))
        stored = [item.sequence for item, receipt in pairs if receipt.outcome == Outcome.STORED]
        if stored:
            self._mailbox.delivered(stored)
        for item, receipt in pairs:
            if receipt.outcome == Outcome.REFUSED and receipt.problem is not None:
                self._refuse(item, receipt.problem)
        return any(receipt.outcome == Outcome.LATER for receipt in receipts)

    def _refuse(self, item: Outgoing, problem: PlatformError) -> None:
        header = item.envelope.header
        _log.warning("A peer refused a message", peer=self._link.party, code=problem.code, reason=problem.message)
        text = f"{self._link.party} refused '{header.tag}' of {header.frm}: {problem.message} ({problem.code})"
        self._give_up(item, MessageRefused(text, hint=problem.hint))

    def _give_up(self, item: Outgoing, error: MessageRefused) -> None:
        self._mailbox.refused(item, error)
        self._refused(item)

    def _whole(self, item: Outgoing) -> bool:
        """Whether the body can be offered; one that is missing or damaged is settled, so that the others go on."""
        problem = _damage(item, digest=not self._large)
        if problem:
            header = item.envelope.header
            try:
                self._mailbox.contract(header.job)
            except JobClosed:  # its bodies were deleted meanwhile
                return False
            _log.error("A message that waits was damaged", peer=self._link.party, job=header.job, reason=problem)
            text = f"'{header.tag}' of {header.frm} cannot be delivered to {self._link.party}: {problem}."
            self._give_up(item, MessageRefused(text, hint="Look for a fault of this party's disk."))
        return not problem

    def _batches(self) -> Iterator[list[Outgoing]]:
        after = 0
        while True:
            limit = 1 if self._large else BATCH_ENVELOPES
            found = self._mailbox.queued(self._link.party, large=self._large, after=after, limit=limit)
            if not found:
                return
            after = found[-1].sequence
            yield from _cut(found)


class Delivery:
    """The lanes and links of all peers."""

    def __init__(
        self, book: PeerBook, mailbox: Mailbox, recorder: Recorder, refused: Callable[[Outgoing], None]
    ) -> None:
        self._book = book
        self._mailbox = mailbox
        self._recorder = recorder
        self._refused = refused
        self._lock = threading.Lock()
        self._links: dict[str, Link] = {}
        self._lanes: dict[str, tuple[Lane, Lane]] = {}
        self._running = False

    def start(self) -> None:
        """Greet every trusted peer and deliver what waits for it."""
        self._running = True
        self.reload()

    def reload(self) -> None:
        """Follow the book: lines to new peers, none to those no longer trusted, and everybody is tried at once."""
        for party in self._book.parties:
            try:
                self.link(party)
            except PlatformError as error:
                _log.warning("A party cannot be delivered to", peer=party, code=error.code, reason=error.message)
        with self._lock:
            gone = [party for party in self._links if party not in self._book.parties]
            links = [self._links.pop(party) for party in gone]
            lanes = [lane for party in gone for lane in self._lanes.pop(party)]
        _end(lanes, links, 0.0)
        for party in self._book.parties:
            self.wake(party)

    def follow(self) -> None:
        """Begin with those whose cards have become valid meanwhile."""
        for party in self._book.parties:
            with suppress(PlatformError):
                self.link(party)

    def link(self, party: str) -> Link:
        """The line to a party. Raises PeerUnknown, CardExpired."""
        card = self._book.card(party)
        with self._lock:
            if party not in self._links:
                link = self._links[party] = Link(self._book, party)
                small, large = (self._lane(link, large=large) for large in (False, True))
                self._lanes[party] = (small, large)
            if self._running and card.addresses:
                for lane in self._lanes[party]:
                    if not lane.started:
                        lane.start()
            return self._links[party]

    def wake(self, party: str) -> None:
        """Something waits for the party, or it has just said hello."""
        with self._lock:
            lanes = self._lanes.get(party, ())
        for lane in lanes:
            lane.wake()

    def peers(self) -> list[PeerStatus]:
        """How all trusted peers are doing."""
        backlog = self._mailbox.backlog()
        return [self._status(party, backlog.get(party, 0)) for party in self._book.parties]

    def stop(self, grace_s: float) -> None:
        """Deliver no more; what is left is delivered after the next start."""
        with self._lock:
            self._running = False
            lanes = [lane for pair in self._lanes.values() for lane in pair]
            links = list(self._links.values())
        _end(lanes, links, grace_s)

    def _status(self, party: str, queued: int) -> PeerStatus:
        try:
            return self.link(party).status(queued)
        except PlatformError as error:  # a card that has expired says nothing about the others
            with self._lock:
                known = self._links.get(party)
            return PeerStatus.of(party, (), known.last_seen_s if known else 0.0, queued, error)

    def _lane(self, link: Link, *, large: bool) -> Lane:
        return Lane(link, self._mailbox, self._recorder, self._refused, large=large)


def _damage(item: Outgoing, *, digest: bool) -> str:
    """What is wrong with the body that waits, or nothing. The digest of a large one is left to its receiver."""
    header, place = item.envelope.header, item.place
    try:
        held = len(place.data) if place.path is None else place.path.stat().st_size - place.offset
    except FileNotFoundError:
        return "its body is missing"
    if held < place.size or place.size != header.size:
        return f"its body has {held} of {header.size} bytes"
    if digest and sha256(place.buffer()).hexdigest() != header.sha256:
        return "its body is damaged"
    return ""


def _end(lanes: list[Lane], links: list[Link], grace_s: float) -> None:
    for lane in lanes:
        lane.stop()
    for link in links:
        link.close()
    for lane in lanes:
        if lane.started:
            lane.join(grace_s)


def _cut(found: list[Outgoing]) -> Iterator[list[Outgoing]]:
    batch: list[Outgoing] = []
    size = 0
    for item in found:
        if batch and size + item.place.size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.place.size
    yield batch

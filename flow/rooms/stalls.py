"""What each party's side of the running jobs waits for, as far as this party was told: in memory, news as events."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from threading import Lock

from sqlalchemy import func, select

from flow.store.database import Database
from flow.store.tables import event
from flow.views.stalls import Fact
from runtime.clock import now_ms
from runtime.errors import DiskFull

REMEMBERED = 1_000  # jobs
MOST_EVENTS = 1_000  # of one party about one job
KINDS = ("party.stalled", "party.goes_on")


class Stalls:
    """Facts by job and party. What began or ended is one event; nothing is written while nothing changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._known: OrderedDict[str, dict[str, tuple[Fact, ...]]] = OrderedDict()

    def of(self, job: str) -> dict[str, tuple[Fact, ...]]:
        """What keeps each party's side of a job, by party."""
        with self._lock:
            return dict(self._known.get(job, {}))

    def stalled(self, job: str) -> bool:
        """Whether the job's time is waiting: executors that wait for something named have told nothing for long."""
        return any(fact.stalled for facts in self.of(job).values() for fact in facts)

    def note(self, job: str, party: str, facts: Collection[Fact]) -> bool:
        """What a party's side waits for now, since when it was first told; whether that is new."""
        now = now_ms(self._database.clock)
        with self._lock:
            before = self._known.get(job, {}).get(party, ())
            since = {fact.key: fact.since_ms for fact in before}
            after = tuple(fact.model_copy(update={"since_ms": since.get(fact.key, now)}) for fact in facts)
            if after == before:
                return False
            known = self._known.setdefault(job, {})
            known.pop(party, None)
            if after:
                known[party] = after
            self._known.move_to_end(job)
            if not known:
                del self._known[job]
            elif len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        with suppress(DiskFull):  # whoever asks hears of it from memory
            self._tell(job, party, after)
        return True

    def _tell(self, job: str, party: str, facts: Collection[Fact]) -> None:
        """Write one event; a party that has had as many of a job as it may is heard all the same."""
        had = select(func.count()).where(event.c.job == job, event.c.party == party, event.c.kind.in_(KINDS))
        with self._database.write() as writer:
            if (writer.connection.execute(had).scalar() or 0) < MOST_EVENTS:
                codes = ", ".join(fact.code for fact in facts)
                writer.event(KINDS[not facts], job, place=("", 0, party), body={"codes": codes} if facts else {})

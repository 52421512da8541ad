"""What the initiator knows of a job: the unchanging part, kept in memory, and a snapshot of the rest from the store."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from flow.bindings import BoundJob, BoundTask, Components, bind
from flow.errors import JobInvalid, UnknownJob
from flow.job_spec import JobSpec, proposed_job
from flow.job_state import AttemptState, JobState
from flow.messages import Decision, Manifest, Proposal, SignedAnswer
from flow.plan import AttemptFacts, JobFacts, PartyFacts, SideFacts
from flow.store.moves import error_of
from flow.store.stored import stored
from flow.store.tables import job, job_party, part, side
from flow.store.waiting import ATTEMPTS, JOB_PARTIES, waiting
from runtime.clock import Clock

KEPT = 256
KEPT_SIDES = 50_000  # of all that are kept
MIDDLE_PRIORITY = 5
_JOB = select(job).where(job.c.id == bindparam("job"))
_SIDES = select(side).where(side.c.job == bindparam("job")).order_by(side.c.address)


@dataclass(frozen=True)
class Known:
    """What never changes about a job: its spec, its tasks joined with their components, the proposal."""

    proposal: Proposal
    spec: JobSpec
    tasks: dict[str, BoundTask]

    @property
    def sides(self) -> int:
        """How much it is to keep."""
        return sum(len(task.sides) for task in self.tasks.values())


@dataclass(frozen=True)
class Snapshot:
    """A job at one moment, and what it took to know that."""

    facts: JobFacts
    phase: str
    ran_ms: int
    waited_ms: int
    elapsed_ms: int


class Catalogue:
    """Jobs by proposal, parsed once. Used by the initiator and by participants."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._sides = 0
        self._lock = Lock()

    def priority(self, name: str) -> int:
        """How urgent a job is, if we know it well; the middle otherwise."""
        with self._lock:
            known = self._known.get(name)
        return known.spec.settings.priority if known else MIDDLE_PRIORITY

    def of_proposal(self, proposal: Proposal) -> Known:
        """A job by its proposal. Raises JobInvalid if this party's components do not fit it."""
        with self._lock:
            if proposal.job in self._known and self._known[proposal.job].proposal == proposal:
                self._known.move_to_end(proposal.job)
                return self._known[proposal.job]
        spec = proposed_job(proposal.spec)
        job = self.bound(proposal, spec)
        if job.problems:
            raise JobInvalid(job.problems)
        return Known(proposal, spec, job.tasks)

    def bound(self, proposal: Proposal, spec: JobSpec) -> BoundJob:
        """A job joined with its components; one without problems is kept, so that it is done once."""
        with self._lock:
            known = self._known.get(proposal.job)
            if known is not None and known.proposal == proposal:
                self._known.move_to_end(proposal.job)
                return BoundJob(known.spec, known.tasks, [])
        tasks, problems = bind(spec, self._components)
        if not problems:
            self._keep(Known(proposal, spec, tasks))
        return BoundJob(spec, tasks, problems)

    def forget(self, name: str) -> None:
        """A job that nothing comes of."""
        with self._lock:
            known = self._known.pop(name, None)
            self._sides -= known.sides if known else 0

    def _keep(self, known: Known) -> None:
        self.forget(known.proposal.job)
        with self._lock:
            self._known[known.proposal.job] = known
            self._sides += known.sides
            while len(self._known) > 1 and (len(self._known) > KEPT or self._sides > KEPT_SIDES):
                self._sides -= self._known.popitem(last=False)[1].sides

    def of_job(self, connection: Connection, name: str) -> Known:
        """A job of our store. Raises UnknownJob, UnreadableJob."""
        with self._lock:
            if name in self._known:
                return self._known[name]
        both = select(job.c.proposal, part.c.proposal.label("theirs")).outerjoin(part, part.c.job == job.c.id)
        row = connection.execute(both.where(job.c.id == name)).first()
        if row is None:
            raise UnknownJob(f"There is no job {name} here.", hint="`flow job list` shows the jobs of this party.")
        return self.of_proposal(stored(Proposal, name, row.proposal or row.theirs))


@dataclass(frozen=True)
class _Began:
    """When we saw a job in its phase, by the monotonic clock, and how long it had been in it until then.

    Attributes:
        before_s: Known by the wall clock alone where it began before our start; None while that is in doubt.
    """

    at_s: float
    before_s: float | None


class Snapshots:
    """Takes snapshots; measures how long a job has been in its phase by the monotonic clock.

    What of it passed before our start counts from `believe` on; not if the phase ends while our clock is in doubt, and
    not what a clock that is behind at the first look does not know of.
    """

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._started_s = clock.monotonic()
        self._began: dict[tuple[str, str, int], _Began] = {}

    def take(self, connection: Connection, name: str) -> Snapshot:
        """A job that we lead, as the store has it now. Raises UnknownJob."""
        known = self._catalogue.of_job(connection, name)
        of = {"job": name}
        row = connection.execute(_JOB, of).one()
        parties = connection.execute(JOB_PARTIES, of).all()
        attempts = connection.execute(ATTEMPTS, of).all()
        sides = connection.execute(_SIDES, of).all()
        elapsed = self._elapsed_ms(row)
        settings = known.spec.settings
        facts = JobFacts(
            job=name,
            state=JobState(row.state),
            parties=tuple(sorted((_party(p) for p in parties), key=lambda p: p.party)),
            needs={task: bound.needs for task, bound in known.tasks.items()},
            attempts=_last_attempts(attempts, sides),
            retries=settings.retries,
            timeout_s=settings.timeout_s,
            wait_s=settings.wait_s,
            ran_s=(row.ran_ms + (elapsed if row.phase == "running" else 0)) / 1000,
            waited_s=(row.waited_ms + (elapsed if row.phase == "waiting" else 0)) / 1000,
            waits=tuple(item.text for item in waiting(row, parties, attempts)),
            closed=bool(row.closed),
        )
        return Snapshot(facts, row.phase, row.ran_ms, row.waited_ms, elapsed)

    def forget(self, name: str) -> None:
        """A job is over."""
        for key in [key for key in list(self._began) if key[0] == name]:
            self._began.pop(key, None)

    def unsure(self, name: str) -> bool:
        """Whether a part of the job's time is not counted yet."""
        return any(began.before_s is None for key, began in list(self._began.items()) if key[0] == name)

    def believe(self, name: str) -> None:
        """Count all of the job's time, as our wall clock has it now."""
        now = self._clock.monotonic()
        for key, began in list(self._began.items()):
            if key[0] == name and began.before_s is None:
                self._began[key] = _Began(now, self._since_s(key[2]))

    def _elapsed_ms(self, row: Row[Any]) -> int:
        """Since the phase began."""
        key = (row.id, row.phase, row.phase_since_ms)
        now = self._clock.monotonic()
        if key not in self._began:
            self.forget(row.id)
            before_s = self._since_s(row.phase_since_ms)
            self._began[key] = _Began(now, before_s if before_s <= now - self._started_s else None)
        began = self._began[key]
        return int((now - began.at_s + (began.before_s or 0.0)) * 1000)

    def _since_s(self, since_ms: int) -> float:
        return max(0.0, self._clock.now().timestamp() - since_ms / 1000)


def manifest_of(connection: Connection, name: str) -> Manifest:
    """The manifest of a job that was agreed on. Raises UnknownJob, UnreadableJob."""
    text = connection.execute(select(job.c.manifest).where(job.c.id == name)).scalar_one_or_none()
    if not text:
        raise UnknownJob(f"There is no manifest of job {name} here.")
    return stored(Manifest, name, text)


def answers_of(connection: Connection, name: str) -> list[SignedAnswer]:
    """Every answer that came, in party order. Raises UnreadableJob."""
    rows = connection.execute(
        select(job_party.c.answer).where(job_party.c.job == name, job_party.c.answer != "").order_by(job_party.c.party)
    )
    return [stored(SignedAnswer, name, row.answer) for row in rows]


def _party(row: Row[Any]) -> PartyFacts:
    refused = row.decision == Decision.REFUSE
    answer = stored(SignedAnswer, row.job, row.answer).answer if refused and row.answer else None
    return PartyFacts(
        party=row.party,
        decision=row.decision,
        reasons=answer.reasons if answer else (),
        opened=bool(row.opened),
        closed=bool(row.closed),
        absent=row.absent_ms is not None,
    )


def _last_attempts(attempts: Any, sides: Any) -> dict[str, AttemptFacts]:
    by_attempt: dict[tuple[str, int], list[SideFacts]] = {}
    for row in sides:
        by_attempt.setdefault((row.task, row.attempt), []).append(
            SideFacts(
                address=row.address,
                party=row.party,
                state=AttemptState(row.state),
                stopped=bool(row.stopped),
                published=bool(row.published),
                retryable=bool(row.retryable),
                error=error_of(row),
            )
        )
    last: dict[str, AttemptFacts] = {}
    tries: dict[str, int] = {}
    for row in attempts:  # in order of their numbers
        last[row.task] = AttemptFacts(
            task=row.task,
            attempt=row.attempt,
            state=AttemptState(row.state),
            counted=bool(row.counted),
            tries=tries.get(row.task, 0),
            retryable=bool(row.retryable),
            error=error_of(row),
            sides=tuple(by_attempt.get((row.task, row.attempt), ())),
        )
        tries[row.task] = tries.get(row.task, 0) + bool(row.counted)
    return last

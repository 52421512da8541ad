"""The coordinator of the jobs that this party leads: take a snapshot, plan, move, send errands; again when woken."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from flow.coordinator.absence import Absence
from flow.coordinator.attempt_calls import AttemptCalls
from flow.coordinator.errands import Errands
from flow.coordinator.facts import Catalogue, Snapshot, Snapshots
from flow.coordinator.incoming import Incoming, withdrawn
from flow.coordinator.moves import carry_out
from flow.coordinator.party_calls import PartyCalls
from flow.doors import Caller, GatewayDoor
from flow.errors import JobNotRunning, Moved, PartyLeft
from flow.job_state import ENDED_ATTEMPT, ENDED_JOB, AttemptState, JobEvent, JobState
from flow.own_clock import OwnClock
from flow.plan import End, EndAttempt, Finish, Move, Open, Propose, Publish, Reserve, Start, Stop, Wake, phase, step
from flow.scheduler import Handler, Scheduler
from flow.store.database import Database
from flow.store.moves import cancel_open, move_job
from flow.store.tables import job
from flow.views import ErrorView
from flow.witnesses import LOOK_AGAIN_S
from runtime.clock import Clock
from runtime.errors import PlatformError

PROBE_S = 10.0
PRIORITY_STEP_S = 0.02
MAX_PRIORITY = 9


@dataclass(frozen=True)
class JobStep:
    """Plan a job that we lead."""

    job: str


@dataclass(frozen=True)
class Probe:
    """Ask a party with running sides how they are."""

    job: str
    party: str


class Coordinator:
    """Leads the jobs that this party submitted."""

    def __init__(
        self, party: str, database: Database, catalogue: Catalogue, gateway: GatewayDoor, clock: Clock
    ) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._clock = clock
        self._snapshots = Snapshots(catalogue, clock)
        self._own_clock = OwnClock(clock, gateway)
        self._absence = Absence(database)
        caller = Caller(gateway, database)
        self._parties = PartyCalls(database, catalogue, caller, self._absence, gateway.verify)
        attempts = AttemptCalls(database, caller, self._absence)
        self._errands = Errands(database, self._snapshots, self._absence, self._parties, attempts)
        self.incoming = Incoming(party, database, catalogue, gateway.verify, self._heard)
        self._scheduler: Scheduler | None = None

    def handlers(self) -> Mapping[type, Handler]:
        """What the scheduler runs for us."""
        errands = (Propose, Open, Reserve, Start, Stop, Publish, End)
        found: dict[type, Handler] = dict.fromkeys(errands, self._run_errand)
        return {**found, JobStep: self._step, Probe: self._probe}

    def start(self, scheduler: Scheduler) -> None:
        """Take up every job that is not over and cleaned up."""
        self._scheduler = scheduler
        self._absence.recover()
        with self._database.read() as connection:
            rows = connection.execute(
                select(job.c.id).where(job.c.initiator == self._party, job.c.closed.is_(False))
            ).all()
        for row in rows:
            scheduler.poke(JobStep(row.id))

    def begin(self, name: str) -> None:
        """A job was submitted."""
        self._poke(JobStep(name))

    def cancel(self, name: str, error: ErrorView | None) -> None:
        """End a job because a person said so. An ended job stays as it is."""
        with self._database.write() as writer:
            state = JobState(writer.run(select(job.c.state).where(job.c.id == name)).scalar_one())
            if state not in ENDED_JOB:
                move_job(writer, name, state, JobEvent.STOPPED, error)
                cancel_open(writer, name)
        self._poke(JobStep(name))

    def _poke(self, key: Hashable) -> None:
        if self._scheduler is not None:
            self._scheduler.poke(key)

    def _heard(self, name: str, party: str) -> None:
        """A party told us something about a job."""
        if self._absence.clear(name, party) and self._scheduler is not None:
            self._scheduler.hurry(lambda key: getattr(key, "party", None) == party)
        self._poke(JobStep(name))

    def _run_errand(self, errand: Any) -> float | None:
        return self._errands.run(errand, lambda name: self._poke(JobStep(name)))

    def _step(self, key: JobStep) -> float | None:
        scheduler = self._scheduler
        if scheduler is None:
            return None
        while True:
            since = scheduler.mark()
            snapshot = self._taken(key.job)
            instructions = step(snapshot.facts)
            if len(instructions) == 1 and isinstance(instructions[0], Move):
                self._move(snapshot, instructions[0])
                continue
            break
        self._note_phase(snapshot)
        waits = [LOOK_AGAIN_S] if self._snapshots.unsure(key.job) else []
        for instruction in instructions:
            if isinstance(instruction, Wake):
                waits.append(instruction.seconds)
            else:
                scheduler.offer(instruction, since)
        for party in _running_parties(snapshot):
            scheduler.offer(Probe(key.job, party), since, PROBE_S)
        if snapshot.facts.closed:
            self._snapshots.forget(key.job)
        return min(waits, default=None)

    def _taken(self, name: str) -> Snapshot:
        """The job as it is now; its time before our start counts once our clock may be believed about it."""
        with self._database.read() as connection:
            snapshot = self._snapshots.take(connection, name)
        if not self._snapshots.unsure(name) or self._own_clock.doubt() is not None:
            return snapshot
        self._snapshots.believe(name)
        with self._database.read() as connection:
            return self._snapshots.take(connection, name)

    def _move(self, snapshot: Snapshot, move: Move) -> None:
        try:
            with self._database.write() as writer:
                carry_out(writer, snapshot.facts, move, self._catalogue)
        except Moved:
            return  # somebody else was first; plan anew
        if isinstance(move, EndAttempt | Finish) and self._scheduler is not None:
            self._scheduler.hurry(lambda key: isinstance(key, Reserve), self._turn)  # room may have become free

    def _turn(self, key: Reserve) -> float:
        """Seconds by which a less urgent job asks for room later."""
        return (MAX_PRIORITY - self._catalogue.priority(key.job)) * PRIORITY_STEP_S

    def _note_phase(self, snapshot: Snapshot) -> None:
        """Time from now on counts against the other limit."""
        now = phase(snapshot.facts)
        if now == snapshot.phase or snapshot.facts.state in ENDED_JOB:
            return
        spent = "ran_ms" if snapshot.phase == "running" else "waited_ms"
        before = snapshot.ran_ms if spent == "ran_ms" else snapshot.waited_ms
        with self._database.write() as writer:
            changes = {"phase": now, "phase_since_ms": writer.now_ms, spent: before + snapshot.elapsed_ms}
            where = (job.c.id == snapshot.facts.job) & (job.c.phase == snapshot.phase)
            writer.run(update(job).where(where).values(changes))

    def _probe(self, key: Probe) -> float | None:
        with self._database.read() as connection:
            snapshot = self._snapshots.take(connection, key.job)
        if key.party not in _running_parties(snapshot):
            return None
        try:
            report = self._parties.probe(key.job, key.party)
        except PlatformError as error:
            if error.code == PartyLeft.code:
                self.cancel(key.job, withdrawn(error.message, key.party))
                return None
            self._absence.note(key.job, key.party, error)
        else:
            with suppress(JobNotRunning):  # the job ended meanwhile
                self.incoming.reports.take(report, key.party)
        self._poke(JobStep(key.job))
        return PROBE_S


def _running_parties(snapshot: Snapshot) -> list[str]:
    if snapshot.facts.state in ENDED_JOB:
        return []
    parties: set[str] = set()
    for attempt in snapshot.facts.attempts.values():
        if attempt.state not in ENDED_ATTEMPT:
            parties.update(attempt.parties(AttemptState.RUNNING))
    return sorted(parties)

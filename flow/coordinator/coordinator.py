"""Leads the jobs that this party submitted: take a snapshot, plan, make transitions, call parties; again when woken."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from flow.coordinator.absence import Absence
from flow.coordinator.actions import Actions
from flow.coordinator.apply_plan import PlanApplier, next_transition, phase_ends
from flow.coordinator.attempt_calls import AttemptCalls
from flow.coordinator.incoming import Incoming, forgotten, withdrawn
from flow.coordinator.party_calls import PartyCalls
from flow.coordinator.pausing import continue_job, pause_job
from flow.coordinator.plan import (
    End,
    JobSnapshot,
    Open,
    Propose,
    Publish,
    Reserve,
    Start,
    Stop,
    TellPause,
    Wake,
    step,
)
from flow.coordinator.snapshot import Snapshots
from flow.errors import JobNotRunning, Moved, PartyLeft, UnknownJob
from flow.job.states import ENDED_ATTEMPT, ENDED_JOB, AttemptState, JobEvent
from flow.pauses import HURRIED, Pauses
from flow.rooms.clock_evidence import LOOK_AGAIN_S
from flow.rooms.own_clock import OwnClock
from flow.rooms.peer_calls import PeerCalls
from flow.rooms.ports import GatewayPort
from flow.rooms.stalls import Stalls
from flow.scheduler import Handler, Scheduler
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.tables import job
from flow.store.transitions import end_job
from flow.views.jobs import ErrorView
from runtime.errors import PlatformError


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
        self,
        party: str,
        database: Database,
        catalogue: Catalogue,
        gateway: GatewayPort,
        scheduler: Scheduler,
        pauses: Pauses,
        stalls: Stalls,
    ) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._snapshots = Snapshots(database, catalogue, stalls)
        self._own_clock = OwnClock(database.clock, gateway)
        self._absence = Absence(database)
        self._applier = PlanApplier(database, self._snapshots, catalogue, self._freed)
        peers = PeerCalls(gateway, database)
        self._parties = PartyCalls(database, catalogue, peers, self._absence, self._applier, gateway.verify)
        attempts = AttemptCalls(database, peers, self._absence, self._applier, pauses, self._ahead)
        self._actions = Actions(database, self._snapshots, self._absence, self._parties, attempts, pauses)
        self.incoming = Incoming(party, database, catalogue, self._applier, gateway.verify, self._heard, stalls)
        self._scheduler = scheduler
        self._pauses = pauses

    def handlers(self) -> Mapping[type, Handler]:
        """What the scheduler runs for us."""
        actions = (Propose, Open, TellPause, Reserve, Start, Stop, Publish, End)
        found: dict[type, Handler] = dict.fromkeys(actions, self._run_action)
        return {**found, JobStep: self._step, Probe: self._probe}

    def start(self) -> None:
        """Take up every job that is not over and cleaned up."""
        self._absence.recover()
        with self._database.read() as connection:
            rows = connection.execute(
                select(job.c.id).where(job.c.initiator == self._party, job.c.closed.is_(False))
            ).all()
        for row in rows:
            self.begin(row.id)

    def begin(self, job_id: str) -> None:
        """There is something to do for a job."""
        self._scheduler.poke(JobStep(job_id))

    def cancel(self, job_id: str, error: ErrorView | None) -> None:
        """End a job because a person said so. An ended job stays as it is."""
        with self._database.write() as writer:
            end_job(writer, job_id, JobEvent.STOPPED, error)
        self.begin(job_id)

    def _fail(self, job_id: str, error: ErrorView) -> None:
        with self._database.write() as writer:
            end_job(writer, job_id, JobEvent.FAILED, error)
        self.begin(job_id)

    def pause(self, job_id: str) -> None:
        """Pause a job because a person said so. Raises NotPausable."""
        with self._applier.write(job_id) as writer:
            pause_job(writer, job_id)
            writer.after_commit(self._freed)
        self.begin(job_id)

    def go_on(self, job_id: str) -> None:
        """Let a paused job go on. Raises NotPausable."""
        with self._applier.write(job_id) as writer:
            continue_job(writer, job_id)
        self.begin(job_id)

    def _heard(self, job_id: str, party: str) -> None:
        """A party told us something about a job."""
        if self._absence.clear(job_id, party):
            self._scheduler.hurry(lambda key: getattr(key, "party", None) == party)
        self.begin(job_id)

    def _run_action(self, action: Any) -> float | None:
        return self._actions.run(action, self.begin)

    def _step(self, key: JobStep) -> float | None:
        scheduler = self._scheduler
        while True:
            since = scheduler.mark()
            snapshot = self._taken(key.job)
            if next_transition(snapshot) is None:
                break
            with suppress(Moved), self._applier.write(key.job):  # somebody else was first: plan anew
                pass
        if phase_ends(snapshot):
            with self._database.write() as writer:
                self._applier.note_phase(writer, snapshot)
        instructions = step(snapshot)
        waits = [LOOK_AGAIN_S] if self._snapshots.unsure(key.job) else []
        for instruction in instructions:
            if isinstance(instruction, Wake):
                waits.append(instruction.seconds)
            else:
                scheduler.offer(instruction, since)
        for party in _running_parties(snapshot):
            scheduler.offer(Probe(key.job, party), since, self._probe_s())
        if snapshot.closed:
            self._snapshots.forget(key.job)
        return min(waits, default=None)

    def _taken(self, job_id: str) -> JobSnapshot:
        """The job as it is now; its time before our start counts once our clock may be believed about it."""
        snapshot = self._snapshots.take(job_id)
        if not self._snapshots.unsure(job_id) or self._own_clock.doubt() is not None:
            return snapshot
        self._snapshots.believe(job_id)
        return self._snapshots.take(job_id)

    def _freed(self) -> None:
        """Room may have become free: who is first asks at once, the rest in its time."""
        self._scheduler.hurry_first(lambda key: isinstance(key, Reserve), self._turn, HURRIED)

    def _ahead(self, key: Reserve) -> int:
        turn = self._turn(key)
        return self._scheduler.count(lambda other: isinstance(other, Reserve) and self._turn(other) < turn)

    def _turn(self, key: Reserve) -> tuple[int, str]:
        return -self._catalogue.priority(key.job), key.job

    def _probe(self, key: Probe) -> float | None:
        if key.party not in _running_parties(self._snapshots.take(key.job)):
            return None
        try:
            report = self._parties.probe(key.job, key.party)
        except PlatformError as error:
            if error.code == PartyLeft.code:
                self.cancel(key.job, withdrawn(error.message, key.party))
                return None
            if error.code == UnknownJob.code:
                self._fail(key.job, forgotten(key.party))
                return None
            self._absence.note(key.job, key.party, error)
        else:
            with suppress(JobNotRunning):  # the job ended meanwhile
                self.incoming.reports.take(report, key.party)
        self.begin(key.job)
        return self._probe_s()

    def _probe_s(self) -> float:
        return self._pauses.next_probe_s(self._scheduler.count(lambda key: isinstance(key, Probe)))


def _running_parties(snapshot: JobSnapshot) -> list[str]:
    if snapshot.state in ENDED_JOB:
        return []
    parties: set[str] = set()
    for attempt in snapshot.attempts.values():
        if attempt.state not in ENDED_ATTEMPT:
            parties.update(attempt.parties(AttemptState.RUNNING))
    return sorted(parties)

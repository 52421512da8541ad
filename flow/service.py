"""Flow as one object: what REST, the CLI and the board may ask of it.

It joins the store, the scheduler, the coordinator of our own jobs and the participant in everybody's jobs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from algorithms.registry import component
from flow.cleaning import Cleaning
from flow.coordinator.coordinator import Coordinator
from flow.coordinator.dry_run import DryRuns
from flow.coordinator.history import Histories
from flow.coordinator.submission import Submissions, Verdict
from flow.errors import JobInvalid, NotInitiator
from flow.hook import CallHook, Hook, HookCalls, hook_of
from flow.job.binding import Components
from flow.job.overrides import Changes
from flow.job.rerunning import cloned, rerun
from flow.lost_stores.missing import FindMissing, MissingExecutors
from flow.lost_stores.reconciling import AskLeader, Reconcile, Reconciling
from flow.participant.attempts import Attempts
from flow.participant.checkpoint_retention import CheckpointRetention, Sweep
from flow.participant.executor_events import EventReader
from flow.participant.job_closing import JobClosing
from flow.participant.leaving import Leaving, Limit
from flow.participant.pausing import Pausing
from flow.participant.proposals import Proposals
from flow.participant.report_sender import Delivery, ReportSender
from flow.participant.restarts import LookAtHosts, Restart, Restarts
from flow.participant.weighing import Weighing
from flow.pauses import Pauses
from flow.policy_book import PolicyBook
from flow.protocol.policy import NO_USER, Stance
from flow.protocol.resuming import resumed
from flow.rooms.holdings import Holdings
from flow.rooms.looks import Look, Looks, Tell
from flow.rooms.own_clock import OwnClock
from flow.rooms.peer_calls import PeerCalls
from flow.rooms.ports import Rooms
from flow.rooms.stalls import Stalls
from flow.scheduler import Scheduler
from flow.servicer import FlowServicer
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.notes import add_note
from flow.store.proposal_limits import count_refused_by_policy, listed
from flow.store.queries import Reader, part_state
from flow.store.tables import health
from flow.store.waiting import restarts
from flow.views.cleaning import Cleaned
from flow.views.dry_run import DryRunView
from flow.views.history import HistoryView
from flow.views.jobs import EventRow, JobSummary, JobView, LogRow, MetricRow, OutputRow, ProgressRow, ProposalView
from flow.views.why import why
from gateway.client import CallServer
from party.home import PartyHome
from party.ids import JobId
from party.settings import KEEP_CHECKPOINTS_S, PolicySettings
from party.users import Thing, User, Verb, may
from runtime.clock import Apart, Clock, SystemClock
from runtime.errors import PlatformError


@dataclass(frozen=True)
class FlowConfig:
    """Who we are, what we agree to, whom we know, where we remember."""

    party: str
    database_url: str
    policy: Callable[[], PolicySettings]
    parties: Callable[[], Iterable[str]]
    lapsed: Callable[[], Mapping[str, PlatformError]] = dict
    components: Components = component
    keep_checkpoints_s: int = KEEP_CHECKPOINTS_S
    hook: Hook | None = None
    pauses: Pauses = field(default_factory=Pauses)


class FlowService:
    """One party's Flow. Thread-safe; every method may be called from any thread."""

    def __init__(self, config: FlowConfig, rooms: Rooms, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        party = config.party
        self._party = party
        self._gateway = rooms.gateway
        self._database = database = Database(config.database_url, clock)
        self._reader = Reader(party, config.components)
        self._scheduler = scheduler = Scheduler()
        self._hook = HookCalls(party, database, config.hook, lambda: scheduler.poke(CallHook()))
        catalogue = Catalogue(config.components)
        self._held = held = Holdings(party, database, catalogue, rooms.store)
        stalls = Stalls(database)
        self._coordinator = Coordinator(party, database, catalogue, rooms.gateway, scheduler, config.pauses, stalls)
        self._looks = Looks(party, database, rooms, stalls, scheduler, self._coordinator.begin)
        doubt = OwnClock(clock, rooms.gateway).doubt
        self._retention = retention = CheckpointRetention(
            party, database, catalogue, rooms.store, config.keep_checkpoints_s, doubt
        )
        stance = Stance(party, config.policy, config.parties)
        weighing = Weighing(stance, database, catalogue, rooms, held, retention)
        self._proposals = Proposals(weighing, database, catalogue, rooms.gateway, scheduler)
        self._submissions = Submissions(party, database, catalogue, held, config.parties, config.lapsed, weighing)
        peers = PeerCalls(rooms.gateway, database)
        self._dry_runs = DryRuns(party, database, catalogue, peers, weighing)
        self._histories = Histories(party, database, self._reader, peers)
        locks, allowed = self._proposals.locks, self._proposals.require_allowed
        attempts = Attempts(party, database, catalogue, rooms, locks, allowed, config.policy)
        self._leaving = Leaving(party, database, catalogue, rooms, retention, locks, scheduler)
        self._sender = ReportSender(stance, database, rooms, self._leaving.clear, scheduler, config.pauses)
        self._cleaning = Cleaning(database, rooms.store, retention, held, locks)
        pausing = Pausing(party, database, rooms.cluster, locks)
        self._closing = JobClosing(stance, database, rooms, retention, self._leaving, locks)
        self._servicer = FlowServicer(
            database, self._proposals, attempts, pausing, self._closing, self._coordinator.incoming, self._histories
        )
        self._restarts = Restarts(party, database, attempts, rooms, locks, self._sender.due, scheduler)
        heard = self._looks.hearing(self._sender.due)
        self._events = EventReader(party, database, rooms.cluster, heard, self._restarts.due, config.pauses)
        self._reconciling = Reconciling(party, database, catalogue, rooms, locks, self._leaving, scheduler)
        self._missing = MissingExecutors(database, rooms.cluster, self._events)
        self._subscription: CallServer | None = None

    @classmethod
    def open(cls, home: PartyHome, policy: PolicyBook, rooms: Rooms) -> FlowService:
        """Flow of a party's home and policy; call `start` next.

        Raises:
            FileExposed: Others may read the file with the database's address.
            BadSettings, BadDatabase, StoreUnavailable: The database cannot be used.
        """
        settings = home.settings
        config = FlowConfig(
            party=settings.party,
            database_url=home.database_url(),
            policy=policy.settings,
            parties=lambda: (settings.party, *home.trusted()),
            lapsed=home.lapsed,
            keep_checkpoints_s=settings.flow.keep_checkpoints_s,
            hook=hook_of(home),
        )
        return cls(config, rooms)

    def start(self) -> None:
        """Subscribe to the gateway and the Cluster Manager, take up unfinished jobs."""
        self._proposals.start()
        self._scheduler.start(
            {
                **self._coordinator.handlers(),
                Delivery: self._sender.deliver,
                Limit: self._leaving.check,
                Restart: self._restarts.carry_out,
                Reconcile: self._reconciling.look,
                AskLeader: self._reconciling.ask,
                FindMissing: self._missing.look,
                LookAtHosts: self._restarts.look,
                Sweep: self._retention.sweep,
                CallHook: self._hook.carry_out,
                Look: self._looks.look,
                Tell: self._looks.tell,
            }
        )
        for each in (self._coordinator, self._sender, self._leaving, self._restarts, self._hook):
            each.start()
        for key in (Sweep(), CallHook(), Reconcile(), FindMissing(), Look()):
            self._scheduler.poke(key)
        self._events.start()
        self._subscription = self._gateway.serve_calls(self._servicer.answer)

    def close(self, grace_s: float = 5.0) -> None:
        """Finish what is being written, then let go; jobs go on from the store at the next start."""
        if self._subscription is not None:
            self._subscription.stop()
            self._subscription = None
            self._events.close(grace_s)
            self._scheduler.close()
        self._database.close()

    # -- people ------------------------------------------------------------------------------------------------------
    def submit(self, spec_json: bytes, *, user: User, submit_token: str | None = None) -> JobId:
        """Store a job and begin. The same token with the same job gives the same id.

        Raises:
            JobInvalid: With every problem and its path; nothing is stored.
            UnknownSchema: The job is of another version.
            TokenReused: The token belongs to another job.
            DataNotYours: It would read what belongs to another user.
            Denied: The user may not submit.
        """
        may(user, Verb.SUBMIT, "job")
        name, is_new = self._submissions.submit(spec_json, user, submit_token)
        if is_new:
            self._coordinator.begin(name)
        return name

    def resume(self, job: str, changes: Changes, *, user: User, submit_token: str | None = None) -> JobId:
        """Submit a job again, with other parameters, to go on from its checkpoints. Raises what `submit` raises."""
        may(user, Verb.READ, Thing("job", job))
        spec = resumed(self.job(job).spec, job, changes)
        return self.submit(json.dumps(spec).encode(), user=user, submit_token=submit_token)

    def clone(
        self, job: str, changes: Changes, *, user: User, first: str = "", submit_token: str | None = None
    ) -> tuple[JobId, list[str]]:
        """Submit a job once more, with other parameters; from the task `first` on if one is named.

        Returns:
            The new job's id, and the tasks that it takes as they are.

        Raises:
            UnknownJob: There is no such job.
            JobInvalid: There is no such task, and whatever else `submit` raises.
        """
        may(user, Verb.READ, Thing("job", job))
        view = self.job(job)
        spec, reused = cloned(view.spec, changes), list[str]()
        if first:
            kept = self._held.unchanged(job, (task.name for task in view.tasks if task.published))
            spec, reused = rerun(view.spec, job, first, kept, changes)
        return self.submit(json.dumps(spec).encode(), user=user, submit_token=submit_token), reused

    def note(self, job: str, user: User, text: str) -> None:
        """Note something on a job, for our own people. Raises UnknownJob, TooManyNotes."""
        may(user, Verb.NOTE, Thing("job", job))
        self.job(job)
        with self._database.write() as writer:
            add_note(writer, job, user.name, text)

    def validate(self, spec_json: bytes, *, user: User) -> Verdict:
        """What this party would answer to a job.json of this user, and every problem of it that it can see."""
        return self._submissions.validate(spec_json, user)

    def dry_run(self, spec_json: bytes, *, user: User) -> DryRunView:
        """What every party would answer to a job, what it would run where, send and take; no job is made of it."""
        try:
            draft = self._submissions.draft(spec_json, user)
        except JobInvalid as error:
            return DryRunView(problems=tuple(asdict(problem) for problem in error.problems))
        return self._dry_runs.run(draft)

    def stop(self, job: str, user: User) -> None:
        """Cancel a job everywhere; a party that does not lead it leaves it. Ended jobs stay as they are."""
        with self._database.read() as connection:
            row = self._reader.row(connection, job)
        owner = row.user_name if row.initiator == self._party else ""
        may(user, Verb.STOP, Thing("job", job, owner))
        if row.initiator == self._party:
            self._coordinator.cancel(job, None)
        else:
            self._leaving.leave(job, f"Stopped by {user.name}.", told=f"Stopped by a person of {self._party}.")

    def pause(self, job: str, user: User) -> None:
        """Pause a job that we lead: its room is free for others until it goes on. Raises NotInitiator, NotPausable."""
        self._may_hold(job, user)
        self._coordinator.pause(job)

    def go_on(self, job: str, user: User) -> None:
        """Let a paused job go on, from its newest checkpoints. Raises NotInitiator, NotPausable."""
        self._may_hold(job, user)
        self._coordinator.go_on(job)

    def _may_hold(self, job: str, user: User) -> None:
        with self._database.read() as connection:
            row = self._reader.row(connection, job)
        if row.initiator != self._party:
            hint = f"Ask {row.initiator}; 'flow job stop {job}' leaves it, at once and for good."
            raise NotInitiator(f"Job {job} is led by {row.initiator}, which alone can pause it.", hint=hint)
        may(user, Verb.STOP, Thing("job", job, row.user_name))

    def approve(self, job: str, user: User, digest: str, note: str = "") -> None:
        """Agree to a job that waits for a person of this party, as it was shown under the digest of its proposal.

        The note is kept for people of this party.

        Raises:
            NotAskedForApproval: It does not wait for a person here.
            ProposalChanged: Something else would be shown now.
        """
        may(user, Verb.APPROVE, Thing("job", job))
        self._proposals.approve(job, user.name, digest, note)

    def refuse(self, job: str, user: User, reason: str = "", note: str = "") -> None:
        """Refuse a job that waits for a person of this party; all parties are told the reason, ours alone the note.

        Raises NotAskedForApproval.
        """
        may(user, Verb.APPROVE, Thing("job", job))
        self._proposals.refuse(job, user.name, reason, note)

    def proposal(self, job: str) -> ProposalView:
        """What a person decides about: inputs, parameters, what leaves, who learns what. Raises UnknownJob."""
        return self._proposals.show(job)

    # -- views -------------------------------------------------------------------------------------------------------
    def jobs(self, limit: int = 50, state: str | None = None, before: str = "", every: bool = True) -> list[JobSummary]:
        """The newest jobs first, of those older than the job `before` if one is named; which, says `listed`."""
        only = listed(self._party, state, every=every)
        with self._database.read() as connection:
            return [self._looks.with_waits(line) for line in self._reader.jobs(connection, limit, only, before)]

    def refused_by_policy(self) -> int:
        """How many proposals of others are kept here that our policy refused."""
        with self._database.read() as connection:
            return count_refused_by_policy(connection, self._party)

    def job(self, job: str) -> JobView:
        """One job. Raises UnknownJob."""
        with self._database.read() as connection:
            return self._looks.with_waits(self._reader.job(connection, job))

    def why(self, job: str, gateway_down: str = "") -> list[str]:
        """How far it is, what it waits for, how it ended; a gateway that is down is not asked. Raises UnknownJob."""
        with self._database.read() as connection:
            view, state = self._looks.with_waits(self._reader.job(connection, job)), part_state(connection, job)
            again = restarts(connection, job)
        return why(view, state, self._looks.links(gateway_down), self._sender.postponed(job), again)

    def clocks_apart(self) -> dict[str, Apart]:
        """How far the clocks of other parties were from ours in their last messages, where that is too far."""
        return self._database.clocks_apart()

    def metrics(self, job: str, task: str | None = None, since: int = 0) -> list[MetricRow]:
        """Metrics with an id above `since`, oldest first. Raises UnknownJob."""
        with self._database.read() as connection:
            self._reader.row(connection, job)
            return self._reader.metrics(connection, job, task, since)

    def latest_metrics(self, job: str) -> list[MetricRow]:
        """Of each metric of each address in each task the number that came last. Raises UnknownJob."""
        with self._database.read() as connection:
            self._reader.row(connection, job)
            return self._reader.latest_metrics(connection, job)

    def logs(self, job: str, task: str | None = None, since: int = 0, newest: int | None = None) -> list[LogRow]:
        """Log lines with an id above `since`, or of those the newest few, oldest first. Raises UnknownJob."""
        with self._database.read() as connection:
            self._reader.row(connection, job)
            return self._reader.logs(connection, job, task, since, newest)

    def owner_of_outputs(self, job: str) -> str:
        """Whose it is what a job made: who submitted it; of another party's job, who owns what it read of ours.

        Empty: nobody's. `NO_USER` if it is of several users, or if the job is not known.
        """
        return self._held.owner_of_outputs(job)

    def clean(self, older_s: float, user: User, *, outputs: bool, dry_run: bool, after: str = "") -> Cleaned:
        """Delete what is kept of jobs that ended so long ago, of some at a time; see `flow.cleaning`."""
        may(user, Verb.CLEAN, "job")
        for kind in ("table", "model") if outputs else ():
            may(user, Verb.DELETE, Thing(kind, "of every job", NO_USER))
        return self._cleaning.clean(older_s, user.name, outputs=outputs, dry_run=dry_run, after=after)

    def refuse_needed(self, references: Iterable[str], *, is_table: bool) -> None:
        """Raise InUse, naming the job, if one that is not over needs one of these tables or models."""
        self._held.refuse_needed(references, is_table=is_table)

    def outputs(self, job: str) -> list[OutputRow]:
        """Published outputs that this party knows of. Raises UnknownJob."""
        with self._database.read() as connection:
            self._reader.row(connection, job)
            return self._reader.outputs(connection, job)

    def progress(self, job: str) -> list[ProgressRow]:
        """How far each side is. Raises UnknownJob."""
        with self._database.read() as connection:
            self._reader.row(connection, job)
            return self._reader.progress(connection, job)

    def events(
        self, job: str | None = None, since: int = 0, limit: int = 1000, *, with_metrics: bool = False
    ) -> list[EventRow]:
        """Events with an id above `since`, oldest first; those of one job with the numbers they tell of if asked."""
        with self._database.read() as connection:
            rows = self._reader.events(connection, job, since, limit)
            return self._reader.with_metrics(connection, job, rows) if job and with_metrics else rows

    def moves(self, job: str, newest: int) -> list[EventRow]:
        """The newest few events of a job that tell of more than rows that were recorded. Raises UnknownJob."""
        with self._database.read() as connection:
            self._reader.row(connection, job)
            return self._reader.moves(connection, job, newest)

    def history(self, job: str, party: str = "", after: str = "", limit: int = 1000) -> HistoryView:
        """What happened to a job, at every party as far as they tell it, in one order. Raises UnknownJob."""
        return self._histories.history(job, party, after, limit)

    def try_database(self) -> str:
        """Write one row. Raises StoreUnavailable."""
        with self._database.write() as writer:
            writer.put(health, {"id": 1, "tried_ms": writer.now_ms})
        return self._database.dialect

    def wait_events(self, since: int, timeout_s: float) -> int:
        """Block until an event with an id above `since` exists or the time is over; the newest event id."""
        return self._database.wait_events(since, timeout_s)

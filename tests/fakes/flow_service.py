"""A Flow that lives in memory: it keeps jobs, moves them when a test says so, and wakes whoever waits for events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from hashlib import sha256

from flow.coordinator.submission import Verdict
from flow.errors import (
    InUse,
    JobInvalid,
    NotAskedForApproval,
    NotPausable,
    Problem,
    ProposalChanged,
    TokenReused,
    UnknownJob,
)
from flow.job.overrides import Changes
from flow.job.rerunning import cloned, rerun
from flow.job.states import ENDED_JOB, AttemptState, JobState
from flow.protocol.messages import Decision
from flow.protocol.policy import NO_USER
from flow.service import FlowService
from flow.views.cleaning import Cleaned, CleanedJob
from flow.views.dry_run import DryRunView
from flow.views.history import HistoryView, Past, history
from flow.views.jobs import (
    MOST_ROWS,
    AttemptView,
    ErrorView,
    EventRow,
    JobSummary,
    JobView,
    LogRow,
    MetricRow,
    NoteView,
    OutputRow,
    PartyView,
    ProgressRow,
    ProposalView,
    SideView,
    TaskView,
    Waiting,
)
from party.ids import JobId, new_job_id
from party.users import User
from runtime.clock import Apart, HybridTime
from runtime.errors import PlatformError

START_MS = 1_800_000_000_000
DIGEST = "c0ffee" * 10 + "beef"


class FakeFlowService(FlowService):
    """Every view of a FlowService over dictionaries."""

    def __init__(self) -> None:
        self._bell = threading.Condition()
        self._jobs: dict[str, JobView] = {}
        self._tokens: dict[str, tuple[str, bytes]] = {}
        self._events: list[EventRow] = []
        self.most_rows = MOST_ROWS
        self._metrics: dict[str, list[MetricRow]] = {}
        self._logs: dict[str, list[LogRow]] = {}
        self._outputs: dict[str, list[OutputRow]] = {}
        self._progress: dict[str, dict[str, ProgressRow]] = {}
        self.proposals: dict[str, ProposalView] = {}
        self.would = DryRunView()
        self.by_policy: set[str] = set()  # jobs that the policy refused
        self.reasons: dict[str, list[str]] = {}
        self.cleaned: list[tuple[CleanedJob, ...]] = []  # by answer
        self.needed: dict[str, str] = {}  # by table or model: a job that is not over
        self.broken: PlatformError | None = None
        self.closed = False
        self.now_ms = START_MS

    def start(self) -> None:
        pass

    def clocks_apart(self) -> dict[str, Apart]:
        return {}

    def close(self, grace_s: float = 5.0) -> None:
        self.closed = True

    # -- people
    def submit(self, spec_json: bytes, *, user: User, submit_token: str | None = None) -> JobId:
        problems = self.validate(spec_json, user=user).problems
        if problems:
            raise JobInvalid(problems)
        if submit_token in self._tokens:
            job, known = self._tokens[submit_token]
            if known != spec_json:
                raise TokenReused("Another job was submitted with this token.", hint="Use another token.")
            return JobId(job)
        spec = json.loads(spec_json)
        job = new_job_id()
        if submit_token:
            self._tokens[submit_token] = (job, spec_json)
        parties: dict[str, list[str]] = {}
        for role, names in spec["roles"].items():
            for name in names:
                parties.setdefault(name, []).append(role)
        view = JobView(
            id=job,
            name=spec["name"],
            initiator=spec["initiator"],
            user=user.name,
            state=JobState.WAITING,
            submitted_ms=self.now_ms,
            tasks_total=len(spec["tasks"]),
            parties=tuple(PartyView(party=p, roles=tuple(r), decision="") for p, r in sorted(parties.items())),
            tasks=tuple(
                TaskView(name=name, component=task["component"], state="waiting")
                for name, task in spec["tasks"].items()
            ),
            spec=spec,
        )
        with self._bell:
            self._jobs[job] = view
        self.event("job.waiting", job)
        return job

    def validate(self, spec_json: bytes, *, user: User) -> Verdict:
        problems = tuple(self._problems(spec_json))
        if problems:
            return Verdict(Decision.REFUSE, problems)
        spec = json.loads(spec_json)
        parties = sorted({name for names in spec["roles"].values() for name in names} - {spec["initiator"]})
        return Verdict(Decision.AGREE, others=tuple(parties))

    def dry_run(self, spec_json: bytes, *, user: User) -> DryRunView:
        found = self.validate(spec_json, user=user)
        if found.problems:
            return DryRunView(problems=tuple(vars(problem) for problem in found.problems))
        return self.would.model_copy(update={"name": json.loads(spec_json)["name"]})

    def _problems(self, spec_json: bytes) -> list[Problem]:
        try:
            spec = json.loads(spec_json)
        except (ValueError, RecursionError) as error:
            return [Problem(path="", message=f"The job is not JSON: {error}.")]
        return [
            Problem(
                path=f"tasks.{name}.component",
                message=f"'{task['component']}' is not a component.",
                hint="Did you mean 'homo_lr@1'?",
            )
            for name, task in spec["tasks"].items()
            if task["component"].startswith("homo_lrr")
        ]

    def stop(self, job: str, user: User) -> None:
        if self.job(job).state not in ENDED_JOB:
            self.move(job, JobState.CANCELLED)

    def pause(self, job: str, user: User) -> None:
        if self.job(job).state is not JobState.RUNNING:
            raise NotPausable(f"Job {job} is {self.job(job).state}; only one that runs can be paused.")
        self.move(job, JobState.PAUSED)

    def go_on(self, job: str, user: User) -> None:
        self.move(job, JobState.RUNNING)

    def clone(
        self, job: str, changes: Changes, *, user: User, first: str = "", submit_token: str | None = None
    ) -> tuple[JobId, list[str]]:
        view = self.job(job)
        spec, reused = cloned(view.spec, changes), []
        if first:
            finished = [task.name for task in view.tasks if task.published]
            spec, reused = rerun(view.spec, job, first, finished, changes)
        return self.submit(json.dumps(spec).encode(), user=user, submit_token=submit_token), reused

    def note(self, job: str, user: User, text: str) -> None:
        note = NoteView(user=user.name, at_ms=self.now_ms, text=text)
        self.change(job, notes=(*self.job(job).notes, note))

    def approve(self, job: str, user: User, digest: str, note: str = "") -> None:
        if self.job(job).state is not JobState.WAITING:
            raise NotAskedForApproval(f"Job {job} does not wait for you.")
        if self.proposal(job).digest != digest:
            raise ProposalChanged(job)
        self._decided(job, user, note)
        self.move(job, JobState.AGREED)

    def refuse(self, job: str, user: User, reason: str = "", note: str = "") -> None:
        if self.job(job).state is not JobState.WAITING:
            raise NotAskedForApproval(f"Job {job} does not wait for you.")
        self._decided(job, user, note)
        self.move(job, JobState.REFUSED, error=ErrorView(code="flow.job_refused", message=reason or "No."))

    def _decided(self, job: str, user: User, note: str) -> None:
        by = {"by": user.name, "note": note}
        parties = [p.model_copy(update=by if p.party == "hospital-a" else {}) for p in self._jobs[job].parties]
        self.change(job, parties=tuple(parties))

    # -- views
    def jobs(self, limit: int = 50, state: str | None = None, before: str = "", every: bool = True) -> list[JobSummary]:
        jobs = [j for j in reversed(self._jobs.values()) if not before or j.id < before]
        jobs = [j for j in jobs if every or j.id not in self.by_policy]
        found = [j for j in jobs if state is None or j.state == state]
        fields = set(JobSummary.model_fields)
        return [JobSummary.model_validate(j.model_dump(include=fields)) for j in found[:limit]]

    def refused_by_policy(self) -> int:
        return len(self.by_policy)

    def job(self, job: str) -> JobView:
        if self.broken is not None:
            raise self.broken
        if job not in self._jobs:
            raise UnknownJob(f"There is no job '{job}' here.", hint="See 'flow job list'.")
        newest = max((event.id for event in self._events if event.job == job), default=0)
        return self._jobs[job].model_copy(update={"last_event": newest})

    def why(self, job: str, gateway_down: str = "") -> list[str]:
        self.job(job)
        return [*self.reasons.get(job, []), *filter(None, [gateway_down])]

    def proposal(self, job: str) -> ProposalView:
        view = self.job(job)
        place = {"job": job, "name": view.name, "initiator": view.initiator, "user": view.user, "party": "hospital-a"}
        waits = any(waiting.what == "person" for waiting in view.waiting_for)
        made = ProposalView(**place, submitted_ms=view.submitted_ms, roles={}, components={}, waits=waits)
        shown = self.proposals.get(job, made)
        seen = shown.model_dump_json(exclude={"waits", "digest"})
        return shown.model_copy(update={"digest": sha256(seen.encode()).hexdigest()})

    def metrics(self, job: str, task: str | None = None, since: int = 0) -> list[MetricRow]:
        self.job(job)
        return [r for r in self._metrics.get(job, []) if r.id > since and task in (None, r.task)][: self.most_rows]

    def latest_metrics(self, job: str) -> list[MetricRow]:
        last = {(row.task, row.party, row.role, row.name): row for row in self.metrics(job)}
        return sorted(last.values(), key=lambda row: row.id)

    def logs(self, job: str, task: str | None = None, since: int = 0, newest: int | None = None) -> list[LogRow]:
        self.job(job)
        rows = [r for r in self._logs.get(job, []) if r.id > since and task in (None, r.task)]
        return rows[: self.most_rows] if newest is None else rows[-newest:]

    def owner_of_outputs(self, job: str) -> str:
        view = self._jobs.get(job)
        return NO_USER if view is None else view.user if view.initiator == "hospital-a" else ""

    def clean(self, older_s: float, user: User, *, outputs: bool, dry_run: bool, after: str = "") -> Cleaned:
        return Cleaned(jobs=self.cleaned.pop(0), after="next" if self.cleaned else "") if self.cleaned else Cleaned()

    def refuse_needed(self, references: Iterable[str], *, is_table: bool) -> None:
        for reference in references:
            if reference in self.needed:
                raise InUse(f"{reference} is needed by job {self.needed[reference]}, which is not over.")

    def outputs(self, job: str) -> list[OutputRow]:
        self.job(job)
        return self._outputs.get(job, [])

    def progress(self, job: str) -> list[ProgressRow]:
        self.job(job)
        return list(self._progress.get(job, {}).values())

    def events(
        self, job: str | None = None, since: int = 0, limit: int = 1000, *, with_metrics: bool = False
    ) -> list[EventRow]:
        with self._bell:
            found = [e for e in self._events[since:] if job in (None, e.job)][:limit]
        return found if with_metrics else [e.model_copy(update={"metrics": ()}) for e in found]

    def moves(self, job: str, newest: int) -> list[EventRow]:
        self.job(job)
        return [e for e in self.events(job) if not e.kind.endswith("recorded")][-newest:]

    def history(self, job: str, party: str = "", after: str = "", limit: int = 1000) -> HistoryView:
        past = Past(tuple(self.moves(job, MOST_ROWS)))
        return history({"hospital-a": past}, 1 << 43, party, after, limit)

    def try_database(self):
        return "fake"

    def wait_events(self, since: int, timeout_s: float) -> int:
        with self._bell:
            self._bell.wait_for(lambda: len(self._events) > since, timeout_s)
            return len(self._events)

    # -- what tests do
    def event(self, kind: str, job: str, **more: object) -> None:
        with self._bell:
            hlc = str(HybridTime(self.now_ms, len(self._events)))
            self._events.append(EventRow(id=len(self._events) + 1, hlc=hlc, kind=kind, job=job, **more))
            self._bell.notify_all()

    def change(self, job: str, **fields: object) -> None:
        with self._bell:
            self._jobs[job] = self._jobs[job].model_copy(update=fields)

    def move(self, job: str, state: JobState, **fields: object) -> None:
        if state in ENDED_JOB:
            fields.setdefault("ended_ms", self.now_ms)
        if state is JobState.RUNNING:
            fields.setdefault("started_ms", self.now_ms)
        self.change(job, state=state, **fields)
        self.event(f"job.{state}", job)

    def attempt(self, job: str, task: str, state: AttemptState, **side: object) -> None:
        view = self._jobs[job]
        addresses = sorted((p.party, role) for p in view.parties for role in p.roles)
        sides = tuple(
            SideView(
                address=f"{role}:{party}",
                party=party,
                role=role,
                state=state,
                started_ms=self.now_ms,
                ended_ms=None if state is AttemptState.RUNNING else self.now_ms,
                **side,
            )
            for party, role in addresses
        )
        tried = AttemptView(attempt=1, state=state, created_ms=self.now_ms, started_ms=self.now_ms, sides=sides)
        done = state is AttemptState.SUCCEEDED
        tasks = tuple(
            t.model_copy(update={"state": str(state), "attempts": (tried,), "published": done}) if t.name == task else t
            for t in view.tasks
        )
        self.change(job, tasks=tasks, tasks_done=sum(t.published for t in tasks))
        self.event(f"attempt.{state}", job, task=task, attempt=1)
        if done:
            self.event("task.published", job, task=task, attempt=1)

    def metric(self, job: str, task: str, party: str, step: int, *, role: str = "guest", **values: float) -> None:
        rows = self._metrics.setdefault(job, [])
        for name, value in values.items():
            rows.append(
                MetricRow(
                    id=len(rows) + 1,
                    task=task,
                    attempt=1,
                    party=party,
                    role=role,
                    name=name,
                    step=step,
                    value=value,
                    at_ms=self.now_ms,
                )
            )
        told = tuple(rows[-len(values) :])
        self.event("metrics.recorded", job, task=task, attempt=1, party=party, metrics=told)

    def log(self, job: str, task: str, party: str, text: str, level: str = "info") -> None:
        rows = self._logs.setdefault(job, [])
        rows.append(
            LogRow(
                id=len(rows) + 1,
                task=task,
                attempt=1,
                party=party,
                role="guest",
                incarnation=1,
                sequence=len(rows),
                at_ms=self.now_ms,
                level=level,
                text=text,
            )
        )
        self.event("logs.recorded", job, task=task, attempt=1, party=party)

    def output(
        self, job: str, task: str, party: str, name: str, kind: str, reference: str, digest: str = DIGEST
    ) -> None:
        row = OutputRow(task=task, party=party, role="guest", name=name, kind=kind, reference=reference, digest=digest)
        self._outputs.setdefault(job, []).append(row)

    def play(self, job: str, *, rounds: int = 4, pause_s: float = 0.0) -> None:
        """A whole training, from agreement to success."""
        view = self.job(job)
        self.change(
            job, parties=tuple(p.model_copy(update={"decision": "agree"}) for p in view.parties), waiting_for=()
        )
        self.move(job, JobState.AGREED)
        self.move(job, JobState.RUNNING)
        for task in view.tasks:
            self.attempt(job, task.name, AttemptState.RUNNING, done=0, total=rounds)
            if task.component.startswith("homo"):
                self._train(job, task.name, view.initiator, rounds, pause_s)
            elif task.component.startswith("evaluate"):
                self.metric(job, task.name, view.initiator, 0, auc=0.9954, accuracy=0.9737)
            self.attempt(job, task.name, AttemptState.SUCCEEDED)
            self.output(job, task.name, view.initiator, "model", "model", f"{job}/{task.name}.model")
        self.move(job, JobState.SUCCEEDED, outcome="complete")

    def _train(self, job: str, task: str, party: str, rounds: int, pause_s: float) -> None:
        others = [p.party for p in self.job(job).parties if p.party != party and "host" in p.roles]
        for step in range(1, rounds + 1):
            self.now_ms += 250
            values = {"loss": 0.7 / step, "accuracy": 1 - 0.4 / (step + 1)}
            self.metric(job, task, party, step, **values)
            for other in others:
                self.metric(job, task, other, step, role="host", **values)
            self.log(job, task, party, f"round {step} done")
            self.attempt(job, task, AttemptState.RUNNING, done=step, total=rounds)
            time.sleep(pause_s)


def waiting_for_person(party: str) -> Waiting:
    text, do = (
        f"a person at {party} to approve the job",
        "'flow job proposal JOB' shows it" if party == "hospital-a" else "",
    )
    return Waiting(who=party, what="person", text=text, since_ms=START_MS, do=do)

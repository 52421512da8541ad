"""Make the transitions of a plan, in the transaction that wrote what calls for them: nothing between is ever seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from flow.coordinator.plan import (
    Agree,
    EndAttempt,
    Finish,
    JobSnapshot,
    MarkClosed,
    OpenAttempt,
    Refuse,
    Transition,
    phase_now,
    step,
)
from flow.coordinator.snapshot import Snapshots
from flow.errors import ApiMismatch, CheckpointPastEnd
from flow.job.binding import BoundTask
from flow.job.states import ENDED_JOB, AttemptEvent, AttemptState, JobEvent, JobState
from flow.protocol.manifest import make_manifest, require_common_api
from flow.protocol.resuming import require_in_reach, resume_point
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.participations import answers_of
from flow.store.tables import attempt, job
from flow.store.transitions import (
    HOW,
    cancel_open,
    error_columns,
    move_attempt,
    move_job,
    new_attempt,
    put_beginning,
    told,
)
from flow.store.writer import Writer
from party.ids import AttemptId, JobId, TaskName


def next_transition(snapshot: JobSnapshot) -> Transition | None:
    """The transition that a job calls for, if it calls for one."""
    instructions = step(snapshot)
    first = instructions[0] if len(instructions) == 1 else None
    return first if isinstance(first, Transition) else None


class PlanApplier:
    """Makes them. `freed()` is called once room may have become free."""

    def __init__(
        self, database: Database, snapshots: Snapshots, catalogue: Catalogue, freed: Callable[[], None]
    ) -> None:
        self._database = database
        self._snapshots = snapshots
        self._catalogue = catalogue
        self._freed = freed

    @contextmanager
    def write(self, job_id: str) -> Iterator[Writer]:
        """A transaction about a job. It ends with every transition that the job then calls for.

        Raises Moved, as every change of the store does.
        """
        with self._database.write() as writer:
            yield writer
            self._follow(writer, job_id)

    def _follow(self, writer: Writer, job_id: str) -> None:
        """Every transition; then against which limit time counts, if it is known how much counted so far."""
        while True:
            snapshot = self._snapshots.of_rows(writer.rows(job_id))
            transition = next_transition(snapshot)
            if transition is None:
                break
            self._make(writer, snapshot, transition)
            if isinstance(transition, EndAttempt | Finish):
                writer.after_commit(self._freed)
        if not self._snapshots.unsure(job_id):
            self.note_phase(writer, snapshot)

    def note_phase(self, writer: Writer, snapshot: JobSnapshot) -> None:
        """Write down against which limit time counts from now on, where that changes."""
        if not phase_ends(snapshot) or writer.rows(snapshot.job).job.phase != snapshot.phase:
            return
        ran = snapshot.phase == "running"
        spent = {"ran_ms": round(snapshot.ran_s * 1000)} if ran else {"waited_ms": round(snapshot.waited_s * 1000)}
        changes = {"phase": phase_now(snapshot), "phase_since_ms": writer.now_ms, **spent}
        writer.change(job, snapshot.job, [()], changes)

    def _make(self, writer: Writer, snapshot: JobSnapshot, transition: Transition) -> None:
        match transition:
            case Agree():
                self._agree(writer, snapshot)
            case Refuse():
                move_job(writer, snapshot.job, snapshot.state, JobEvent.REFUSED, transition.error)
            case OpenAttempt():
                self._open_attempt(writer, snapshot.job, transition)
            case EndAttempt():
                attempt_id = AttemptId(JobId(snapshot.job), TaskName(transition.task), transition.attempt)
                extra = {**error_columns(transition.error), "retryable": transition.retryable}
                move_attempt(writer, attempt_id, transition.seen, HOW[transition.state], **extra)
            case Finish():
                how = JobEvent.SUCCEEDED if transition.state is JobState.SUCCEEDED else JobEvent.FAILED
                move_job(writer, snapshot.job, snapshot.state, how, transition.error)
                cancel_open(writer, snapshot.job)
            case MarkClosed():
                writer.change(job, snapshot.job, [()], {"closed": True})
                writer.event("job.closed", snapshot.job)

    def _open_attempt(self, writer: Writer, job_id: str, wanted: OpenAttempt) -> None:
        known = self._catalogue.of_job(writer.rows(job_id))
        attempt_id = AttemptId(JobId(job_id), TaskName(wanted.task), wanted.attempt)
        if wanted.came_further:
            writer.change(attempt, job_id, [(wanted.task, wanted.attempt - 1)], {"counted": False})
        new_attempt(writer, attempt_id, known.tasks[wanted.task].addresses)
        if wanted.goes_on is not None:
            put_beginning(writer, attempt_id, wanted.goes_on.attempt, wanted.goes_on.step)
        elif known.spec.settings.resume is not None:
            self._tell_resume(writer, attempt_id, known.tasks[wanted.task])

    def _agree(self, writer: Writer, snapshot: JobSnapshot) -> None:
        rows = writer.rows(snapshot.job)
        known = self._catalogue.of_job(rows)
        manifest = make_manifest(known.proposal, answers_of(rows))
        try:
            require_common_api(manifest.speaks)
            require_in_reach(manifest, known.tasks)
        except (ApiMismatch, CheckpointPastEnd) as error:
            move_job(writer, snapshot.job, snapshot.state, JobEvent.REFUSED, told(error, known.proposal.initiator))
            return
        move_job(writer, snapshot.job, snapshot.state, JobEvent.AGREED, manifest_digest=manifest.digest)
        self._catalogue.keep(replace(known, manifest=manifest))

    def _tell_resume(self, writer: Writer, attempt_id: AttemptId, task: BoundTask) -> None:
        """Tell from where an attempt goes on; an empty body: it starts afresh."""
        point = resume_point(self._catalogue.manifest(writer.rows(attempt_id.job)), task)
        body = point.model_dump() if point is not None else {}
        writer.event("task.resumes", attempt_id.job, place=(attempt_id.task, attempt_id.attempt, ""), body=body)


def phase_ends(snapshot: JobSnapshot) -> bool:
    """Whether time from now on counts against the other limit."""
    return phase_now(snapshot) != snapshot.phase and snapshot.state not in ENDED_JOB


def note_running(writer: Writer, attempt_id: AttemptId) -> None:
    """The first side runs: so does the attempt, and with the first attempt the job."""
    rows = writer.rows(attempt_id.job)
    seen = rows.one(attempt, attempt_id.task, attempt_id.attempt)
    if seen is not None and seen.state == AttemptState.RESERVED:
        move_attempt(writer, attempt_id, AttemptState.RESERVED, AttemptEvent.STARTED)
    if rows.job.state == JobState.AGREED:
        move_job(writer, attempt_id.job, JobState.AGREED, JobEvent.STARTED)

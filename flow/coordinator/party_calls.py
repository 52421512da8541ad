"""The initiator's calls to one party: propose, open, publish, end, probe."""

from __future__ import annotations

from collections.abc import Callable

from flow.coordinator.absence import Absence
from flow.coordinator.apply_plan import PlanApplier
from flow.coordinator.plan import End, Open, Propose, Publish, TellPause
from flow.errors import BadMessage
from flow.job.binding import BoundTask
from flow.job.references import OutputInput
from flow.job.states import AttemptState, JobState
from flow.protocol.manifest import check_answer
from flow.protocol.messages import (
    MAX_ENDED_ATTEMPTS,
    Ack,
    AttemptOrder,
    Decision,
    EndedAttempt,
    EndOrder,
    JobOrder,
    Method,
    PauseOrder,
    Published,
    Report,
    SignedAnswer,
)
from flow.rooms.peer_calls import PeerCalls
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.job_cache import JobRows
from flow.store.participations import change_party
from flow.store.tables import attempt, job_party, output, side
from flow.store.transitions import error_of, for_another_party
from flow.store.writer import Writer
from runtime.errors import NotFound
from runtime.log import get_logger

ASK_S = 20.0
PUBLISH_S = 120.0
END_S = 60.0
PROBE_S = 5.0  # a party answers from memory: one that does not is named

Verify = Callable[[str, str, bytes, bytes], None]


class PartyCalls:
    """One method an action; each returns when the party has answered and the store knows it."""

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        peers: PeerCalls,
        absence: Absence,
        applier: PlanApplier,
        verify: Verify,
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._peers = peers
        self._absence = absence
        self._applier = applier
        self._verify = verify
        self._log = get_logger("flow")

    def propose(self, action: Propose) -> None:
        """Ask a party; keep its signed answer."""
        proposal = self._catalogue.of_job(self._database.rows(action.job)).proposal
        signed = self._peers.ask(action.party, Method.PROPOSE, proposal, SignedAnswer, ASK_S)
        check_answer(signed, action.party, proposal, self._verify)
        self._absence.clear(action.job, action.party)
        with self._applier.write(action.job) as writer:
            note_answer(writer, signed)

    def open(self, action: Open) -> None:
        """Send a party the manifest; it opens the job at its gateway."""
        manifest = self._catalogue.manifest(self._database.rows(action.job))
        self._peers.ask(action.party, Method.OPEN, manifest, Ack, ASK_S)
        self._note(action.job, action.party, opened=True)

    def tell_pause(self, action: TellPause) -> None:
        """Tell a party whether the job is paused or goes on, as it is now."""
        paused = self._database.rows(action.job).job.state == JobState.PAUSED
        self._peers.ask(action.party, Method.PAUSE, PauseOrder(job=action.job, paused=paused), Ack, END_S)
        self._absence.clear(action.job, action.party)
        with self._applier.write(action.job) as writer:  # what became otherwise meanwhile is due still
            if paused == (writer.rows(action.job).job.state == JobState.PAUSED):
                change_party(writer, action.job, action.party, pause_due=False)

    def give_up_pause(self, action: TellPause) -> None:
        """A party refuses to hear of a pause; nothing more can be done."""
        self._note(action.job, action.party, pause_due=False)

    def publish(self, action: Publish) -> None:
        """Make a party's outputs visible; note where they are. Raises BadMessage where it tells of other outputs."""
        order = AttemptOrder(job=action.job, task=action.task, attempt=action.attempt)
        reply = self._peers.ask(action.party, Method.PUBLISH, order, Published, PUBLISH_S)
        self._absence.clear(action.job, action.party)
        check_outputs(reply, action, self._catalogue.of_job(self._database.rows(action.job)).tasks[action.task])
        with self._applier.write(action.job) as writer:
            for item in reply.outputs:
                writer.put(output, {"job": action.job, "task": action.task, **item.model_dump()})
            sides = writer.rows(action.job).of(side, action.task, action.attempt)
            keys = [(action.task, action.attempt, row.address) for row in sides if row.party == action.party]
            writer.change(side, action.job, keys, {"published": True})
            writer.event("task.published", action.job, place=(action.task, action.attempt, action.party))

    def end(self, action: End) -> None:
        """Tell a party how the job ended; a party that never heard of it has nothing to clean up."""
        rows = self._database.rows(action.job)
        error = for_another_party(error_of(rows.job), shared=False)
        order = EndOrder(job=action.job, state=JobState(rows.job.state), error=error, attempts=_ended(rows))
        try:
            self._peers.ask(action.party, Method.END, order, Ack, END_S)
        except NotFound as error:
            self._log.info("job.unknown_at_end", job=action.job, party=action.party, code=error.code)
        self._note(action.job, action.party, closed=True)

    def probe(self, job_id: str, party: str) -> Report:
        """Where the party's sides are; also how a silent party is noticed."""
        report = self._peers.ask(party, Method.PROBE, JobOrder(job=job_id), Report, PROBE_S)
        self._absence.clear(job_id, party)
        return report

    def give_up_end(self, action: End) -> None:
        """A party refuses to hear that the job is over; nothing more can be done."""
        self._note(action.job, action.party, closed=True)

    def _note(self, job_id: str, party: str, **changes: object) -> None:
        self._absence.clear(job_id, party)
        with self._applier.write(job_id) as writer:
            change_party(writer, job_id, party, **changes)


def _ended(rows: JobRows) -> tuple[EndedAttempt, ...]:
    """The newest attempts that failed or were lost: of the last of a task only the end of the job is sent."""
    otherwise = [row for row in rows.of(attempt) if row.state in (AttemptState.FAILED, AttemptState.LOST)]
    newest = sorted(otherwise, key=lambda row: row.ended_ms or 0, reverse=True)[:MAX_ENDED_ATTEMPTS]
    return tuple(EndedAttempt(task=row.task, attempt=row.attempt, state=row.state) for row in newest)


def check_outputs(reply: Published, action: Publish, task: BoundTask) -> None:
    """Raise BadMessage unless each output is one that the task makes at the party, under the name that it has there."""
    made = {
        (str(address), name): str(task.component.outputs[name].kind)
        for address, bound in task.sides.items()
        for name in bound.outputs
        if address.party == action.party
    }
    for item in reply.outputs:
        kind, output_of = made.get((item.address, item.name)), OutputInput(task=action.task, output=item.name)
        reference = output_of.table(action.job) if kind == "table" else output_of.model(action.job)
        if item.kind != kind or item.reference.partition("@")[0] != reference.partition("@")[0]:
            raise BadMessage(f"{action.party} told of an output that task '{action.task}' does not make there.")


def note_answer(writer: Writer, signed: SignedAnswer) -> None:
    """Record what a party said, unless it has already agreed or refused."""
    answer = signed.answer
    open_to = ["", Decision.ASK] if answer.decision is not Decision.ASK else [""]  # to ask again says nothing new
    row = writer.rows(answer.job).one(job_party, answer.party)
    if row is None or row.decision not in open_to:
        return
    text = signed.model_dump_json(by_alias=True)
    change_party(writer, answer.job, answer.party, decision=str(answer.decision), answer=text, asked_ms=writer.now_ms)
    body = {"reasons": list(answer.reasons), "warnings": list(answer.warnings)}
    writer.event(f"party.{answer.decision}", answer.job, place=("", 0, answer.party), body=body)

"""The initiator's calls about a whole job: propose, open, end, probe."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, select, update

from flow.coordinator.absence import Absence
from flow.coordinator.facts import Catalogue, manifest_of
from flow.doors import Caller
from flow.job_state import AttemptState, JobState
from flow.manifest import check_answer
from flow.messages import (
    MAX_ENDED_ATTEMPTS,
    Ack,
    Decision,
    EndedAttempt,
    EndOrder,
    JobOrder,
    Method,
    Report,
    SignedAnswer,
)
from flow.plan import End, Open, Propose
from flow.store.database import Database, Writer
from flow.store.moves import error_of, for_another_party
from flow.store.parts import change_party
from flow.store.tables import attempt, job, job_party
from runtime.errors import NotFound
from runtime.log import get_logger

ASK_S = 20.0
END_S = 60.0

Verify = Callable[[str, str, bytes, bytes], None]


class PartyCalls:
    """One method an errand; each returns when the party has answered and the store knows it."""

    def __init__(
        self, database: Database, catalogue: Catalogue, caller: Caller, absence: Absence, verify: Verify
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._caller = caller
        self._absence = absence
        self._verify = verify
        self._log = get_logger("flow")

    def propose(self, errand: Propose) -> None:
        """Ask a party; keep its signed answer."""
        with self._database.read() as connection:
            proposal = self._catalogue.of_job(connection, errand.job).proposal
        signed = self._caller.ask(errand.party, Method.PROPOSE, proposal, SignedAnswer, ASK_S)
        check_answer(signed, errand.party, proposal, self._verify)
        self._absence.clear(errand.job, errand.party)
        with self._database.write() as writer:
            note_answer(writer, signed)

    def open(self, errand: Open) -> None:
        """Send a party the manifest; it opens the job at its gateway."""
        with self._database.read() as connection:
            manifest = manifest_of(connection, errand.job)
        self._caller.ask(errand.party, Method.OPEN, manifest, Ack, ASK_S)
        self._note(errand.job, errand.party, opened=True)

    def end(self, errand: End) -> None:
        """Tell a party how the job ended; a party that never heard of it has nothing to clean up."""
        with self._database.read() as connection:
            row = connection.execute(select(job).where(job.c.id == errand.job)).one()
            ended = _ended(connection, errand.job)
        error = for_another_party(error_of(row), shared=False)
        order = EndOrder(job=errand.job, state=JobState(row.state), error=error, attempts=ended)
        try:
            self._caller.ask(errand.party, Method.END, order, Ack, END_S)
        except NotFound as error:
            self._log.info("job.unknown_at_end", job=errand.job, party=errand.party, code=error.code)
        self._note(errand.job, errand.party, closed=True)

    def probe(self, name: str, party: str) -> Report:
        """Where the party's sides are; also how a silent party is noticed."""
        report = self._caller.ask(party, Method.PROBE, JobOrder(job=name), Report, ASK_S)
        self._absence.clear(name, party)
        return report

    def give_up_end(self, errand: End) -> None:
        """A party refuses to hear that the job is over; nothing more can be done."""
        self._note(errand.job, errand.party, closed=True)

    def _note(self, name: str, party: str, **changes: object) -> None:
        self._absence.clear(name, party)
        with self._database.write() as writer:
            change_party(writer, name, party, **changes)


def _ended(connection: Connection, name: str) -> tuple[EndedAttempt, ...]:
    """The newest attempts that failed or were lost: of the last of a task only the end of the job is sent."""
    otherwise = attempt.c.state.in_([AttemptState.FAILED, AttemptState.LOST])
    newest = select(attempt).where(attempt.c.job == name, otherwise).order_by(attempt.c.ended_ms.desc())
    rows = connection.execute(newest.limit(MAX_ENDED_ATTEMPTS)).all()
    return tuple(EndedAttempt(task=row.task, attempt=row.attempt, state=row.state) for row in rows)


def note_answer(writer: Writer, signed: SignedAnswer) -> None:
    """Record what a party said, unless it has already agreed or refused."""
    answer = signed.answer
    where = (job_party.c.job == answer.job) & (job_party.c.party == answer.party)
    changes: dict[str, object] = {
        "decision": str(answer.decision),
        "answer": signed.model_dump_json(by_alias=True),
        "asked_ms": writer.now_ms,
    }
    open_to = ["", Decision.ASK] if answer.decision is not Decision.ASK else [""]  # to ask again says nothing new
    if writer.run(update(job_party).where(where & job_party.c.decision.in_(open_to)).values(changes)).rowcount:
        body = {"reasons": list(answer.reasons), "warnings": list(answer.warnings)}
        writer.event(f"party.{answer.decision}", answer.job, place=("", 0, answer.party), body=body)

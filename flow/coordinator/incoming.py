"""What parties tell the initiator: reports of their sides, later answers, withdrawals."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select

from flow.coordinator.facts import Catalogue
from flow.coordinator.moves import bring_side, note_running, side_name
from flow.coordinator.party_calls import note_answer
from flow.errors import BadMessage, JobNotRunning, NotInitiator
from flow.job_state import ENDED_JOB, AttemptState, JobEvent, JobState
from flow.manifest import check_answer
from flow.messages import Ack, Report, SideNews, SignedAnswer, Withdrawal
from flow.store.database import Database, Writer
from flow.store.moves import cancel_open, error_columns, move_job
from flow.store.news import insert_logs, insert_metrics, put_progress
from flow.store.tables import attempt, job, job_party
from flow.views import ErrorView
from party.ids import Address, AttemptId, JobId, TaskName

Verify = Callable[[str, str, bytes, bytes], None]


def withdrawn(message: str, party: str = "") -> ErrorView:
    """Why a job is cancelled that a party left."""
    return ErrorView(code="flow.withdrawn", message=message, hint="Talk to that party.", party=party)


class Incoming:
    """Handlers of calls to the initiator. `heard(job, party)` is called after each."""

    def __init__(
        self, party: str, database: Database, catalogue: Catalogue, verify: Verify, heard: Callable[[str, str], None]
    ) -> None:
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._verify = verify
        self._heard = heard

    def report(self, report: Report, caller: str) -> Ack:
        """News of a party's sides; repeating it changes nothing."""
        self.take_report(report, caller)
        self._heard(report.job, caller)
        return Ack()

    def take_report(self, report: Report, caller: str) -> None:
        """Write a report down.

        Raises:
            BadMessage: It tells of a side that is not the caller's, or of an attempt that was not begun.
            JobNotRunning: The job is not agreed on yet; or it has ended, and the caller has acknowledged that.
        """
        addresses = {item.address for item in report.sides} | {item.address for item in report.metrics}
        addresses |= {item.address for item in report.logs} | {item.address for item in report.progress}
        if any(Address.parse(address).party != caller for address in addresses):
            raise BadMessage(f"{caller} reports about sides of another party in job {report.job}.")
        with self._database.write() as writer:
            self._require_running(writer, report.job, caller)
            self._refuse_strangers(writer, report, caller)
            insert_metrics(writer, report.job, report.metrics)
            insert_logs(writer, report.job, report.logs)
            put_progress(writer, report.job, report.progress)
            for news in report.sides:
                self._side(writer, report.job, news, caller)

    def _refuse_strangers(self, writer: Writer, report: Report, caller: str) -> None:
        """Raises BadMessage for a side that the job does not have, or an attempt that was not begun."""
        told = {(item.task, item.address) for item in report.sides} | {(m.task, m.address) for m in report.metrics}
        told |= {(line.task, line.address) for line in report.logs} | {(p.task, p.address) for p in report.progress}
        tasks = self._catalogue.of_job(writer.connection, report.job).tasks
        known = {(name, str(address)) for name, task in tasks.items() for address in task.addresses}
        for task, address in sorted(told - known):
            raise BadMessage(f"{caller} reports about {address} in task '{task}', which is not in job {report.job}.")
        tried = {(item.task, item.attempt) for item in report.sides} | {(m.task, m.attempt) for m in report.metrics}
        tried |= {(n.task, n.attempt) for n in report.logs} | {(n.task, n.attempt) for n in report.progress}
        of_job = select(attempt.c.task, attempt.c.attempt).where(attempt.c.job == report.job)
        begun = {(row.task, row.attempt) for row in writer.run(of_job)}
        for task, number in sorted(tried - begun):
            raise BadMessage(f"{caller} reports about attempt {number} of task '{task}', which was not begun.")

    def _require_running(self, writer: Writer, name: str, caller: str) -> None:
        """A party that has not heard of the end may still have something to tell; one that has, has told all."""
        state = self._leading(writer, name)
        if state is JobState.WAITING:
            raise JobNotRunning(f"Job {name} is not agreed on yet.")
        if state in ENDED_JOB:
            where = (job_party.c.job == name) & (job_party.c.party == caller)
            if writer.run(select(job_party.c.closed).where(where)).scalar_one_or_none():
                raise JobNotRunning(f"Job {name} has ended.")

    def answer(self, signed: SignedAnswer, caller: str) -> Ack:
        """A person of that party decided."""
        with self._database.read() as connection:
            proposal = self._catalogue.of_job(connection, signed.answer.job).proposal
        check_answer(signed, caller, proposal, self._verify)
        with self._database.write() as writer:
            self._leading(writer, signed.answer.job)
            note_answer(writer, signed)
        self._heard(signed.answer.job, caller)
        return Ack()

    def withdraw(self, withdrawal: Withdrawal, caller: str) -> Ack:
        """A party leaves: the job is cancelled."""
        with self._database.write() as writer:
            state = self._leading(writer, withdrawal.job)
            known = self._catalogue.of_job(writer.connection, withdrawal.job)
            if caller not in known.spec.parties:
                raise NotInitiator(f"{caller} holds no role in job {withdrawal.job}.")
            if state not in ENDED_JOB:
                message = f"{caller} withdrew from the job. {withdrawal.reason}".rstrip()
                move_job(writer, withdrawal.job, state, JobEvent.STOPPED, withdrawn(message, caller))
                cancel_open(writer, withdrawal.job)
        self._heard(withdrawal.job, caller)
        return Ack()

    def _leading(self, writer: Writer, name: str) -> JobState:
        """The state of a job that we lead. Raises NotInitiator."""
        row = writer.run(select(job.c.state, job.c.initiator).where(job.c.id == name)).first()
        if row is None or row.initiator != self._party:
            raise NotInitiator(f"{self._party} does not lead job {name}.")
        return JobState(row.state)

    def _side(self, writer: Writer, name: str, news: SideNews, caller: str) -> None:
        if news.state in (AttemptState.PENDING, AttemptState.RESERVED, AttemptState.CANCELLED):
            return  # those states are the initiator's own to decide
        tried = AttemptId(JobId(name), TaskName(news.task), news.attempt)
        error = news.error.model_copy(update={"party": caller}) if news.error else None
        place = side_name(name, news.task, news.attempt, news.address)
        columns = {**error_columns(error), "retryable": news.retryable}
        last = columns if news.state is not AttemptState.RUNNING else {}
        if bring_side(writer, place, news.state, **last):
            note_running(writer, tried)

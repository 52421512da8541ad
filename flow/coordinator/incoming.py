"""What parties tell the initiator: reports of their sides, later answers, withdrawals."""

from __future__ import annotations

from collections.abc import Callable

from flow.coordinator.apply_plan import PlanApplier
from flow.coordinator.party_calls import note_answer
from flow.coordinator.reports import Reports, led_with
from flow.errors import JobForgotten
from flow.job.states import JobEvent
from flow.protocol.manifest import check_answer
from flow.protocol.messages import Ack, Report, SignedAnswer, Withdrawal
from flow.rooms.stalls import Stalls
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.transitions import end_job
from flow.views.jobs import ErrorView
from flow.views.stalls import Fact

Verify = Callable[[str, str, bytes, bytes], None]


def withdrawn(message: str, party: str = "") -> ErrorView:
    """Why a job is cancelled that a party left."""
    return ErrorView(code="flow.withdrawn", message=message, hint="Talk to that party.", party=party)


def forgotten(party: str) -> ErrorView:
    """Why a job fails of which a party that ran it knows nothing any more."""
    message = f"{party} knows nothing of the job any more: it lost its database, or uses another."
    return ErrorView(code=JobForgotten.code, message=message, hint="Submit it again.", party=party)


def _is_of(fact: Fact, party: str) -> bool:
    """Whether a fact is about an executor of the party, or about none."""
    return not fact.address or fact.address.partition(":")[2] == party


class Incoming:
    """Handlers of calls to the initiator. `heard(job, party)` is called after each."""

    def __init__(
        self,
        party: str,
        database: Database,
        catalogue: Catalogue,
        applier: PlanApplier,
        verify: Verify,
        heard: Callable[[str, str], None],
        stalls: Stalls,
    ) -> None:
        self._stalls = stalls
        self._party = party
        self._database = database
        self._catalogue = catalogue
        self._applier = applier
        self._verify = verify
        self._heard = heard
        self.reports = Reports(party, database, catalogue, applier)

    def report(self, report: Report, caller: str) -> Ack:
        """News of a party's sides; repeating it changes nothing."""
        self.reports.take(report, caller)
        if report.facts is not None:
            own = [fact for fact in report.facts if _is_of(fact, caller)]
            self._stalls.note(report.job, caller, own)
        self._heard(report.job, caller)
        return Ack()

    def answer(self, signed: SignedAnswer, caller: str) -> Ack:
        """A person of that party decided."""
        rows = led_with(self._database.rows(signed.answer.job), self._party, caller)
        check_answer(signed, caller, self._catalogue.of_job(rows).proposal, self._verify)
        with self._applier.write(rows.job_id) as writer:
            note_answer(writer, signed)
        self._heard(signed.answer.job, caller)
        return Ack()

    def withdraw(self, withdrawal: Withdrawal, caller: str) -> Ack:
        """A party leaves: the job is cancelled."""
        with self._database.write() as writer:
            led_with(writer.rows(withdrawal.job), self._party, caller)
            message = f"{caller} withdrew from the job. {withdrawal.reason}".rstrip()
            end_job(writer, withdrawal.job, JobEvent.STOPPED, withdrawn(message, caller))
        self._heard(withdrawal.job, caller)
        return Ack()

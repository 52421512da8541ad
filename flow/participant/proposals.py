"""This party's side of agreement: have it weighed, sign, remember; people approve or refuse later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from flow.errors import (
    JobRefused,
    ManifestMismatch,
    NotAskedForApproval,
    PolicyForbids,
    ProposalChanged,
    UnknownJob,
)
from flow.job.spec import JobSpec
from flow.job.states import JobState
from flow.job.texts import sentences
from flow.participant.job_locks import JobLocks
from flow.participant.launch import contract_for
from flow.participant.leaving import Limit
from flow.participant.report_sender import Delivery
from flow.participant.weighing import Weighing
from flow.protocol.agreement import (
    check_proposal,
    decide,
    of_others,
    review,
)
from flow.protocol.knowledge import earlier_name
from flow.protocol.manifest import ANSWER_PURPOSE, check_manifest, settled, signed_bytes
from flow.protocol.messages import Ack, Answer, Decision, Manifest, Proposal, SignedAnswer
from flow.protocol.proposal_view import proposal_view
from flow.protocol.reasons import Decided, Reason
from flow.rooms.ports import GatewayPort
from flow.scheduler import Scheduler
from flow.store.catalogue import Catalogue
from flow.store.database import Database
from flow.store.job_cache import JobRows
from flow.store.participations import (
    answer_of,
    change_part,
    change_party,
    insert_job,
    insert_part,
    led_by,
    put_parties,
    refuse_left,
    require_part,
)
from flow.store.proposal_limits import end_refused, forget_refused, refuse_more
from flow.store.transitions import mirror_job
from flow.views.jobs import ErrorView, ProposalView
from party.ids import Address
from party.settings import PolicySettings
from runtime.log import get_logger

_STATE = {Decision.AGREE: "agreed", Decision.ASK: "asked", Decision.REFUSE: "refused"}


class Proposals:
    """Answers proposals and opens agreed jobs. Who starts something for a job or ends it takes `locks`, as it does."""

    def __init__(
        self,
        weighing: Weighing,
        database: Database,
        catalogue: Catalogue,
        gateway: GatewayPort,
        scheduler: Scheduler,
    ) -> None:
        self.weighing = weighing
        self.party, self._policy = weighing.party, weighing.policy
        self._database = database
        self._catalogue = catalogue
        self._gateway = gateway
        self._log = get_logger("flow")
        self.locks = JobLocks()
        self._scheduler = scheduler

    def start(self) -> None:
        """End what a release that left it waiting has kept of refused jobs."""
        with self._database.write() as writer:
            end_refused(writer, self.party)

    def propose(self, proposal: Proposal, caller: str) -> SignedAnswer:
        """Our signed answer; the same proposal gets the same answer.

        Raises:
            UnknownJob: The proposal comes after the end of the job.
            TooManyJobs, JobsTooLarge: As many jobs of the caller as may have not ended here, or as many bytes of them.
            DiskFull: There is no room for a job; the proposal may come again.
        """
        spec = self._catalogue.spec(proposal)
        check_proposal(proposal, caller, spec, self.party)
        with self.locks.of(proposal.job):
            if self.locks.is_over(proposal.job, caller):
                raise UnknownJob(f"Job {proposal.job} was over before {self.party} heard of it.")
            return self._propose(proposal, spec)

    def _propose(self, proposal: Proposal, spec: JobSpec) -> SignedAnswer:
        ours = proposal.initiator == self.party
        rows = self._known(proposal, ours=ours)
        if rows.job is not None and self._catalogue.proposal(rows) != proposal:
            raise ManifestMismatch(f"Job {proposal.job} was proposed before with other contents.")
        if rows.part is not None:
            return answer_of(rows)
        self._database.require_room()
        decided = self._decided(proposal, spec, self._policy())
        signed = self._sign(decided.answer)
        decision = signed.answer.decision
        with self._database.write() as writer:
            insert_part(writer, proposal, signed, _STATE[decision], decided.reasons, by_policy=decided.by_policy)
            if not ours:
                text = signed.model_dump_json(by_alias=True)
                known = {"decision": str(decision), "answer": text, "asked_ms": writer.now_ms}
                insert_job(writer, proposal, {self.party: known}, None)
                said = {"reasons": list(decided.reasons), "warnings": list(signed.answer.warnings)}
                writer.event(f"party.{decision}", proposal.job, place=("", 0, self.party), body=said)
                if decision is Decision.REFUSE:
                    mirror_job(writer, proposal.job, JobState.REFUSED)
                    forget_refused(writer, proposal.initiator)
            if decision is not Decision.REFUSE:
                writer.after_commit(lambda: self._scheduler.poke(Limit(proposal.job)))
        return signed

    def _known(self, proposal: Proposal, *, ours: bool) -> JobRows:
        """What is stored of the job; of another party's new one there may not be room for more."""
        if ours:
            return self._database.rows(proposal.job)
        with self._database.read() as connection:
            rows = self._database.rows(proposal.job, connection)
            if rows.part is None:
                refuse_more(connection, proposal.initiator)
        return rows

    def open(self, manifest: Manifest, caller: str) -> Ack:
        """Check the manifest, open the job at our gateway."""
        with self.locks.of(manifest.proposal.job):
            return self._open(manifest, caller)

    def _open(self, manifest: Manifest, caller: str) -> Ack:
        proposal = manifest.proposal
        rows = led_by(self._database.rows(proposal.job), caller)
        refuse_left(rows.part, self.party)
        if rows.part.state == "open":
            if self._catalogue.manifest(rows) == manifest:
                return Ack()
            raise ManifestMismatch(f"Job {proposal.job} is open under another manifest.")
        if rows.part.state != "agreed" or self._catalogue.proposal(rows) != proposal:
            raise ManifestMismatch(f"{self.party} did not agree to job {proposal.job} in this form.")
        known = self._catalogue.of_job(rows)
        check_manifest(manifest, known.spec, answer_of(rows), self._gateway.verify)
        tasks = settled(manifest, known.tasks)
        self._gateway.open_job(contract_for(manifest, tasks, self.party))
        answers = {s.answer.party: s.model_dump_json(by_alias=True) for s in manifest.answers}
        with self._database.write() as writer:
            size = rows.part.bytes + sum(len(text.encode()) for text in answers.values())
            change_part(writer, proposal.job, state="open", bytes=size)
            if caller != self.party:
                agreed = {party: {"answer": text, "decision": "agree"} for party, text in answers.items()}
                put_parties(writer, proposal.job, agreed)
                change_party(writer, proposal.job, self.party, **agreed[self.party])
                mirror_job(writer, proposal.job, JobState.AGREED, manifest_digest=manifest.digest)
        self._catalogue.keep(replace(known, manifest=manifest, tasks=tasks))
        return Ack()

    def approve(self, job_id: str, user: str, digest: str, note: str = "") -> None:
        """A person of ours agrees to what was shown under this digest; a lack of room may still refuse.

        The note is for our own people.

        Raises:
            NotAskedForApproval: The job does not wait for a person of ours.
            ProposalChanged: Something else would be shown now.
        """
        with self.locks.of(job_id):
            rows = self._asked(job_id)
            view, decided = self._seen(rows)
            if view.digest != digest:
                raise ProposalChanged(job_id)
            if decided.answer.decision is Decision.REFUSE and rows.part.initiator != self.party:
                self._catalogue.forget(job_id)
            self._decide_later(rows, decided, {"user": user, "seen": digest}, note)

    def refuse(self, job_id: str, user: str, reason: str, note: str = "") -> None:
        """A person of ours refuses; the reason is told to the others, the note is not. Raises NotAskedForApproval."""
        with self.locks.of(job_id):
            rows = self._asked(job_id)
            policy = self._policy().model_copy(update={"accept": Decision.REFUSE})
            decided = self._decided(self._catalogue.proposal(rows), self._catalogue.spec_of(rows), policy)
            said = sentences([reason or "A person refused."])
            refused = Decided(decided.answer.model_copy(update={"reasons": said}), tuple(Reason(each) for each in said))
            self._decide_later(rows, refused, {"user": user}, note)

    def show(self, job_id: str) -> ProposalView:
        """What a person decides about, as things are now. Raises UnknownJob, UnreadableJob."""
        rows = require_part(self._database.rows(job_id))
        return self._seen(rows)[0].model_copy(update={"by": rows.part.decided_by, "note": rows.part.note})

    def require_allowed(self, rows: JobRows, task: str) -> None:
        """Hold a job that we agreed to, a task of which starts, against our policies now. Raises PolicyForbids."""
        known, agreed = self._catalogue.of_job(rows), answer_of(rows).answer.tables
        _, tasks = self._catalogue.agreed(rows)
        exact = {
            earlier_name(tasks[of].sides[Address.parse(address)].inputs[name], is_table=True): brought.reference
            for of, sides in agreed.items()
            for address, inputs in sides.items()
            for name, brought in inputs.items()
        }
        know = self.weighing.holdings(known.spec, tasks, self._policy(), exact)
        made = self.weighing.made(tasks[task], rows.job_id)
        reasons = [
            *review(known.spec, tasks, replace(know, tables={**know.tables, **made})),
            *of_others(known.proposal, tasks, know),
        ]
        if reasons:
            self._log.warning("job.forbidden_now", job=rows.job_id, why=" ".join(r.full for r in reasons))
            said = " ".join(dict.fromkeys(reason.told for reason in reasons))
            raise PolicyForbids(f"{self.party} no longer allows the job: {said}", hint="Talk to that party.")

    def _seen(self, rows: JobRows) -> tuple[ProposalView, Decided]:
        """What a person sees, and what we would answer if that person agreed: both of the same things known."""
        proposal = self._catalogue.proposal(rows)
        job = self._catalogue.bound(proposal, self._catalogue.spec_of(rows))
        know = self.weighing.knowledge(job, self._policy().model_copy(update={"accept": Decision.AGREE}))
        decided = decide(proposal, job, know)
        return proposal_view(proposal, job, know, decided, waits=rows.part.state == "asked"), decided

    def _asked(self, job_id: str) -> JobRows:
        rows = require_part(self._database.rows(job_id))
        if (state := rows.part.state) != "asked":
            raise NotAskedForApproval(f"Job {job_id} does not wait for a person of {self.party}; it is {state} here.")
        return rows

    def _decide_later(self, rows: JobRows, decided: Decided, by: Mapping[str, str], note: str) -> None:
        job_id, answer, signed = rows.job_id, decided.answer, self._sign(decided.answer)
        initiator = rows.part.initiator
        with self._database.write() as writer:
            text = signed.model_dump_json(by_alias=True)
            reasons = json.dumps(decided.reasons)
            decision = {"decided_by": by["user"], "note": note, "reasons": reasons}
            change_part(writer, job_id, state=_STATE[answer.decision], answer=text, answer_due=True, **decision)
            said = {"reasons": [*decided.reasons], **by, **({"note": note} if note else {})}
            writer.event(f"party.{answer.decision}", job_id, place=("", 0, self.party), body=said)
            if initiator != self.party:
                change_party(writer, job_id, self.party, decision=str(answer.decision), answer=text)
                if answer.decision is Decision.REFUSE:
                    why = ErrorView(code=JobRefused.code, message=sentences(decided.reasons)[0], party=self.party)
                    mirror_job(writer, job_id, JobState.REFUSED, why)
                    forget_refused(writer, initiator)
            writer.after_commit(lambda: self._scheduler.poke(Delivery(job_id)))

    def _sign(self, answer: Answer) -> SignedAnswer:
        signature = self._gateway.sign(ANSWER_PURPOSE, signed_bytes(answer))
        return SignedAnswer(answer=answer, signature=signature.hex())

    def _decided(self, proposal: Proposal, spec: JobSpec, policy: PolicySettings) -> Decided:
        """Our answer; what is refused leaves nothing behind."""
        decided = self.weighing.outside(proposal, spec, policy) or self.weighing.decided(
            proposal, self._catalogue.bound(proposal, spec), policy
        )
        if decided.answer.decision is Decision.REFUSE and proposal.initiator != self.party:
            self._catalogue.forget(proposal.job)
        return decided

"""This party's own part in jobs, its own executors: rows and their moves."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from flow.errors import PartyLeft, UnknownJob
from flow.job.states import AttemptState, JobState
from flow.protocol.messages import Manifest, Proposal, SignedAnswer
from flow.store.job_cache import JobRows
from flow.store.stored import stored
from flow.store.tables import executor, job, job_party, part
from flow.store.transitions import attempt_key, bring
from flow.store.writer import Writer
from party.ids import AttemptId

MOST_SILENT_MS = 60_000  # executors that tell nothing for longer wait for somebody
COUNTED_MS = 1_000  # less than that is counted with the next news
LEFT = ("leaving", "left")  # states of a part in a job that we left: before and after everything of it was closed


def insert_job(
    writer: Writer, proposal: Proposal, parties: Mapping[str, Mapping[str, object]], submit_token: str | None
) -> None:
    """Write a job that waits for its parties. `parties` are those to keep a row for, with what is known of each."""
    row = {
        "id": proposal.job,
        "name": proposal.spec["name"],
        "initiator": proposal.initiator,
        "user_name": proposal.user,
        "submit_token": submit_token,
        "spec_digest": proposal.spec_digest,
        "spec": json.dumps(proposal.spec),
        "proposal": proposal.model_dump_json(by_alias=True, exclude={"spec"}),
        "state": JobState.WAITING,
        "submitted_ms": min(proposal.submitted_ms, writer.now_ms),  # a job of the future would lead every list
        "phase_since_ms": writer.now_ms,
    }
    writer.insert(job, proposal.job, [row])
    put_parties(writer, proposal.job, parties)
    writer.event("job.waiting", proposal.job, place=("", 0, proposal.initiator), body={"user": proposal.user})


def put_parties(writer: Writer, job_id: str, parties: Mapping[str, Mapping[str, object]]) -> None:
    """Write a row for each party of a job that has none."""
    rows = [{"job": job_id, "party": party, **known} for party, known in parties.items()]
    writer.insert(job_party, job_id, rows)


def proposal_of(rows: JobRows) -> Proposal:
    """What was proposed. Raises UnknownJob; UnreadableJob for what an older release took in and this one would not."""
    row = rows.job
    if row is None:
        raise UnknownJob(f"There is no job {rows.job_id} here.", hint="`flow job list` shows the jobs of this party.")
    return stored(Proposal, row.id, {**json.loads(row.proposal), "spec": json.loads(row.spec)})


def manifest_of(rows: JobRows, proposal: Proposal) -> Manifest:
    """The manifest of a job that was agreed on. Raises UnknownJob, UnreadableJob."""
    if rows.job is None or not rows.job.manifest_digest:
        raise UnknownJob(f"Job {rows.job_id} was not agreed on here.")
    return Manifest(proposal=proposal, answers=answers_of(rows), digest=rows.job.manifest_digest)


def answers_of(rows: JobRows) -> tuple[SignedAnswer, ...]:
    """Every answer that came, in party order. Raises UnreadableJob."""
    return tuple(stored(SignedAnswer, rows.job_id, row.answer) for row in rows.of(job_party) if row.answer)


def answer_of(rows: JobRows) -> SignedAnswer:
    """What we answered. Raises UnreadableJob."""
    return stored(SignedAnswer, rows.job_id, rows.part.answer)


def require_part(rows: JobRows) -> JobRows:
    """The job if we have a part in it. Raises UnknownJob."""
    if rows.part is None:
        raise UnknownJob(f"There is no job {rows.job_id} here.")
    return rows


def led_by(rows: JobRows, caller: str) -> JobRows:
    """The job if the caller leads it and we have a part in it. Raises UnknownJob, also of one that another leads."""
    if rows.part is None or rows.part.initiator != caller:
        raise UnknownJob(f"There is no job {rows.job_id} here that {caller} leads.")
    return rows


def refuse_left(row: Any, party: str) -> None:
    """Raise PartyLeft if we left the job; it says why until the initiator has heard of that."""
    if row.state in LEFT:
        raise PartyLeft(f"{party} left job {row.job}. {row.withdrawal}".rstrip())


def count_running(writer: Writer, job_id: str, party: str) -> None:
    """Our executors told something of another party's job: they ran since they last did, unless that is long ago."""
    row = writer.rows(job_id).part
    since = writer.now_ms - row.heard_ms
    if row.state == "open" and row.initiator != party and not 0 <= since < COUNTED_MS:
        ran = min(max(since, 0), MOST_SILENT_MS) if row.heard_ms else 0
        change_part(writer, job_id, ran_ms=row.ran_ms + ran, heard_ms=writer.now_ms)


def parties_of(rows: JobRows) -> frozenset[str]:
    """The parties of a job that was proposed to us."""
    roles = json.loads(rows.job.spec)["roles"] if rows.job is not None else {}
    return frozenset(party for parties in roles.values() for party in parties)


def live_jobs(connection: Connection) -> list[str]:
    """The jobs in which we have a part that is not over."""
    over = ["ended", "refused", *LEFT]
    return list(connection.execute(select(part.c.job).where(part.c.state.not_in(over))).scalars())


def ended_before(connection: Connection, names: Collection[str], before_ms: int) -> set[str]:
    """Those of the jobs that ended, here as well, before a time."""
    over = select(job.c.id).join(part, part.c.job == job.c.id).where(job.c.id.in_(names))
    return set(
        connection.execute(over.where(part.c.state.in_(["ended", "left"]), job.c.ended_ms <= before_ms)).scalars()
    )


def insert_part(
    writer: Writer,
    proposal: Proposal,
    signed: SignedAnswer,
    state: str,
    reasons: Sequence[str] = (),
    *,
    by_policy: bool = False,
) -> None:
    """Write what we said to a proposal, why in the words for our own people, and whether our policy refused it."""
    answer = signed.model_dump_json(by_alias=True)
    document = proposal.model_dump_json(by_alias=True)
    row = {
        "job": proposal.job,
        "initiator": proposal.initiator,
        "state": state,
        "answer": answer,
        "bytes": len(document.encode()) + 2 * len(answer.encode()),  # the answer stands with the parties as well
        "reasons": json.dumps(reasons),
        "by_policy": by_policy,
        "since_ms": writer.now_ms,
    }
    writer.insert(part, proposal.job, [row])


def change_part(writer: Writer, job_id: str, **changes: object) -> None:
    """Change columns of our part."""
    writer.change(part, job_id, [()], changes)


def change_party(writer: Writer, job_id: str, party: str, **changes: object) -> None:
    """Change columns of what is known of a party in a job."""
    writer.change(job_party, job_id, [(party,)], changes)


def put_reserved(writer: Writer, attempt_id: AttemptId, rooms: Mapping[str, Mapping[str, object]]) -> None:
    """Our executors have room: by address the columns that say which, in the place of older ones."""
    made = [
        {**attempt_key(attempt_id), "address": at, "state": AttemptState.RESERVED, **room} for at, room in rooms.items()
    ]
    new = {row.address for row in writer.insert(executor, attempt_id.job, made)}
    for address in new:
        place = (attempt_id.task, attempt_id.attempt, address.partition(":")[2])
        writer.event("executor.reserved", attempt_id.job, place=place, body={"address": address})
    for address, room in rooms.items():
        if address not in new:
            bring(writer, executor, attempt_id, [address], AttemptState.RESERVED)
            writer.change(executor, attempt_id.job, [(attempt_id.task, attempt_id.attempt, address)], room)

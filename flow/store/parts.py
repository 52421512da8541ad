"""This party's own part in jobs, its own executors: rows and their moves."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, case, select, update

from flow.errors import PartyLeft, UnknownJob, UnreadableJob
from flow.job_spec import JobSpec, proposed_job
from flow.job_state import ENDED_ATTEMPT, AttemptEvent, AttemptState, JobState
from flow.messages import Manifest, Proposal, SignedAnswer
from flow.store.database import Writer
from flow.store.moves import NO_ERROR, Side, attempt_key, move_executor
from flow.store.stored import stored
from flow.store.tables import executor, job, job_party, part
from party.ids import AttemptId

MOST_SILENT_MS = 60_000  # executors that tell nothing for longer wait for somebody
LEFT = ("leaving", "left")  # states of a part in a job that we left: before and after everything of it was closed


def insert_job(
    writer: Writer, proposal: Proposal, parties: Mapping[str, str], submit_token: str | None, *, led_here: bool = True
) -> None:
    """Write a job that waits for its parties. `parties` are those to keep a row for, with their decision so far.

    The proposal of one that another party leads stands with our part in it alone.
    """
    row = {
        "id": proposal.job,
        "name": proposal.spec["name"],
        "initiator": proposal.initiator,
        "user_name": proposal.user,
        "submit_token": submit_token,
        "spec_digest": proposal.spec_digest,
        "spec": json.dumps(proposal.spec),
        "proposal": proposal.model_dump_json(by_alias=True) if led_here else "",
        "state": JobState.WAITING,
        "submitted_ms": proposal.submitted_ms,
        "phase_since_ms": writer.now_ms,
    }
    filled = {"manifest": "", "manifest_digest": "", "outcome": "", "closed": False, "phase": "waiting"}
    writer.insert_new(job, [{**row, **filled, "ran_ms": 0, "waited_ms": 0, **NO_ERROR}])
    put_parties(writer, proposal.job, parties)
    writer.event("job.waiting", proposal.job, place=("", 0, proposal.initiator), body={"user": proposal.user})


def put_parties(writer: Writer, name: str, decisions: Mapping[str, str]) -> None:
    """Write a row for each party of a job."""
    filled = {"answer": "", "opened": False, "closed": False, "absent_why": "", "absent_code": ""}
    rows = [{"job": name, "party": party, "decision": said, **filled} for party, said in decisions.items()]
    writer.insert_new(job_party, rows)


def find_part(connection: Connection, name: str) -> Row[Any] | None:
    """Our part in a job, if we have one."""
    return connection.execute(select(part).where(part.c.job == name)).first()


def part_of(connection: Connection, name: str) -> Row[Any]:
    """Our part in a job. Raises UnknownJob."""
    row = find_part(connection, name)
    if row is None:
        raise UnknownJob(f"There is no job {name} here.")
    return row


def part_led_by(connection: Connection, name: str, caller: str) -> Row[Any]:
    """Our part in a job that the caller leads. Raises UnknownJob, also of one that another party leads."""
    row = find_part(connection, name)
    if row is None or row.initiator != caller:
        raise UnknownJob(f"There is no job {name} here that {caller} leads.")
    return row


def proposal_of(row: Row[Any]) -> Proposal:
    """What was proposed to us. Raises UnreadableJob for what an older release took in and this one would not."""
    return stored(Proposal, row.job, row.proposal)


def refuse_left(row: Row[Any], party: str) -> None:
    """Raise PartyLeft if we left the job; it says why until the initiator has heard of that."""
    if row.state in LEFT:
        raise PartyLeft(f"{party} left job {row.job}. {row.withdrawal}".rstrip())


def count_running(writer: Writer, name: str) -> None:
    """Our executors told news of a job: they ran since the last ones, unless those are long ago."""
    since = writer.now_ms - part.c.heard_ms
    ran = case((part.c.heard_ms == 0, 0), (since < 0, 0), (since > MOST_SILENT_MS, MOST_SILENT_MS), else_=since)
    running = (part.c.job == name) & (part.c.state == "open")
    writer.run(update(part).where(running).values(ran_ms=part.c.ran_ms + ran, heard_ms=writer.now_ms))


def spec_of(row: Row[Any]) -> JobSpec:
    """The job that a part is in. Raises UnreadableJob."""
    return proposed_job(proposal_of(row).spec)


def parties_of(connection: Connection, name: str) -> frozenset[str]:
    """The parties of a job that was proposed to us; none if it cannot be read."""
    try:
        return frozenset(spec_of(part_of(connection, name)).parties)
    except UnreadableJob:
        return frozenset()


def earlier_parts(connection: Connection, spec: JobSpec) -> list[Row[Any]]:
    """Our parts in the jobs that a job goes on from, newest first, as far back as its initiator took part."""
    found: list[Row[Any]] = []
    name = spec.settings.resume
    while name is not None and (row := find_part(connection, name)) is not None:
        try:
            earlier = spec_of(row)
        except UnreadableJob:
            break
        if spec.initiator not in earlier.parties:
            break
        found.append(row)
        before = earlier.settings.resume
        name = before if before is not None and before < name else None  # ids sort by time: a made-up circle ends
    return found


def live_parts(connection: Connection) -> list[Row[Any]]:
    """Our parts in jobs that are not over."""
    return list(connection.execute(select(part).where(part.c.state.not_in(["ended", "refused", *LEFT]))).all())


def ended_before(connection: Connection, names: Collection[str], before_ms: int) -> set[str]:
    """Those of the jobs that ended, here as well, before a time."""
    over = select(job.c.id).join(part, part.c.job == job.c.id).where(job.c.id.in_(names))
    return set(
        connection.execute(over.where(part.c.state.in_(["ended", "left"]), job.c.ended_ms <= before_ms)).scalars()
    )


def insert_part(
    writer: Writer, proposal: Proposal, signed: SignedAnswer, state: str, reasons: Sequence[str] = ()
) -> None:
    """Write what was proposed, what we said, and why in the words for our own people."""
    document, answer = proposal.model_dump_json(by_alias=True), signed.model_dump_json(by_alias=True)
    row = {
        "job": proposal.job,
        "initiator": proposal.initiator,
        "state": state,
        "proposal": document,
        "answer": answer,
        "bytes": 2 * (len(document.encode()) + len(answer.encode())),  # they stand with the job as well
        "answer_due": False,
        "reasons": json.dumps(reasons),
        "withdrawal": "",
        "manifest": "",
        "metrics_sent": 0,
        "logs_sent": 0,
        "since_ms": writer.now_ms,
    }
    writer.insert_new(part, [row])


def change_part(writer: Writer, name: str, **changes: object) -> None:
    """Change columns of our part."""
    writer.run(update(part).where(part.c.job == name).values(changes))


def change_party(writer: Writer, name: str, party: str, **changes: object) -> None:
    """Change columns of what is known of a party in a job."""
    writer.run(update(job_party).where(job_party.c.job == name, job_party.c.party == party).values(changes))


def part_manifest(row: Row[Any]) -> Manifest:
    """The manifest of a job that is open here. Raises UnknownJob, UnreadableJob."""
    if not row.manifest:
        raise UnknownJob(f"Job {row.job} was not agreed on here.")
    return stored(Manifest, row.job, row.manifest)


def executors(
    connection: Connection, job_id: str, task: str | None = None, attempt: int | None = None
) -> list[Row[Any]]:
    """Our executors of a job, of one of its tasks, of one attempt; in address order."""
    where = [executor.c.job == job_id]
    where += [executor.c.task == task] if task is not None else []
    where += [executor.c.attempt == attempt] if attempt is not None else []
    return list(connection.execute(select(executor).where(*where).order_by(executor.c.address)).all())


def put_reserved(writer: Writer, name: Side, reservation: str, node: str, until_ms: int) -> None:
    """Our executor has room; `reservation` replaces an older one."""
    empty = {"incarnation": 1, "retryable": False, "reported": "", "reservation": "", "node": "", "lease_until_ms": 0}
    writer.insert_new(executor, [{**name.key(), **empty, "state": AttemptState.PENDING, **NO_ERROR}])
    columns = {"reservation": reservation, "node": node, "lease_until_ms": until_ms}
    seen = state_of(writer, name)
    if seen is AttemptState.RESERVED:
        writer.run(update(executor).where(*_match(name)).values(columns))
    else:
        move_executor(writer, name, seen, AttemptEvent.RESERVED, **columns)


def state_of(writer: Writer, name: Side) -> AttemptState:
    """The state of our executor."""
    return AttemptState(writer.run(select(executor.c.state).where(*_match(name))).scalar_one())


def find_executor(writer: Writer, name: Side, incarnation: int) -> AttemptState | None:
    """The state of our executor if it is of this incarnation."""
    where = [*_match(name), executor.c.incarnation == incarnation]
    found = writer.run(select(executor.c.state).where(*where)).scalar_one_or_none()
    return None if found is None else AttemptState(found)


def cancel_executors(writer: Writer, job_id: str, attempt: AttemptId | None = None) -> None:
    """Cancel our executors that have not ended."""
    where = [executor.c.job == job_id, executor.c.state.not_in(list(ENDED_ATTEMPT))]
    if attempt is not None:
        where += [executor.c[key] == value for key, value in attempt_key(attempt).items()]
    rows = writer.run(select(executor).where(*where)).all()
    changes = {"state": AttemptState.CANCELLED, "ended_ms": writer.now_ms}
    writer.run(update(executor).where(and_(*where)).values(changes))
    for row in rows:
        place = (row.task, row.attempt, row.address.partition(":")[2])
        writer.event("executor.cancelled", job_id, place=place, body={"address": row.address})


def _match(name: Side) -> list[Any]:
    return [executor.c[key] == value for key, value in name.key().items()]

"""What another party proposes: how much of it is taken, kept and listed, and that what was refused is over."""

from __future__ import annotations

import json
from itertools import accumulate

from sqlalchemy import ColumnElement, Connection, func, select, true

from flow.errors import JobRefused, JobsTooLarge, TooManyJobs
from flow.job.states import ENDED_JOB, JobState
from flow.job.texts import sentences
from flow.store.tables import event, job, job_party, part
from flow.store.transitions import mirror_job
from flow.store.writer import Writer
from flow.views.jobs import ErrorView

MOST_JOBS = 200  # of one party that have not ended here
MOST_JOBS_BYTES = 256 << 20  # of their documents
MOST_REFUSED = 1_000  # proposals of one party that never became jobs
MOST_REFUSED_BYTES = 64 << 20  # of their documents
_AT_ONCE = 100


def refuse_more(connection: Connection, initiator: str) -> None:
    """Raise TooManyJobs or JobsTooLarge if as many jobs of a party wait or run here as may, or as large ones."""
    alive = (job.c.initiator == initiator) & job.c.state.not_in(list(ENDED_JOB))
    both = select(func.count(), func.coalesce(func.sum(part.c.bytes), 0)).select_from(job)
    count, size = connection.execute(both.join(part, part.c.job == job.c.id).where(alive)).one()
    if size >= MOST_JOBS_BYTES:
        raise JobsTooLarge(
            f"The documents of jobs of {initiator} that have not ended here have {size} bytes, of the "
            f"{MOST_JOBS_BYTES} that they may have; no more is taken before one has.",
            hint="It is tried again.",
        )
    if count >= MOST_JOBS:
        raise TooManyJobs(
            f"{MOST_JOBS} jobs of {initiator} have not ended here; no more is taken before one has.",
            hint="It is tried again.",
        )


def forget_refused(writer: Writer, initiator: str) -> None:
    """Forget a party's oldest proposals that were refused, or over, before they were jobs; what is due is kept."""
    never = (job.c.initiator == initiator) & (job.c.manifest_digest == "") & job.c.state.in_(list(ENDED_JOB))
    newest = select(job.c.id, part.c.bytes).join(part, part.c.job == job.c.id).where(never)
    newest = newest.order_by(job.c.ended_ms.desc(), job.c.id.desc()).limit(MOST_REFUSED + _AT_ONCE)
    rows = writer.run(newest).all()
    sizes = accumulate(row.bytes for row in rows)
    old = [row.id for i, (row, size) in enumerate(zip(rows, sizes, strict=True), 1)
           if i > MOST_REFUSED or size > MOST_REFUSED_BYTES]  # fmt: skip
    if not old:
        return
    told = part.c.state.in_(["refused", "ended", "left"]) & part.c.answer_due.is_(False)
    over = list(writer.run(select(part.c.job).where(part.c.job.in_(old), told)).scalars())
    for table, name in ((event, event.c.job), (job_party, job_party.c.job), (part, part.c.job), (job, job.c.id)):
        writer.run(table.delete().where(name.in_(over)))


def listed(party: str, state: str | None, *, every: bool) -> ColumnElement[bool]:
    """Which jobs a list has: those in a state, if one is given; unless `every`, none that our policy refused."""
    wanted = job.c.state == state if state else true()
    return wanted if every else wanted & ~_refused_by_policy(party)


def count_refused_by_policy(connection: Connection, party: str) -> int:
    """How many of the jobs here are proposals of others that the policy of this party refused."""
    return int(connection.execute(select(func.count()).select_from(job).where(_refused_by_policy(party))).scalar_one())


def _refused_by_policy(party: str) -> ColumnElement[bool]:
    said = select(part.c.job).where(part.c.job == job.c.id, part.c.by_policy)
    return (job.c.state == JobState.REFUSED) & (job.c.initiator != party) & said.exists()


def end_refused(writer: Writer, party: str) -> None:
    """End every job of another party that this party refused and that is not over here."""
    alive = job.c.state.not_in(list(ENDED_JOB)) & (job.c.initiator != party) & (part.c.state == "refused")
    for row in writer.run(select(part.c.job, part.c.reasons).join(job, job.c.id == part.c.job).where(alive)).all():
        reasons = sentences(json.loads(row.reasons or "[]")) or ("It was refused here.",)
        why = ErrorView(code=JobRefused.code, message=reasons[0], party=party)
        mirror_job(writer, row.job, JobState.REFUSED, why)

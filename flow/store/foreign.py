"""What another party proposes: how much of it is taken and kept, and that what was refused is over."""

from __future__ import annotations

import json

from sqlalchemy import Connection, func, select

from flow.errors import JobRefused, TooManyJobs
from flow.job_state import ENDED_JOB, JobState
from flow.store.database import Writer
from flow.store.moves import mirror_job
from flow.store.tables import event, job, job_party, part
from flow.texts import sentences
from flow.views import ErrorView

MOST_JOBS = 200  # of one party that have not ended here
MOST_REFUSED = 1_000  # proposals of one party that never became jobs
_AT_ONCE = 100


def refuse_more(connection: Connection, initiator: str) -> None:
    """Raise TooManyJobs if as many jobs of a party wait or run here as may."""
    alive = job.c.state.not_in(list(ENDED_JOB))
    count = select(func.count()).select_from(job).where(job.c.initiator == initiator, alive)
    if connection.execute(count).scalar_one() >= MOST_JOBS:
        raise TooManyJobs(
            f"{MOST_JOBS} jobs of {initiator} have not ended here; no more is taken before one has.",
            hint="It is tried again.",
        )


def forget_refused(writer: Writer, initiator: str) -> None:
    """Forget a party's oldest proposals that were refused, or over, before they were jobs; what is due is kept."""
    never = (job.c.initiator == initiator) & (job.c.manifest_digest == "") & job.c.state.in_(list(ENDED_JOB))
    newest = select(job.c.id).where(never).order_by(job.c.ended_ms.desc(), job.c.id.desc())
    old = list(writer.run(newest.offset(MOST_REFUSED).limit(_AT_ONCE)).scalars())
    if not old:
        return
    told = part.c.state.in_(["refused", "ended", "left"]) & part.c.answer_due.is_(False)
    over = list(writer.run(select(part.c.job).where(part.c.job.in_(old), told)).scalars())
    for table, name in ((event, event.c.job), (job_party, job_party.c.job), (part, part.c.job), (job, job.c.id)):
        writer.run(table.delete().where(name.in_(over)))


def end_refused(writer: Writer, party: str) -> None:
    """End every job of another party that this party refused and that is not over here."""
    alive = job.c.state.not_in(list(ENDED_JOB)) & (job.c.initiator != party) & (part.c.state == "refused")
    for row in writer.run(select(part.c.job, part.c.reasons).join(job, job.c.id == part.c.job).where(alive)).all():
        reasons = sentences(json.loads(row.reasons or "[]")) or ("It was refused here.",)
        why = ErrorView(code=JobRefused.code, message=reasons[0], party=party)
        mirror_job(writer, row.job, JobState.REFUSED, why)

"""Notes that people of this party write on a job: for themselves, told to nobody else."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select

from flow.errors import TooManyNotes
from flow.store.tables import note
from flow.store.writer import Writer
from flow.views.jobs import NoteView
from runtime.text import printable

MOST_NOTES = 100  # on one job


def add_note(writer: Writer, job_id: str, user: str, text: str) -> None:
    """Write a note. Raises TooManyNotes."""
    there = writer.run(select(func.count()).where(note.c.job == job_id)).scalar_one()
    if there >= MOST_NOTES:
        raise TooManyNotes(f"Job {job_id} has {MOST_NOTES} notes, which is as many as there may be.")
    writer.run(insert(note).values(job=job_id, user_name=user, at_ms=writer.now_ms, text=text))
    writer.event("job.noted", job_id, body={"user": user})


def notes_of(connection: Connection, job_id: str) -> tuple[NoteView, ...]:
    """The notes on a job, oldest first."""
    rows = connection.execute(select(note).where(note.c.job == job_id).order_by(note.c.id)).all()
    return tuple(NoteView(user=printable(row.user_name), at_ms=row.at_ms, text=printable(row.text)) for row in rows)

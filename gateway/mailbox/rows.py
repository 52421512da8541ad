"""What transactions of the mailbox on disk are made of: each function reads or changes rows, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence

from gateway.contract import seen_keys
from gateway.envelope import Envelope, Header, Part
from gateway.errors import JobClosed, JobNotOpen, MessageConflict, MessageGone
from gateway.mailbox.ledger import START, Entry
from gateway.mailbox.store import LARGE_BYTES
from gateway.scalars import Bill, Spent, spend

ENTRY = "at_ms, inward, peer, job, what, messages, size, sha256"  # the columns of a ledger entry


def insert(
    rows: sqlite3.Connection, envelope: Envelope, peer: str | None, data: bytes | None, file: str | None
) -> None:
    """Add an envelope whose body is `data` or lies in `file`: for a peer, or, with None, what came in."""
    header = envelope.header
    values = (peer is None, header.job, peer or header.sender, header.size > LARGE_BYTES, envelope.canonical)
    cursor = rows.execute(
        "INSERT INTO envelope (inward, job, peer, large, canonical, signature, size, body, file, unread) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, envelope.signature, header.size, data, file, len(header.parts)),
    )
    if peer is None:
        _insert_parts(rows, envelope, cursor.lastrowid)


def _insert_parts(rows: sqlite3.Connection, envelope: Envelope, sequence: int | None) -> None:
    header = envelope.header
    parts = [
        (key, header.job, header.frm, header.sealed, part.sha256, sequence, offset, part.size)
        for (key, part), offset in zip(keyed(envelope), header.offsets, strict=True)
    ]
    before = rows.total_changes
    rows.executemany("INSERT OR IGNORE INTO inbox VALUES (?, ?, ?, ?, ?, ?, ?, ?)", parts)
    known = len(parts) - (rows.total_changes - before)
    if known:
        rows.execute("UPDATE envelope SET unread = unread - ? WHERE sequence = ?", (known, sequence))


def record(rows: sqlite3.Connection, entry: Entry) -> None:
    """Chain an entry to the ledger."""
    before = rows.execute("SELECT chain FROM ledger ORDER BY sequence DESC LIMIT 1").fetchone()
    chain = entry.chained(before[0] if before else START)
    rows.execute(
        f"INSERT INTO ledger ({ENTRY}, chain) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
        (*vars(entry).values(), chain),
    )


def entry_in(row: Sequence[object]) -> Entry:
    """The entry in a row of `ENTRY`."""
    at_ms, inward, *rest = row
    return Entry(at_ms, bool(inward), *rest)  # type: ignore[arg-type]


def keyed(envelope: Envelope) -> list[tuple[str, Part]]:
    """Each message of an envelope with its key."""
    return list(zip(envelope.header.keys, envelope.header.parts, strict=True))


def refuse_conflicts(found: Iterable[Sequence[str]], messages: dict[str, Part]) -> None:
    """Raise MessageConflict if one of the found (key, digest) has another digest than the message that comes now."""
    for key, digest in found:
        if messages[key].sha256 != digest:
            raise MessageConflict(f"Message {key} came before with another body.")


def require_open(rows: sqlite3.Connection, job: str) -> None:
    """Raise JobNotOpen or JobClosed unless the job takes messages."""
    open_contract(job, rows.execute("SELECT contract IS NOT NULL OR NULL FROM job WHERE job = ?", (job,)).fetchall())


def open_contract(job: str, found: Sequence[tuple[bytes | None]]) -> bytes:
    """The contract in what was found of a job. Raises JobNotOpen or JobClosed."""
    if not found:
        raise JobNotOpen(f"Job {job} is not open at this party.")
    if found[0][0] is None:
        raise closed(job)
    return found[0][0]


def closed(job: str) -> JobClosed:
    """What to say of a job that is over."""
    return JobClosed(f"Job {job} is closed at this party.")


def released(key: str) -> MessageGone:
    """What to say of a message that its reader let go of."""
    return MessageGone(
        f"The message {key} was read before, and deleted since a checkpoint covered it.",
        hint="That checkpoint is not there any more: the task goes on in a new attempt.",
    )


def charge(rows: sqlite3.Connection, header: Header, bill: Bill) -> None:
    """Hold an envelope to what its attempt has spent and named before. Raises BudgetSpent, KeyChanged."""
    if bill.costs:
        conversation = header.conversation.key(())
        found = rows.execute("SELECT numbers, text_bytes, names FROM spent WHERE conversation = ?", (conversation,))
        after = spend(Spent(*(found.fetchone() or ())), bill)
        rows.execute(
            "INSERT OR REPLACE INTO spent VALUES (?, ?, ?, ?, ?)", (conversation, header.job, *vars(after).values())
        )
    if bill.keys:
        attempt = (header.job, header.task, header.attempt)
        of_attempt = "SELECT owner, fingerprint FROM key_seen WHERE job = ? AND task = ? AND attempt = ?"
        seen = seen_keys(dict(rows.execute(of_attempt, attempt).fetchall()), bill.keys)
        keys = [(*attempt, *key) for key in seen.items()]
        rows.executemany("INSERT OR IGNORE INTO key_seen VALUES (?, ?, ?, ?, ?)", keys)


def one_read(rows: sqlite3.Connection, sequence: int) -> list[str]:
    """One message of an envelope was released; the files to delete, once none is left."""
    rows.execute("UPDATE envelope SET unread = unread - 1 WHERE sequence = ?", (sequence,))
    left = rows.execute("SELECT unread FROM envelope WHERE sequence = ?", (sequence,)).fetchone()
    return drop(rows, sequence) if left is not None and left[0] <= 0 else []


def drop(rows: sqlite3.Connection, sequence: int) -> list[str]:
    """Remove an envelope; the files to delete."""
    found = rows.execute("SELECT file FROM envelope WHERE sequence = ?", (sequence,)).fetchone()
    rows.execute("DELETE FROM envelope WHERE sequence = ?", (sequence,))
    return [found[0]] if found is not None and found[0] is not None else []


def marks(values: Collection[object]) -> str:
    """A question mark for each value."""
    return ",".join("?" * len(values))

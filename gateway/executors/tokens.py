"""Executor tokens: which address of which task attempt a caller of service Executor stands for.

A token is for one address of one attempt and one incarnation. A newer attempt or incarnation takes the place of the
older, whose tokens are worth nothing from then on. One incarnation may have several: who started it and does not know
whether it did starts it again, and it runs with the token that came first. Only digests are stored.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from hashlib import sha256

from gateway.envelope import is_name
from gateway.errors import BadEnvelope, IncarnationOutdated, TokenRefused
from runtime.bounds import MAX_ATTEMPTS
from runtime.disk.sqlite import Database
from runtime.text import printable

TOKEN_BYTES = 32
_NEWEST = """
SELECT attempt, incarnation FROM token WHERE job = ? AND task = ? AND address = ? ORDER BY 1 DESC, 2 DESC LIMIT 1
"""
_DELETE_OTHERS = "DELETE FROM token WHERE job = ? AND task = ? AND address = ? AND (attempt, incarnation) <> (?, ?)"


@dataclass(frozen=True)
class Bearer:
    """Whom a token stands for."""

    job: str
    task: str
    attempt: int
    address: str
    incarnation: int


def checked_bearer(bearer: Bearer) -> Bearer:
    """`bearer` unchanged if a token may stand for it. Raises BadEnvelope."""
    names = (bearer.job, bearer.task, bearer.address)
    if not all(is_name(name) for name in names) or not 1 <= bearer.attempt <= MAX_ATTEMPTS:
        raise BadEnvelope(f"{printable(str(bearer))[:200]} is nobody whom a token can stand for.")
    if not 0 <= bearer.incarnation <= MAX_ATTEMPTS:
        raise BadEnvelope(f"There is no incarnation {bearer.incarnation}.")
    return bearer


class Tokens:
    """The tokens of all open jobs; they survive a restart of the gateway and end with their job."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[bytes, Bearer] = {}
        self._newest: dict[tuple[str, str], int] = {}

    def issue(self, bearer: Bearer) -> str:
        """A fresh token; those of earlier attempts and incarnations of the address are revoked.

        Raises:
            IncarnationOutdated: A newer attempt or incarnation has a token already.
        """
        token = secrets.token_hex(TOKEN_BYTES)

        def work(rows: sqlite3.Connection) -> None:
            place = (bearer.job, bearer.task, bearer.address)
            newest = rows.execute(_NEWEST, place).fetchone()
            ours = (bearer.attempt, bearer.incarnation)
            if newest is not None and newest > ours:
                raise IncarnationOutdated(
                    f"{bearer.address} of task '{bearer.task}' is at attempt {newest[0]}, incarnation {newest[1]}; "
                    f"attempt {bearer.attempt}, incarnation {bearer.incarnation} is over."
                )
            rows.execute(_DELETE_OTHERS, (*place, *ours))
            rows.execute("INSERT INTO token VALUES (?, ?, ?, ?, ?, ?)", (_digest(token), *place, *ours))

        self._database.write(work)
        self.forget()
        return token

    def bearer(self, token: str) -> Bearer:
        """Whom the token stands for. Raises TokenRefused."""
        digest = _digest(token)
        known = self._known.get(digest)
        if known is not None:
            return known
        cache = self._known
        found = self._database.read(
            "SELECT job, task, attempt, address, incarnation FROM token WHERE digest = ?", (digest,)
        )
        if not found:
            raise TokenRefused(
                "This executor token is not known: it was revoked, or its job is closed.",
                hint="A newer incarnation of the executor has taken over, or the job has ended.",
            )
        bearer = Bearer(*found[0])
        cache[digest] = bearer  # into the cache as it was before the read: a revocation meanwhile replaced it
        return bearer

    def newest_attempt(self, job: str, task: str) -> int:
        """The newest attempt of a task for which a token was issued; 0 if there is none yet."""
        cache = self._newest
        known = cache.get((job, task))
        if known is None:
            found = self._database.read("SELECT max(attempt) FROM token WHERE job = ? AND task = ?", (job, task))
            known = cache[job, task] = int(found[0][0] or 0)
        return known

    def forget(self) -> None:
        """Read again from the database: tokens were issued, or a job was closed."""
        self._known, self._newest = {}, {}


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()

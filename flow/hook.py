"""Tells a program of this party's own that a job is over: one signed HTTP request a job, until it is taken.

Where to is read from our own settings alone; nothing in a job, and no other party, has a say in it. What is still to be
told is a row of the store, written in the transaction that ended the job, so that it survives any restart.
"""

from __future__ import annotations

import hmac
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import case, delete, func, select, update

from flow.store.database import Database
from flow.store.tables import hook_call, job
from party.errors import BadSettings
from party.home import PartyHome
from runtime.clock import now_ms
from runtime.disk.files import read_private
from runtime.limits.pauses import doubled_s
from runtime.log import get_logger

ANSWER_S = 10.0
FIRST_PAUSE_S = 2.0
LAST_PAUSE_S = 3_600.0
MOST_TRIES = 60  # over two days
LEAST_SECRET_BYTES = 16
TIME_HEADER, SIGNATURE_HEADER = "Archipelago-Timestamp", "Archipelago-Signature"


@dataclass(frozen=True, repr=False)
class Hook:
    """Whom to tell; `secret()` is what requests are signed with, `authorities` a file of whom to trust (or empty)."""

    url: str
    secret: Callable[[], bytes]
    authorities: str = ""


@dataclass(frozen=True)
class CallHook:
    """Tell what is due."""


def hook_of(home: PartyHome) -> Hook | None:
    """What the party's settings say; None if they name no hook. Raises BadSettings, FileExposed."""
    said = home.settings.hooks
    if not said.url:
        return None
    authorities = str(home.path(said.ca_file)) if said.ca_file else ""
    hook = Hook(said.url, lambda: _secret(home.path(said.secret_file)), authorities)
    hook.secret()
    try:
        _trust(hook)
    except (OSError, ssl.SSLError) as error:
        raise BadSettings(f"hooks.ca_file: {said.ca_file} holds no certificates: {error}.") from None
    return hook


def body_of(row: Any, party: str) -> bytes:
    """What is told of a job that is over, by its row: nothing that it has read or made."""
    told = {
        "schema": 1,
        "party": party,
        "job": row.id,
        "initiator": row.initiator,
        "state": row.state,
        "outcome": row.outcome,
        "error_code": row.error_code,
        "submitted_ms": row.submitted_ms,
        "started_ms": row.started_ms,
        "ended_ms": row.ended_ms,
    }
    return json.dumps(told, separators=(",", ":")).encode()


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    """`v1=` and the HMAC-SHA256, in hex, of the time of the request in seconds, a dot and its body."""
    return f"v1={hmac.new(secret, f'{at_s}.'.encode() + body, sha256).hexdigest()}"


def again_s(tries: int) -> float | None:
    """The pause before the next try after so many that were in vain; None if it is given up."""
    return doubled_s(FIRST_PAUSE_S, tries - 1, LAST_PAUSE_S) if tries < MOST_TRIES else None


class HookCalls:
    """Makes the requests, one at a time: of our own jobs first, then oldest first. `poke()` has it looked at again."""

    def __init__(self, party: str, database: Database, hook: Hook | None, poke: Callable[[], None]) -> None:
        self._party = party
        self._database = database
        self._hook = hook
        self._log = get_logger("flow")
        if hook is not None:
            database.at_end = poke

    def start(self) -> None:
        """Forget what was due for a hook that is no longer there."""
        if self._hook is None:
            with self._database.write() as writer:
                writer.run(delete(hook_call))

    def carry_out(self, _key: CallHook) -> float | None:
        """Make the requests that are due. Returns the seconds until the next is, or None if there is none."""
        if self._hook is None:
            return None
        now = now_ms(self._database.clock)
        others = case((job.c.initiator == self._party, 0), else_=1)
        calls = select(hook_call).outerjoin(job, job.c.id == hook_call.c.job)
        due = calls.where(hook_call.c.next_ms <= now).order_by(others, hook_call.c.next_ms, hook_call.c.job).limit(1)
        with self._database.read() as connection:
            call = connection.execute(due).first()
            next_ms = connection.execute(select(func.min(hook_call.c.next_ms))).scalar()
        if call is not None:
            self._try(self._hook, call)
            return 0.0
        return None if next_ms is None else (next_ms - now) / 1000

    def _try(self, hook: Hook, call: Any) -> None:
        with self._database.read() as connection:
            row = connection.execute(select(job).where(job.c.id == call.job)).first()
        problem = self._told(hook, row) if row is not None else ""
        pause_s = again_s(call.tries + 1) if problem else None
        if problem:
            event = "hook.not_taken" if pause_s else "hook.given_up"
            self._log.warning(event, job=call.job, tries=call.tries + 1, why=problem)
        with self._database.write() as writer:
            mine = hook_call.c.job == call.job
            if pause_s is None:
                writer.run(delete(hook_call).where(mine))
            else:
                next_ms = writer.now_ms + int(pause_s * 1000)
                writer.run(update(hook_call).where(mine).values(tries=call.tries + 1, next_ms=next_ms))

    def _told(self, hook: Hook, row: Any) -> str:
        """Make one request; why it was not taken, or nothing. The answer's body is not read."""
        body = body_of(row, self._party)
        at_s = now_ms(self._database.clock) // 1000
        try:
            headers = {
                "Content-Type": "application/json",
                TIME_HEADER: str(at_s),
                SIGNATURE_HEADER: signature(hook.secret(), at_s, body),
            }
            with (
                httpx.Client(verify=_trust(hook), timeout=ANSWER_S, follow_redirects=False, trust_env=False) as http,
                http.stream("POST", hook.url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
        except (httpx.HTTPError, OSError, BadSettings) as error:
            return f"{type(error).__name__}: {error}"[:200]
        return "" if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES else f"It answers {status}."


def _trust(hook: Hook) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=hook.authorities or None)


def _secret(path: Path) -> bytes:
    try:
        secret = read_private(path).strip()
    except OSError as error:
        raise BadSettings(f"hooks.secret_file: {path} cannot be read: {error.strerror}.") from None
    if len(secret) < LEAST_SECRET_BYTES:
        raise BadSettings(
            f"hooks.secret_file: {path} has fewer than {LEAST_SECRET_BYTES} bytes.",
            hint="python3 -c 'import secrets; print(secrets.token_urlsafe(32))' makes one; mode 600.",
        )
    return secret

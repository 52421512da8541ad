"""Short-lived proof of who somebody is: single-use login tickets and session tokens.

Both are made only for somebody who came with a token or a password, and are bound to it: they stop working as soon as
the user is removed or gets another token or password. A session token is random; the file holds its digest, whose it
is and until when, so that a restart keeps sessions open and keeps ended ones ended. Tickets live in memory only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from party.errors import NotAuthenticated, UserUnknown
from party.users import Account, Users
from runtime.canonical import parse_json
from runtime.clock import Clock, now_ms
from runtime.disk.files import read_private, write_whole
from runtime.errors import PlatformError
from runtime.log import get_logger

PREFIX = "s1."  # tells a session token from a user's own
SESSION_S = 12 * 3600
TICKET_S = 120
MAX_TICKETS = 1000
MAX_SESSIONS = 50  # of one user; the oldest ends when there would be more
SCHEMA = 1

_log = get_logger("flow")


@dataclass(frozen=True)
class _Proof:
    """Whose it is, which token or password it rests on, until when (milliseconds of wall time)."""

    user: str
    credential: str
    until_ms: int

    def account(self, users: Users) -> Account:
        """The account, if it has the same token and password still. Raises NotAuthenticated."""
        try:
            account = users.account(self.user)
        except UserUnknown:
            raise _over() from None
        if not hmac.compare_digest(account.credential, self.credential):
            raise _over()
        return account


class SessionBook:
    """Opens, knows and ends sessions; issues tickets for them."""

    def __init__(self, file: Path, clock: Clock) -> None:
        """Take up the sessions in the file; a file that cannot be read ends them all."""
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._tickets: dict[str, _Proof] = {}
        self._open: dict[str, _Proof] = _read(file)

    def issue_ticket(self, account: Account, valid_s: float = TICKET_S) -> str:
        """A ticket that opens one session of the account."""
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            self._tickets = self._still_valid(self._tickets)
            if len(self._tickets) >= MAX_TICKETS:
                self._tickets.pop(next(iter(self._tickets)))
            self._tickets[_digest(ticket)] = self._proof(account, valid_s)
        return ticket

    def redeem(self, ticket: str, users: Users) -> Account:
        """The account of a ticket, once. Raises NotAuthenticated."""
        with self._lock:
            proof = self._tickets.pop(_digest(ticket), None)
        if proof is None or proof.until_ms <= now_ms(self._clock):
            raise NotAuthenticated("This login link was used already or is too old.", hint="Ask for a new one.")
        return proof.account(users)

    def open(self, account: Account, valid_s: float = SESSION_S) -> tuple[str, int]:
        """A session token and when it ends (milliseconds of wall time)."""
        token = PREFIX + secrets.token_urlsafe(32)
        proof = self._proof(account, valid_s)
        with self._lock:
            self._open = self._still_valid(self._open)
            own = [known for known, other in self._open.items() if other.user == proof.user]
            for oldest in own[: max(0, len(own) + 1 - MAX_SESSIONS)]:
                del self._open[oldest]
            self._open[_digest(token)] = proof
            self._write()
        return token, proof.until_ms

    def account(self, token: str, users: Users) -> Account:
        """The account of a session token. Raises NotAuthenticated."""
        with self._lock:
            proof = self._open.get(_digest(token))
        if proof is None or proof.until_ms <= now_ms(self._clock):
            raise _over()
        return proof.account(users)

    def end(self, token: str) -> None:
        """The token works no longer, after a restart neither. Raises NotAuthenticated if it does not work now."""
        with self._lock:
            if self._open.pop(_digest(token), None) is None:
                raise _over()
            self._write()

    def _proof(self, account: Account, valid_s: float) -> _Proof:
        return _Proof(account.user.name, account.credential, int(now_ms(self._clock) + valid_s * 1000))

    def _still_valid(self, proofs: dict[str, _Proof]) -> dict[str, _Proof]:
        now = now_ms(self._clock)
        return {digest: proof for digest, proof in proofs.items() if proof.until_ms > now}

    def _write(self) -> None:
        rows = {digest: asdict(proof) for digest, proof in self._open.items()}
        body = json.dumps({"schema": SCHEMA, "sessions": rows}).encode()
        try:
            write_whole(self._file, body)
        except (OSError, PlatformError) as error:
            # Better no session after a restart than one that was ended: nobody is kept from logging in meanwhile.
            _log.warning("rest.sessions_not_kept", error=str(error))
            with suppress(OSError):
                self._file.unlink()


def is_session(token: str) -> bool:
    """Whether a bearer token is a session token rather than a user's own."""
    return token.startswith(PREFIX)


def _read(file: Path) -> dict[str, _Proof]:
    try:
        body = parse_json(read_private(file), str(file))
        if not isinstance(body, dict) or body["schema"] != SCHEMA:
            return {}
        return {
            digest: _Proof(str(row["user"]), str(row["credential"]), int(row["until_ms"]))
            for digest, row in body["sessions"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, PlatformError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("rest.sessions_unreadable", error=str(error))
        return {}


def _over() -> NotAuthenticated:
    return NotAuthenticated("The session is over.", hint="Log in again.")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()

"""What the routes ask: Flow itself and the doors of the rooms below, bound once when the service starts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from flow.policy_book import PolicyBook
from flow.rest.pulse import Pulse
from flow.rest.sessions import SessionBook, is_session
from flow.rest.visitors import Visitors
from flow.rest.vitals import Vitals
from flow.rooms.ports import ClusterPort, GatewayPort
from flow.service import FlowService
from party.errors import BadUsers
from party.user_file import UserFile
from party.users import Account, Users, authenticate
from runtime.clock import Clock
from runtime.limits.guessing import Brake, Turns
from storage.client import Store, TableManifest, TableStore


class UserBook:
    """The users of the party, read again when their file changes: a removed user is out at once."""

    def __init__(self, file: UserFile) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._seen: tuple[int, int] = (0, 0)
        self._users = Users()

    def users(self) -> Users:
        """The users now. Raises BadUsers."""
        with self._lock:
            seen = self._stamp()
            if seen != self._seen:
                self._users, self._seen = self.file.read(), seen
            return self._users

    def _stamp(self) -> tuple[int, int]:
        """Another value whenever the file is another: each change writes a new one."""
        try:
            stat = self.file.path.stat()
        except OSError as error:
            raise BadUsers(f"{self.file.path} cannot be read: {error.strerror}.") from None
        return stat.st_mtime_ns, stat.st_ino


@dataclass(frozen=True)
class Backends:
    """Everything behind the routes of one party.

    Attributes:
        party: Our id.
        fingerprint: Of our card.
        service: Flow itself.
        policy: What the party agrees to.
        store: The party's tables, models and reports.
        gateway, cluster: Doors for the status page.
        book, sessions: Who may come in.
        brake, turns: On guessing passwords.
        visitors: Who stands behind our own board.
        pulse: Wakes event streams.
        vitals: Whether what all this stands on works.
        spool: A private folder for uploads on their way in.
        parties: We and the parties that we trust, by now.
        clock: Tells whether a date is over.
        ask_again_s: How long what was begun may go on after its user may no longer.
    """

    party: str
    fingerprint: str
    service: FlowService
    policy: PolicyBook
    store: Store
    gateway: GatewayPort
    cluster: ClusterPort
    book: UserBook
    sessions: SessionBook
    brake: Brake
    turns: Turns
    visitors: Visitors
    pulse: Pulse
    vitals: Vitals
    spool: Path
    parties: Callable[[], Iterable[str]]
    clock: Clock
    ask_again_s: float = 5.0

    @property
    def tables(self) -> TableStore:
        """The party's tables."""
        return self.store.tables

    def owner_of(self, job: str) -> str:
        """Our user whose it is what a job made: `FlowService.owner_of_outputs`."""
        return self.service.owner_of_outputs(job)

    def owner_of_table(self, manifest: TableManifest) -> str:
        """Whose a table is: who uploaded it, or whose the outputs are of the job that made it."""
        made_by = manifest.ref.job
        return manifest.owner if made_by is None else self.owner_of(made_by)

    def account(self, token: str) -> Account:
        """The account of a token or session token, with the roles it has now. Raises NotAuthenticated."""
        users = self.book.users()
        return self.sessions.account(token, users) if is_session(token) else authenticate(users, token)

"""What the routes ask: Flow itself and the doors of the rooms below, bound once when the service starts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cluster_manager.client import NodeStatus
from flow.policy_book import PolicyBook
from flow.rest.pulse import Pulse
from flow.rest.sessions import SessionBook, is_session
from flow.service import FlowService
from gateway.client import PeerStatus
from party.errors import NotAuthenticated, NotFound, UserUnknown
from party.users import User, Users, authenticate, load_users
from storage.client import Store, TableStore


class Gateway(Protocol):
    """The part of the gateway's door that these routes need."""

    def reload(self) -> None:
        """Read again whom we trust."""

    def peers(self) -> Sequence[PeerStatus]:
        """The trusted parties and the state of the link to each."""


class Cluster(Protocol):
    """The part of the Cluster Manager's door that the status page needs."""

    def nodes(self) -> Sequence[NodeStatus]:
        """The hosts of this party."""


class UserBook:
    """The users of the party, read again when their file changes: a removed user is out at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._seen: tuple[int, int] = (0, 0)
        self._users = Users()

    def users(self) -> Users:
        """The users now."""
        stat = self._file.stat()
        with self._lock:
            if (stat.st_mtime_ns, stat.st_ino) != self._seen:
                self._users = load_users(self._file)
                self._seen = (stat.st_mtime_ns, stat.st_ino)
            return self._users


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
        pulse: Wakes event streams.
        spool: A private folder for uploads on their way in.
    """

    party: str
    fingerprint: str
    service: FlowService
    policy: PolicyBook
    store: Store
    gateway: Gateway
    cluster: Cluster
    book: UserBook
    sessions: SessionBook
    pulse: Pulse
    spool: Path

    @property
    def tables(self) -> TableStore:
        """The party's tables."""
        return self.store.tables

    def owner_of(self, job: str) -> str:
        """Our user who submitted a job; nobody if another party did, or if the job is not known."""
        try:
            view = self.service.job(job)
        except NotFound:
            return ""
        return view.user if view.initiator == self.party else ""

    def user(self, token: str) -> User:
        """The user of a token or session token, with the roles that user has now. Raises NotAuthenticated."""
        users = self.book.users()
        if not is_session(token):
            return authenticate(users, token)
        try:
            return users.get(self.sessions.user_of(token))
        except UserUnknown:
            raise NotAuthenticated("The session's user is no longer known.", hint="Ask for a token.") from None

"""The users of a home as they are on disk, and every change to them: one at a time, by whichever process makes it.

A token is shown once, when it is made. Only a user whose token lies in HOME/tokens, as the first user's does for the
commands of this machine, gets the fresh one written there too.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from party.passwords import checked_password, password_digest
from party.users import Users, load_users, make_user, new_token, save_users
from runtime.disk.faults import refusals
from runtime.disk.files import private_folder, write_whole

USERS_FILE = "users.json"
TOKENS_FOLDER = "tokens"
_LOCK_FILE = ".users.lock"


class UserFile:
    """Reads and changes HOME/users.json."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.path = root / USERS_FILE

    def read(self) -> Users:
        """The users now. Raises BadUsers or FileExposed."""
        return load_users(self.path)

    def add(self, name: str, roles: Iterable[str], *, again: bool = False) -> str:
        """Add a user, or one `again` who was removed; the token, which is kept nowhere.

        Raises:
            UserExists: The name is in use.
            UserWasRemoved: It was somebody's, and `again` does not say that this is the same person.
            InvalidName, BadUsers: The name or a role is none.
        """
        token = new_token()
        with self._changing() as users:
            save_users(self.path, users.added(make_user(name, roles), token, again=again))
        return token

    def remove(self, name: str) -> None:
        """Remove a user, who is out from now on. Raises UserUnknown or LastOfficer."""
        with self._changing() as users:
            save_users(self.path, users.without(name))
            self.token_file(name).unlink(missing_ok=True)

    def set_roles(self, name: str, roles: Iterable[str]) -> None:
        """Give a user other roles. Raises UserUnknown, LastOfficer or BadUsers."""
        with self._changing() as users:
            save_users(self.path, users.with_roles(name, roles))

    def new_token(self, name: str) -> str:
        """A fresh token of a user; the one before is worth nothing from now on. Raises UserUnknown."""
        token = new_token()
        with self._changing() as users:
            save_users(self.path, users.with_token(name, token))
            if self.token_file(name).is_file():
                write_whole(self.token_file(name), token.encode() + b"\n")
        return token

    def set_password(self, name: str, password: str | None) -> None:
        """Let a user log in with this password, or with none. Raises UserUnknown or WeakPassword."""
        self.read().get(name)
        digest = "" if password is None else password_digest(checked_password(password, name))
        with self._changing() as users:
            save_users(self.path, users.with_password(name, digest))

    def token_file(self, name: str) -> Path:
        """Where the token of a user of this machine lies, if it is one."""
        return private_folder(self._root / TOKENS_FOLDER) / f"{name}.token"

    @contextmanager
    def _changing(self) -> Iterator[Users]:
        path = self._root / _LOCK_FILE
        with refusals(path):
            opened = path.open("ab")
        with opened as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.read()

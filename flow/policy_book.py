"""The party's policy as its settings file says it now: read again whenever the file changes.

A file that cannot be read changes nothing: what was decided before stays in force, and a note says so.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from flow.messages import Decision
from flow.policy import Policy
from party.errors import BadSettings
from party.log import get_logger
from party.settings import PolicySettings, load_settings
from party.settings_file import change_policy


class PolicyBook:
    """The `[policy]` section of a settings file. Thread-safe."""

    def __init__(self, file: Path) -> None:
        """Read the file. Raises BadSettings."""
        self._file = file
        self._lock = threading.Lock()
        self._log = get_logger("flow")
        self._seen = self._stamp()
        self._settings = load_settings(file).policy
        self._problem = ""
        for note in self._settings.unsaid():
            self._log.warning("policy.unsaid", message=note)

    def settings(self) -> PolicySettings:
        """The section as it is in the file."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._seen:
                self._read()
                self._seen = stamp
            return self._settings

    def policy(self) -> Policy:
        """What to decide by."""
        return policy_of(self.settings())

    def change(self, values: Mapping[str, object], user: str) -> PolicySettings:
        """Give keys other values, in the file too; what is decided from now on follows. Raises BadSettings."""
        with self._lock:
            change_policy(self._file, values)
            self._log.info("policy.changed", user=user, keys=", ".join(values))
        return self.settings()

    def notes(self) -> tuple[str, ...]:
        """What the file leaves open, and what is wrong with it, as sentences."""
        found = self.settings().unsaid()
        return (*found, self._problem) if self._problem else found

    def _read(self) -> None:
        try:
            self._settings = load_settings(self._file).policy
        except BadSettings as error:
            self._problem = f"{error.message} The policy from before stays in force."
            self._log.warning("policy.unreadable", message=self._problem)
        else:
            self._problem = ""
            self._log.info("policy.read", accept=self._settings.accept)

    def _stamp(self) -> tuple[int, int, int]:
        try:
            stat = self._file.stat()
        except OSError:
            return 0, 0, 0
        return stat.st_mtime_ns, stat.st_ino, stat.st_size


def policy_of(settings: PolicySettings) -> Policy:
    """The policy in the settings."""
    return Policy(
        accept=Decision(settings.accept),
        components=settings.components,
        peers=settings.peers,
        share=settings.share,
        min_rows=settings.min_rows,
        min_trainers=settings.min_trainers,
        min_protection=settings.min_protection,
    )

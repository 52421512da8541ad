"""The party's policy as its settings file says it now: read again whenever the file changes.

A file that cannot be read changes nothing: what was decided before stays in force, and a note says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from algorithms.registry import components
from flow.protocol.policy_check import unknown_names
from flow.views.jobs import PolicyView
from party.errors import BadSettings
from party.settings import PolicySettings, checked_policy, load_settings
from party.settings_file import change_policy
from runtime.errors import PlatformError
from runtime.log import get_logger


class PolicyBook:
    """The `[policy]` section of a settings file. Thread-safe.

    Args:
        file: The settings file.
        parties: We and the parties whose cards we hold, by now.
    """

    def __init__(self, file: Path, parties: Callable[[], Iterable[str]]) -> None:
        """Read the file. Raises BadSettings."""
        self._file = file
        self._parties = parties
        self._lock = threading.Lock()
        self._log = get_logger("flow")
        self._seen = self._stamp()
        self._settings = load_settings(file).policy
        self._problem = ""
        for note in self._settings.unsaid():
            self._log.warning("policy.unsaid", message=note)
        self._tell_unknown()

    def settings(self) -> PolicySettings:
        """The section as it is in the file."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._seen:
                self._read()
                self._seen = stamp
            return self._settings

    def view(self) -> PolicyView:
        """The section, and what people should know of it."""
        return viewed(self.settings(), self._unknown())

    def change(self, values: Mapping[str, object], user: str) -> PolicyView:
        """Give keys other values, in the file too; what is decided from now on follows.

        Raises:
            BadSettings: A value is wrong, or names a component or party that is not known here and did not stand there.
        """
        before = self.settings()
        wanted = checked_policy(before, values)
        for problem in unknown_names(wanted, components(), set(self._parties()), before):
            raise BadSettings(f"policy.{problem.path}: {problem.message}", hint=problem.hint)
        with self._lock:
            change_policy(self._file, values)
            self._log.info("policy.changed", user=user, keys=", ".join(values))
        return self.view()

    def notes(self) -> tuple[str, ...]:
        """What the file leaves open, and what is wrong with it, as sentences."""
        found = (*self.settings().unsaid(), *self._unknown())
        return (*found, self._problem) if self._problem else found

    def _unknown(self) -> tuple[str, ...]:
        try:
            parties = set(self._parties())
        except PlatformError:
            return ()  # a card that cannot be read is told elsewhere
        return notes_of_unknown(self._settings, parties)

    def _tell_unknown(self) -> None:
        for note in self._unknown():
            self._log.warning("policy.unknown", message=note)

    def _read(self) -> None:
        try:
            self._settings = load_settings(self._file).policy
        except BadSettings as error:
            self._problem = f"{error.message} The policy from before stays in force."
            self._log.warning("policy.unreadable", message=self._problem)
        else:
            self._problem = ""
            self._log.info("policy.read", accept=self._settings.accept)
            self._tell_unknown()

    def _stamp(self) -> tuple[int, int, int]:
        try:
            stat = self._file.stat()
        except OSError:
            return 0, 0, 0
        return stat.st_mtime_ns, stat.st_ino, stat.st_size


def notes_of_unknown(settings: PolicySettings, parties: Collection[str]) -> tuple[str, ...]:
    """A sentence for each name in a policy that fits nothing here."""
    return tuple(f"policy.{p.path}: {p.message} {p.hint}" for p in unknown_names(settings, components(), parties))


def viewed(settings: PolicySettings, notes: Iterable[str]) -> PolicyView:
    """A policy with what people should know of it."""
    return PolicyView.model_validate({**settings.model_dump(), "notes": tuple(notes)})

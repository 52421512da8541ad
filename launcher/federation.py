"""Several parties on one machine, each its own process tree with its own keys, database and ports.

Used by the demo, the benchmarks and the end-to-end tests. Everything is done through the `flow` command, as a person
would do it; only the folder is ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from launcher.private_mariadb import PrivateMariaDb
from party.home import PartyHome
from runtime.errors import PlatformError

COMMAND_TIMEOUT_S = 120.0


class CommandFailed(PlatformError):
    """A `flow` command ended with an error."""

    code = "launcher.command_failed"


class LocalParty:
    """One party of the federation: its home folder and its `flow` command."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.home = folder / name

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which `flow` means this party."""
        return os.environ | {"ARCHIPELAGO_HOME": str(self.home)}

    def flow(self, *arguments: str | Path) -> str:
        """What the command printed. Raises CommandFailed with what it printed on stderr."""
        done = self.run(*arguments)
        if done.returncode != 0:
            words = " ".join(map(str, arguments))
            raise CommandFailed(f"{self.name}: 'flow {words}' ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def flow_json(self, *arguments: str | Path) -> Any:
        """What the command printed with `--json`, parsed."""
        return json.loads(self.flow(*arguments, "--json"))

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, whatever its exit code."""
        return subprocess.run(
            flow_command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def popen(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start the command and go on."""
        return subprocess.Popen(flow_command(*arguments), env=self.environment, text=True, **options)

    def settings_home(self) -> PartyHome:
        """The party's home, for its settings and ports."""
        return PartyHome(self.home)


class LocalFederation:
    """Parties that trust each other, made in `folder`."""

    def __init__(
        self, folder: Path, names: Sequence[str], *, database: str = "sqlite", policy: Sequence[str] = ()
    ) -> None:
        """Describe them; nothing is made yet.

        Args:
            folder: Where their homes are made.
            names: Their ids.
            database: `sqlite`, or `mysql` for a private MariaDB.
            policy: What they agree to beyond the usual, as `KEY=VALUE` of `flow party policy set`.
        """
        self.folder = folder
        self._policy = tuple(policy)
        self.parties = {name: LocalParty(name, folder) for name in names}
        self._mariadb: PrivateMariaDb | None = None
        if database == "mysql":
            self._mariadb = PrivateMariaDb([_database_of(name) for name in names])

    def __getitem__(self, name: str) -> LocalParty:
        return self.parties[name]

    def create(self) -> None:
        """Make every home, one after the other so that ports differ, and exchange all cards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._mariadb is not None:
            self._mariadb.start()
        for party in self.parties.values():
            party.flow("party", "init", party.name, "--accept", "agree", *self._database_options(party))
        if self._policy:
            self._each(lambda p: p.flow("party", "policy", "set", *self._policy))
        cards = {name: party.home / "card.json" for name, party in self.parties.items()}
        self._each(lambda p: p.flow("party", "trust", *(card for name, card in cards.items() if name != p.name)))

    def up(self) -> None:
        """Start every party's services and wait until all are healthy."""
        self._each(lambda p: p.flow("party", "up", "--detach"))

    def down(self) -> None:
        """Stop every party's services, then the database."""
        self._each(lambda p: p.run("party", "down"))
        if self._mariadb is not None:
            self._mariadb.stop()

    def _database_options(self, party: LocalParty) -> list[str]:
        if self._mariadb is None:
            return []
        file = self.folder / f"{party.name}.database-url"
        file.touch(mode=0o600)
        file.write_text(self._mariadb.url(_database_of(party.name)))
        return ["--database", "mysql", "--database-url-file", str(file)]

    def _each(self, work: Any) -> None:
        with ThreadPoolExecutor(len(self.parties)) as pool:
            list(pool.map(work, self.parties.values()))


def flow_command(*arguments: str | Path) -> list[str]:
    """The `flow` console script of this Python, whether or not it is on the PATH."""
    return [sys.executable, "-P", "-m", "flow.cli", *map(str, arguments)]


def _database_of(party: str) -> str:
    return party.replace("-", "_")

"""A MariaDB of one's own for a trial or a test: a fresh data folder, loopback only, random passwords, gone at the end.

It is never used in production; a real party points `flow.database_url_file` at its own server.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pymysql

from runtime.addresses import free_port
from runtime.errors import Unavailable

START_TIMEOUT_S = 60.0
POLL_S = 0.05
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin:/bin"


class MariaDbMissing(Unavailable):
    """The server's programs are not installed."""

    code = "launcher.mariadb_missing"
    retry = False


class MariaDbFailed(Unavailable):
    """The server did not start."""

    code = "launcher.mariadb_failed"


def mariadb_program(name: str) -> str | None:
    """The full path of one of the server's programs, or None."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS)


class PrivateMariaDb:
    """One server process with one database for each name, each with a user and a random password of its own."""

    def __init__(self, databases: Sequence[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="apl-mariadb-"))  # of its own, so that its user may enter it
        self.port = free_port("127.0.0.1")
        self._passwords = {name: secrets.token_urlsafe(24) for name in databases}
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """The SQLAlchemy address of a database. It holds the password: write it to a 0600 file, never print it."""
        return f"mysql+pymysql://{database}:{self._passwords[database]}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make the data folder, start the server and wait until it takes connections.

        Raises:
            MariaDbMissing: The programs are not installed.
            MariaDbFailed: The server ended or did not answer in time.
        """
        install, server = mariadb_program("mariadb-install-db"), mariadb_program("mariadbd")
        if install is None or server is None:
            raise MariaDbMissing("MariaDB is not installed.", hint="Install your system's mariadb-server package.")
        user = getpass.getuser()
        if os.geteuid() == 0:
            user = "nobody"
            shutil.chown(self.folder, user)
        data = self.folder / "data"
        common = ["--no-defaults", f"--datadir={data}", f"--user={user}"]
        subprocess.run(
            [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [server, *common, *self._options(self._write_init_file(user))],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait()

    def stop(self) -> None:
        """End the server and remove its folder."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _options(self, init_file: Path) -> list[str]:
        return [
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            f"--socket={self.folder / 's'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--init-file={init_file}",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=2",
            "--skip-log-bin",
            "--skip-name-resolve",
        ]

    def _write_init_file(self, user: str) -> Path:
        lines = [f"ALTER USER root@localhost IDENTIFIED BY '{secrets.token_urlsafe(24)}';"]
        for name, password in self._passwords.items():
            lines += [
                f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4;",
                f"CREATE USER `{name}`@`127.0.0.1` IDENTIFIED BY '{password}';",
                f"GRANT ALL ON `{name}`.* TO `{name}`@`127.0.0.1`;",
            ]
        file = self.folder / "init.sql"
        file.touch(mode=0o600)
        file.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            shutil.chown(file, user)
        return file

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        name, password = next(iter(self._passwords.items()))
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                pymysql.connect(host="127.0.0.1", port=self.port, user=name, password=password, database=name).close()
                return
            except pymysql.err.OperationalError:
                time.sleep(POLL_S)
        log = (self.folder / "log").read_text(errors="replace")[-500:]
        self.stop()
        raise MariaDbFailed(f"MariaDB did not start: {log}")

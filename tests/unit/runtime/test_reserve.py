"""A database on a full disk: what ends something finds room in the reserve."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from flow.store.database import Database as FlowDatabase
from flow.store.tables import event
from runtime.clock import SystemClock
from runtime.disk import sqlite
from runtime.disk.reserve import RESERVE_BYTES, holds_after
from runtime.disk.sqlite import Database
from runtime.errors import DiskFull
from tests.fakes.disks import fill, small_disk

MIB = 1 << 20
LARGE = 100_000 * MIB


@pytest.mark.parametrize(
    ("held", "free", "total", "after"),
    [
        (False, 72 * MIB, LARGE, True),
        (False, 72 * MIB - 1, LARGE, False),  # above what stays free anyway
        (True, 2 * MIB, LARGE, True),
        (True, 2 * MIB - 1, LARGE, False),
        (True, 0, LARGE, False),
        (False, 0, LARGE, False),
        (False, 2 * MIB, 20 * MIB, True),  # of a small disk a twentieth, twice
        (True, MIB // 4 - 1, 20 * MIB, False),
    ],
)
def test_the_reserve_is_emptied_in_need_and_filled_again(held: bool, free: int, total: int, after: bool) -> None:
    assert holds_after(held, free, total) is after


def rows(database: Database, count: int) -> None:
    """Write so many rows of 1,000 bytes, each for itself."""
    for _ in range(count):
        database.write(lambda writer: writer.execute("INSERT INTO row VALUES (?)", (bytes(1_000),)))


def test_a_full_disk_leaves_room_for_ends_and_none_for_more(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "200m") as folder:
        database = Database(folder / "a.sqlite", ("CREATE TABLE row (data BLOB);",), "process")
        rows(database, 1)
        reserve = folder / "a.sqlite-reserve"
        assert (reserve.stat().st_size, reserve.stat().st_mode & 0o777) == (RESERVE_BYTES, 0o600)
        database.require_room()
        filler = fill(folder)
        with pytest.raises(DiskFull):
            database.require_room()
        rows(database, 300)
        assert reserve.stat().st_size == 0
        filler.unlink()
        rows(database, 1)
        assert reserve.stat().st_size == RESERVE_BYTES
        database.require_room()
        assert database.read("SELECT COUNT(*) FROM row") == [(302,)]
        database.close()


def test_without_it_the_same_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite.Reserve, "adjust", lambda _: None)
    with small_disk(tmp_path / "small", "200m") as folder:
        database = Database(folder / "a.sqlite", ("CREATE TABLE row (data BLOB);",), "process")
        fill(folder)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            rows(database, 300)
        database.close()


def test_flow_s_own_file_has_one_too(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "200m") as folder:
        database = FlowDatabase(f"sqlite:///{folder}/flow.sqlite", SystemClock())
        for full in (False, True):
            if full:
                fill(folder)
                with pytest.raises(DiskFull):
                    database.require_room()
            for _ in range(200):
                with database.write() as writer:
                    writer.event("job.stopped", "01JABCDEFGHJKMNPQRSTVWXYZ0", body={"text": "x" * 1_000})
        with database.read() as connection:
            assert len(connection.execute(event.select()).all()) == 400
        assert (folder / "flow.sqlite-reserve").stat().st_size == 0
        database.close()


def test_no_disk_is_too_small_for_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "512k") as folder:
        database = Database(folder / "a.sqlite", ("CREATE TABLE row (data BLOB);",), "process")
        rows(database, 3)
        assert (folder / "a.sqlite-reserve").stat().st_size < RESERVE_BYTES
        database.close()

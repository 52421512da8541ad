"""What a file system refuses becomes an error with a code, a path and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from runtime.disk.faults import fault_of, refusals, refuse_unwritable
from runtime.errors import DiskFull, FileFault, Unavailable, public_sentence


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_and_a_spent_quota_are_one_error_that_names_the_file(tmp_path: Path, number: int) -> None:
    said = r"^No room left on /\S* for \S+/users\.json\. Make room there"
    with pytest.raises(DiskFull, match=said), refusals(tmp_path / "users.json"):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EIO])
def test_whatever_else_a_disk_refuses_names_the_file_and_what_to_do(tmp_path: Path, number: int) -> None:
    with pytest.raises(FileFault, match=os.strerror(number)) as caught, refusals(tmp_path / "card.json"):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path / "card.json") in caught.value.message
    assert caught.value.hint


def test_an_error_that_is_no_fault_of_a_disk_stays_what_it_is(tmp_path: Path) -> None:
    assert fault_of(ConnectionRefusedError(errno.ECONNREFUSED, "no")) is None
    assert fault_of(ValueError("no")) is None
    assert fault_of(sqlite3.OperationalError("no such table")) is None
    with pytest.raises(FileNotFoundError), refusals(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "no")


def test_an_error_of_the_system_names_its_own_file_where_nobody_else_does() -> None:
    with pytest.raises(IsADirectoryError) as is_folder:
        Path("/").write_bytes(b"")
    assert fault_of(is_folder.value) is None
    told = fault_of(PermissionError(errno.EACCES, "no", "/srv/home/party.toml"))
    assert told is not None
    assert "/srv/home/party.toml" in told.message


def test_a_database_without_room_is_a_full_disk() -> None:
    database = sqlite3.connect(":memory:")
    database.executescript("PRAGMA max_page_count = 2; CREATE TABLE t (a)")
    with pytest.raises(sqlite3.OperationalError) as full:
        database.execute("INSERT INTO t VALUES (?)", (bytes(10_000),))
    assert isinstance(fault_of(full.value), DiskFull)


def test_a_database_that_may_only_be_read_says_so(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "a").execute("CREATE TABLE t (a)")
    database = sqlite3.connect(f"file:{tmp_path / 'a'}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as refused:
        database.execute("INSERT INTO t VALUES (1)")
    told = fault_of(refused.value)
    assert isinstance(told, FileFault)
    assert "readonly" in told.message


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_both_are_waited_for_and_their_public_sentences_hold_no_path() -> None:
    assert DiskFull.retry
    assert FileFault.retry
    assert issubclass(DiskFull, Unavailable)
    assert public_sentence("runtime.disk_full") == "Its disk is full."

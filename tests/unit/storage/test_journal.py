"""The journal: the first value stays, whatever dies; a torn end is cut off, other damage and other keys are errors."""

from __future__ import annotations

import errno
import os
from threading import Thread

import pytest

from runtime.disk import room
from storage.client import Damaged, Journal, SchemaVersionUnknown, StoreFull, WrongKey

KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "task" / "journal"


def never():
    raise AssertionError("made twice")


def test_a_value_is_made_once(path):
    journal = Journal(path, KEY)
    assert journal.once("seed", lambda: b"first") == b"first"
    assert journal.once("seed", never) == b"first"
    assert Journal(path, KEY).once("seed", never) == b"first"
    assert Journal(path, KEY).names() == ["seed"]


def test_nothing_in_the_file_is_readable(path):
    Journal(path, KEY).once("own-seed", lambda: b"a secret of some length")
    data = path.read_bytes()
    assert b"secret" not in data
    assert b"own-seed" not in data
    assert path.stat().st_mode & 0o077 == 0


def test_two_journals_on_one_file_agree(path):
    one, other = Journal(path, KEY), Journal(path, KEY)
    assert one.once("a", lambda: b"1") == b"1"
    assert other.once("b", lambda: b"2") == b"2"
    assert other.once("a", never) == b"1"
    assert one.once("b", never) == b"2"
    assert one.names() == ["a", "b"]


def test_threads_agree(path):
    journal, seen = Journal(path, KEY), []
    threads = [Thread(target=lambda i=i: seen.append(journal.once("x", lambda: bytes([i])))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_a_value_that_could_not_be_made_is_not_journaled(path):
    journal = Journal(path, KEY)
    with pytest.raises(AssertionError):
        journal.once("x", never)
    assert journal.once("x", lambda: b"now") == b"now"


def test_a_torn_last_record_is_cut_off_wherever_it_was_torn(path):
    journal = Journal(path, KEY)
    journal.once("a", lambda: b"1")
    whole = path.stat().st_size
    journal.once("b", lambda: b"2" * 20)
    data = path.read_bytes()
    for end in range(whole, len(data)):
        path.write_bytes(data[:end])
        reopened = Journal(path, KEY)
        assert reopened.once("a", never) == b"1"
        assert reopened.names() == ["a"]
        assert reopened.once("b", lambda: b"new") == b"new"
        assert Journal(path, KEY).once("b", never) == b"new"


def test_a_last_record_whose_pages_were_not_all_written_is_cut_off(path):
    journal = Journal(path, KEY)
    journal.once("a", lambda: b"1")
    whole = path.stat().st_size
    journal.once("b", lambda: b"2" * 50)
    data = bytearray(path.read_bytes())
    data[whole + 30 :] = bytes(len(data) - whole - 30)
    path.write_bytes(data)
    assert Journal(path, KEY).names() == ["a"]


def test_damage_before_the_last_record_is_an_error(path):
    journal = Journal(path, KEY)
    start = None
    for name in ("a", "b", "c"):
        journal.once(name, lambda: b"value")
        start = start or path.stat().st_size
    data = bytearray(path.read_bytes())
    data[start + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match="Record 2"):
        Journal(path, KEY).once("d", never)


def test_another_key_is_refused_and_destroys_nothing(path):
    Journal(path, KEY).once("a", lambda: b"1")
    before = path.read_bytes()
    with pytest.raises(WrongKey):
        Journal(path, bytes(32)).once("a", never)
    assert path.read_bytes() == before


def test_a_file_that_is_no_journal_or_of_another_version_is_refused(path):
    Journal(path, KEY).once("a", lambda: b"1")
    data = path.read_bytes()
    path.write_bytes(data[:6] + b"\x02\x00" + data[8:])
    with pytest.raises(SchemaVersionUnknown):
        Journal(path, KEY).names()
    path.write_bytes(b"hello")
    with pytest.raises(Damaged):
        Journal(path, KEY).names()
    assert Journal(path.with_name("none"), KEY).names() == []


def test_a_record_is_whole_however_little_the_disk_takes_at_once(path, monkeypatch):
    journal, pwrite = Journal(path, KEY), os.pwrite
    journal.once("a", lambda: b"1")
    whole = path.read_bytes()
    room = 40

    def little(handle, data, at):
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, "full")
        written = pwrite(handle, data[:7], at)
        room -= written
        return written

    monkeypatch.setattr(os, "pwrite", little)
    with pytest.raises(StoreFull, match=r"No room left on /.* for a journal"):
        journal.once("b", lambda: b"2" * 50)
    assert path.read_bytes() == whole
    room = 1000
    assert journal.once("b", lambda: b"3" * 50) == b"3" * 50
    assert Journal(path, KEY).once("b", never) == b"3" * 50


def test_a_record_waits_where_less_is_free_than_stays_free(path, monkeypatch):
    journal = Journal(path, KEY)
    journal.once("a", lambda: b"1")
    whole = path.read_bytes()
    monkeypatch.setattr(room, "lacks_room", lambda *_: True)
    with pytest.raises(StoreFull, match=r"No room left on /.* for a journal"):
        journal.once("b", lambda: b"2")
    assert path.read_bytes() == whole
    assert journal.once("a", never) == b"1"
    monkeypatch.undo()
    assert journal.once("b", lambda: b"3") == b"3"


def test_a_journal_for_which_there_is_no_room_to_be_written_again_is_written_later(path, monkeypatch):
    journal, taken = Journal(path, KEY), []

    def lacks_room(*_):
        taken.append(1)
        return len(taken) > 1

    for name in ("a", "b", "c"):
        journal.once(name, name.encode)
    path.unlink()
    monkeypatch.setattr(room, "lacks_room", lacks_room)
    with pytest.raises(StoreFull):
        journal.keep()
    monkeypatch.undo()
    journal.keep()
    assert [journal.once(name, never) for name in ("a", "b", "c")] == [b"a", b"b", b"c"]
    assert Journal(path, KEY).names() == ["a", "b", "c"]


@pytest.mark.parametrize("again", ["keep", "once"])
def test_a_journal_whose_file_was_removed_is_written_again_from_what_its_process_knows(path, again):
    journal = Journal(path, KEY)
    for name in ("a", "b"):
        journal.once(name, name.encode)
    path.unlink()
    if again == "keep":
        journal.keep()
    else:
        assert journal.once("c", lambda: b"c") == b"c"
    other = Journal(path, KEY)
    assert other.names() == ["a", "b", "c"][: 2 + (again == "once")]
    assert (other.once("a", bytes), journal.once("a", bytes)) == (b"a", b"a")


def test_a_journal_that_is_kept_is_there_before_anything_is_in_it(path):
    journal = Journal(path, KEY)
    assert not journal.exists()
    journal.keep()
    assert journal.exists()
    assert journal.names() == []
    journal.set_aside()
    assert not journal.exists()

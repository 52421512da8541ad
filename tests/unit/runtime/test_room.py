"""Which disks are full, and how whoever writes waits for room."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime.disk import room
from runtime.disk.room import (
    each_disk,
    is_full_disk,
    is_short,
    lacks_room,
    least_free,
    once_there_is_room,
    require_room,
    room_left,
)
from runtime.errors import DiskFull
from storage.client import StoreFull
from tests.fakes.disks import fill, small_disk

MIB = 1 << 20


def status(total: int, free: int, inodes: tuple[int, int]) -> SimpleNamespace:
    """What the system says of a disk of so many bytes, of which so many are free; of how many inodes, how many free."""
    return SimpleNamespace(
        f_frsize=4096, f_blocks=total // 4096, f_bavail=free // 4096, f_files=inodes[0], f_favail=inodes[1]
    )


@pytest.mark.parametrize(
    ("total", "free", "more", "inodes", "lacks"),
    [
        (100_000 * MIB, 64 * MIB, 0, (9, 9), False),
        (100_000 * MIB, 64 * MIB - 4096, 0, (9, 9), True),
        (100_000 * MIB, 80 * MIB, 20 * MIB, (9, 9), True),
        (100 * MIB, 5 * MIB, 0, (9, 9), False),  # of a small disk a twentieth stays free
        (100 * MIB, 5 * MIB - 4096, 0, (9, 9), True),
        (100_000 * MIB, 50_000 * MIB, 0, (9, 0), True),  # no more files
        (100_000 * MIB, 50_000 * MIB, 0, (0, 0), False),  # a file system that does not count them
    ],
)
def test_a_disk_with_less_than_stays_free_lacks_room(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    total: int,
    free: int,
    more: int,
    inodes: tuple[int, int],
    lacks: bool,
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: status(total, free, inodes))
    assert lacks_room(tmp_path, more) is lacks
    if lacks:
        with pytest.raises(DiskFull, match=r"^No room left on /"):
            require_room(tmp_path, more)


@pytest.mark.parametrize(
    ("total", "free", "inodes", "short"),
    [
        (100_000 * MIB, 256 * MIB, (9, 9), False),
        (100_000 * MIB, 255 * MIB, (9, 9), True),
        (100 * MIB, 20 * MIB, (0, 0), False),
        (100 * MIB, 19 * MIB, (0, 0), True),
        (100_000 * MIB, 50_000 * MIB, (9, 0), True),  # no more files
    ],
)
def test_a_disk_is_short_of_room_before_it_lacks_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int, free: int, inodes: tuple[int, int], short: bool
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: status(total, free, inodes))
    assert is_short(tmp_path) is short
    assert lacks_room(tmp_path) is (inodes == (9, 0))


@pytest.mark.parametrize(
    ("free", "inodes", "left"), [(70, (9, 9), 6), (64, (0, 0), 0), (10, (9, 9), 0), (50_000, (9, 0), 0)]
)
def test_what_stays_free_is_not_left_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, inodes: tuple[int, int], left: int
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: status(100_000 * MIB, free * MIB, inodes))
    assert room_left(tmp_path) == left * MIB


def test_a_disk_that_says_nothing_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise OSError(errno.ENOSYS, "no")

    monkeypatch.setattr(os, "statvfs", broken)
    assert not lacks_room(tmp_path)
    assert not is_short(tmp_path)
    assert room_left(tmp_path) is None


def test_a_full_disk_is_seen_and_each_disk_is_looked_at_once(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as folder:
        (folder / "a").mkdir()
        assert list(each_disk([tmp_path, tmp_path / "absent", folder, folder / "a"])) == [tmp_path, folder]
        assert not is_full_disk(folder)
        fill(folder)
        assert is_full_disk(folder / "a")
        assert not is_full_disk(folder / "absent")


@pytest.mark.parametrize(
    "full",
    [OSError(errno.ENOSPC, "no"), OSError(errno.EDQUOT, "no"), DiskFull("no"), StoreFull("/", "a model", None, None)],
)
def test_what_a_full_disk_refuses_is_tried_until_there_is_room_and_told_once(
    monkeypatch: pytest.MonkeyPatch, full: Exception
) -> None:
    left, told, slept = [full] * 9, [], []
    monkeypatch.setattr(room.time, "sleep", slept.append)

    def write() -> str:
        if left:
            raise left.pop()
        return "written"

    assert once_there_is_room(write, told.append) == "written"
    assert told == [full]
    assert slept[:3] == [0.02, 0.04, 0.08]
    assert max(slept) == room.LAST_PAUSE_S
    assert least_free(0) == 0


@pytest.mark.parametrize("other", [OSError(errno.EACCES, "no"), ValueError("no")])
def test_another_refusal_is_raised_at_once(other: Exception) -> None:
    def write() -> None:
        raise other

    with pytest.raises(type(other)):
        once_there_is_room(write)

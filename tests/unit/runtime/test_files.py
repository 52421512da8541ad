from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runtime.disk.files import keep_private, private_folder, read_private, write_whole
from runtime.errors import DiskFull, FileExposed


def test_a_file_is_replaced_in_one_step_and_private(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"old")
    with (tmp_path / "a").open("rb") as reader:
        write_whole(tmp_path / "a", b"new")
        assert reader.read() == b"old"
    assert read_private(tmp_path / "a") == b"new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a", b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskFull, match=r"No room left on /\S* for .*/a\."):
        write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o601])
def test_a_secret_that_others_can_touch_is_not_read(tmp_path: Path, mode: int) -> None:
    write_whole(tmp_path / "a", b"secret", mode=mode)
    with pytest.raises(FileExposed, match=f"mode {mode:o}"):
        read_private(tmp_path / "a")


def test_a_private_folder_is_made_once_and_never_taken_from_others(tmp_path: Path) -> None:
    made = private_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert private_folder(made) == made
    (tmp_path / "link").symlink_to(made)
    with pytest.raises(FileExposed):
        private_folder(tmp_path / "link")
    made.chmod(0o770)
    with pytest.raises(FileExposed, match="mode 770"):
        private_folder(made)


def test_a_file_is_its_owners_alone_before_a_library_opens_it(tmp_path: Path) -> None:
    fresh, old = tmp_path / "fresh", tmp_path / "old"
    old.write_bytes(b"kept")
    old.chmod(0o644)
    for path in (fresh, old):
        keep_private(path)
        assert path.stat().st_mode & 0o777 == 0o600
    assert old.read_bytes() == b"kept"

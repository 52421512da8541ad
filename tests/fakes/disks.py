"""Really small disks for tests, and what fills them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str = "1m") -> Iterator[Path]:
    """A disk of this size in the folder, which is made if absent; the test is skipped where nothing can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("this host lets us mount nothing")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte on the disk free; the file to remove for there to be room again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk has no end")


def make_read_only(disk: Path) -> None:
    """Let nothing be written to the disk from now on."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

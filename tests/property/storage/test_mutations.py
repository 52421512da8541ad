"""No file and no message, however it was changed, ends a reader's process, fills its memory or goes without a name."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.property.storage.mutations import READERS, case, read, seeds

ROOT = Path(__file__).parents[3]
SEED = 20261127
PARTS, PART = 10, 10_000
MOST_DEATHS = 5


def run(folder: Path, seed: int, start: int, count: int) -> list[str]:
    """Read the cases in as few processes as it takes; every one that went wrong is kept in `folder` and named."""
    wrong, end = [], start + count
    notes = folder / "at"
    while start < end and len(wrong) < MOST_DEATHS:
        notes.write_bytes(struct.pack("<q", start))
        command = [sys.executable, "-m", "tests.property.storage.mutations", seed, start, end - start, notes]
        done = subprocess.run([str(word) for word in command], cwd=ROOT, check=False, capture_output=True, text=True)
        wrong += [keep(folder, seed, int(line.split()[0]), line) for line in done.stdout.splitlines()]
        if done.returncode == 0:
            break
        (at,) = struct.unpack("<q", notes.read_bytes())
        wrong.append(keep(folder, seed, at, f"ended with {done.returncode}: {done.stderr[-300:]}"))
        start = at + 1
    return wrong


def keep(folder: Path, seed: int, number: int, problem: str) -> str:
    name, data = case(seed, number)
    file = folder / f"{seed}-{number}-{name.replace('/', '-')}"
    file.write_bytes(data)
    return f"{name}: {problem} (kept as {file})"


def test_every_valid_file_and_message_is_read_or_refused_by_name():
    assert {name.partition("/")[0] for name, _ in seeds()} == set(READERS)
    assert [(name, problem) for name, data in seeds() if (problem := read(name, data))] == []


def test_two_thousand_changed_files_and_messages_harm_no_reader(tmp_path):
    assert run(tmp_path, SEED, 0, 2000) == []


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_a_hundred_thousand_changed_files_and_messages_harm_no_reader(tmp_path, part):
    assert run(tmp_path, SEED + 1 + part, 0, PART) == []

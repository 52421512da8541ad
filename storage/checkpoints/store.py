"""Checkpoints at rest: the state of one address of a task attempt after a step, sealed, whole or absent.

    checkpoints/<job>/<task>/<attempt>/<role>-<party>/<step>.ckpt

A file is a magic number and version, then boxes one after the other, each with its length before it: for each part
its name and size, then the part in pieces; at the end the number of parts. Every box is bound to the attempt, address,
step and its place in the file, so that nothing can be swapped, left out or cut off unseen. The last two steps are
kept: what a power cut tears is the newest, and the one before it is still there.

Beside the attempts lie the journals, where the store is on this host.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from party.errors import CannotUnseal
from party.ids import Address, AttemptId, JobId, TaskName
from party.seal import box, unbox
from runtime.bounds import MAX_ATTEMPTS
from storage.errors import Damaged, SchemaVersionUnknown
from storage.kinds import Value
from storage.place import Place
from storage.values import decode, encode

ROOT = "checkpoints"
KEPT_CHECKPOINTS = 2  # of one address in an attempt
PIECE_BYTES = 64 * 2**20
SCHEMA = 1
_MAGIC = b"ARCKPT"
_HEAD = struct.Struct("<6sH")
_LENGTH = struct.Struct("<Q")
_SUFFIX = ".ckpt"
# An executor may leave other names there, which are nobody's.
_FILE = re.compile(rf"([0-9]{{12}})\{_SUFFIX}")
_ATTEMPT = re.compile("[1-9][0-9]{0,9}")


@dataclass(frozen=True)
class Checkpoint:
    """The state after a step."""

    step: int
    parts: dict[str, Value]


class CheckpointStore:
    """The checkpoints of one task, under the task's key of 32 bytes."""

    def __init__(self, where: str | Path | Place, key: bytes) -> None:
        self._place = Place.of(where)
        self._key = key

    def __repr__(self) -> str:
        return f"<CheckpointStore {self._place}>"

    def save(self, attempt: AttemptId, address: Address, step: int, parts: Mapping[str, Value]) -> None:
        """Store the state after `step` durably, then drop all but the two newest steps.

        Raises:
            UnsupportedValue: A part is not in the closed list of values.
        """
        folder = _folder(attempt, address)
        bound = _bound(attempt, address, step)
        self._place.write_pieces(f"{folder}/{step:012d}{_SUFFIX}", _sealed(self._key, bound, parts))
        for old in self.steps(attempt, address)[:-KEPT_CHECKPOINTS]:
            self._place.remove(f"{folder}/{old:012d}{_SUFFIX}")

    def steps(self, attempt: AttemptId, address: Address) -> list[int]:
        """Steps for which there is a checkpoint, oldest first."""
        names = self._place.files(_folder(attempt, address))
        return [int(found[1]) for name in names if (found := _FILE.fullmatch(name))]

    def latest(self, attempt: AttemptId, address: Address) -> Checkpoint | None:
        """The newest whole checkpoint, or None if there is none. One that cannot be read is set aside.

        Raises:
            Damaged: There were checkpoints, and none of them can be read.
        """
        problem: Damaged | None = None
        for step in reversed(self.steps(attempt, address)):
            try:
                return self.load(attempt, address, step)
            except Damaged as error:
                problem = problem or error
                self.set_aside(attempt, address, step)
        if problem is not None:
            raise problem
        return None

    def set_aside(self, attempt: AttemptId, address: Address, step: int) -> None:
        """Count the checkpoint of this step no more, which cannot be read; it lies there until its job is over."""
        file = f"{_folder(attempt, address)}/{step:012d}{_SUFFIX}"
        if self._place.exists(file):
            self._place.move(file, f"{file}.damaged")

    def load(self, attempt: AttemptId, address: Address, step: int) -> Checkpoint:
        """The checkpoint of exactly this step. Raises Damaged, also where it is absent."""
        what = f"The checkpoint of {attempt} at {address} after step {step}"
        try:
            file = self._place.open(f"{_folder(attempt, address)}/{step:012d}{_SUFFIX}")
        except FileNotFoundError:
            raise Damaged(f"{what} is not there.") from None
        with file:
            data = memoryview(file.read_buffer()).cast("B")  # type: ignore[arg-type]
        opened = _opened(self._key, _bound(attempt, address, step), data, what)
        return Checkpoint(step, {name: decode(part) for name, part in opened})

    def jobs(self) -> list[str]:
        """The jobs of which something is there."""
        return self._place.folders(ROOT)

    def held(self, job: str, task: str, address: Address) -> dict[int, list[int]]:
        """The steps for which there is a checkpoint, by attempt."""
        folders = self._place.folders(f"{ROOT}/{job}/{task}")
        attempts = [int(name) for name in folders if _ATTEMPT.fullmatch(name) and int(name) <= MAX_ATTEMPTS]
        steps = {n: self.steps(AttemptId(JobId(job), TaskName(task), n), address) for n in sorted(attempts)}
        return {attempt: found for attempt, found in steps.items() if found}

    def delete(self, job: str, task: str | None = None) -> None:
        """Delete every checkpoint and journal of a task, or of all tasks of a job."""
        self._place.remove(f"{ROOT}/{job}" + (f"/{task}" if task else ""))

    def delete_journals(self, job: str) -> None:
        """Delete the journals of a job; its checkpoints stay."""
        for task in self._place.folders(f"{ROOT}/{job}"):
            for journal in self._place.files(f"{ROOT}/{job}/{task}"):
                self._place.remove(f"{ROOT}/{job}/{task}/{journal}")


def _folder(attempt: AttemptId, address: Address) -> str:
    return f"{ROOT}/{attempt}/{address.role}-{address.party}"


def _bound(attempt: AttemptId, address: Address, step: int) -> bytes:
    return f"archipelago/checkpoint/v{SCHEMA}|{attempt}|{address}|{step}|".encode()


def _sealed(key: bytes, bound: bytes, parts: Mapping[str, Value]) -> Iterator[bytes]:
    yield _HEAD.pack(_MAGIC, SCHEMA)
    for i, piece in enumerate(_plain(parts)):
        boxed = box(key, piece, bound + str(i).encode())
        yield _LENGTH.pack(len(boxed))
        yield boxed


def _plain(parts: Mapping[str, Value]) -> Iterator[bytes | memoryview]:
    """What is boxed, in order; one part is in memory at a time."""
    for name, value in parts.items():
        view = memoryview(encode(value)).cast("B")  # type: ignore[arg-type]
        yield json.dumps({"part": name, "bytes": len(view)}).encode()
        for start in range(0, len(view), PIECE_BYTES):
            yield view[start : start + PIECE_BYTES]
    yield json.dumps({"parts": len(parts)}).encode()


def _opened(key: bytes, bound: bytes, data: memoryview, what: str) -> Iterator[tuple[str, pa.Buffer]]:
    if len(data) < _HEAD.size or _HEAD.unpack_from(data)[0] != _MAGIC:
        raise Damaged(f"{what} does not begin as a checkpoint.")
    schema = _HEAD.unpack_from(data)[1]
    if schema != SCHEMA:
        raise SchemaVersionUnknown(f"{what} has schema {schema}; this program knows {SCHEMA}.")
    pieces = _pieces(key, bound, data, what)
    for piece in pieces:
        header = json.loads(piece)
        if "parts" in header:
            break
        yield header["part"], _part(pieces, header["bytes"], what)
    else:
        raise Damaged(f"{what} is cut off.")
    if next(pieces, None) is not None:
        raise Damaged(f"{what} goes on after its end.")


def _part(pieces: Iterator[bytes], size: int, what: str) -> pa.Buffer:
    part = pa.allocate_buffer(size)
    filled = memoryview(part).cast("B")  # type: ignore[arg-type]
    at = 0
    while at < size:
        piece = next(pieces, b"")
        if not piece:
            raise Damaged(f"{what} is cut off.")
        filled[at : at + len(piece)] = piece
        at += len(piece)
    return part


def _pieces(key: bytes, bound: bytes, data: memoryview, what: str) -> Iterator[bytes]:
    at, i = _HEAD.size, 0
    while at < len(data):
        size = _LENGTH.unpack_from(data, at)[0] if len(data) - at >= _LENGTH.size else len(data)
        at += _LENGTH.size
        if size > len(data) - at:
            raise Damaged(f"{what} is cut off.")
        try:
            yield unbox(key, data[at : at + size], bound + str(i).encode())
        except CannotUnseal as error:
            raise Damaged(f"{what} was changed, or sealed under another key.") from error
        at, i = at + size, i + 1

"""The working folder of one executor: its name, its files, how they are written.

    state/node/executors/<job>/<task>-<attempt>-<role>-<party>-i<incarnation>/
        order.json     what to do, without the token          (Node Manager, before the fork)
        process.json   pid and start time                     (warm parent, after the fork)
        events.jsonl   the event log                          (executor)
        stdout.log stderr.log   what is written past Python   (executor)
        scratch/                its HOME and TMPDIR           (executor)
        exit.json      how it ended                           (warm parent, before the process is reaped)
        end.json       what is told of its end if it said no last word   (Node Manager, once it is over)

Of a job that was cleaned, event logs and `end.json` stay under state/node/ended until Flow has recorded them.
The names of job, task and party are checked before a path is made of them.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from node_manager.errors import OrderRefused, StaleIncarnation, UnknownWireVersion
from node_manager.events import log_name
from node_manager.order import Order, OrderHead
from node_manager.process import ProcessId
from party.ids import JOB_ID_PATTERN, Address, task_name
from runtime.bounds import MAX_COUNT
from runtime.disk.faults import refusals
from runtime.disk.trees import remove_tree

SCHEMA = 1
SAME_VERSION = "Bring both sides to the same version."
LAST_WORDS_BYTES = 16_000
_OF_NO_USE = "Extension modules:"  # a long list of names at the end of a stack
ORDER, PROCESS, EVENTS, EXIT, END = "order.json", "process.json", "events.jsonl", "exit.json", "end.json"
FOLDERS = "*/*-i*"
STDOUT, STDERR = "stdout.log", "stderr.log"
SCRATCH = "scratch"
OrderT = TypeVar("OrderT", bound=OrderHead)


@dataclass(frozen=True, order=True)
class ExecutorKey:
    """Which executor: one address's side of one attempt, in one incarnation."""

    job: str
    task: str
    attempt: int
    address: str
    incarnation: int

    @staticmethod
    def of(order: OrderHead) -> ExecutorKey:
        """The key of an order. Raises OrderRefused or InvalidName when a name cannot be part of a path."""
        if not ExecutorKey.is_job(order.job):
            raise OrderRefused(f"'{order.job[:80]}' is not a job id.", hint="It becomes part of paths.")
        task_name(order.task)
        Address.parse(order.address)
        return ExecutorKey(order.job, order.task, order.attempt, order.address, order.incarnation)

    @staticmethod
    def is_job(text: str) -> bool:
        """Whether the text may be the name of a job's folder."""
        return re.fullmatch(JOB_ID_PATTERN, text) is not None

    @property
    def side(self) -> tuple[str, str, int, str]:
        """The key without the incarnation: of these only the newest may run."""
        return self.job, self.task, self.attempt, self.address

    @property
    def folder(self) -> str:
        """The working folder, relative to the Node Manager's own."""
        return log_name(self.job, self.task, self.attempt, self.address, self.incarnation)

    def matches(self, job: str, task: str | None, attempt: int | None) -> bool:
        """Whether a command for (job, task, attempt) means this executor; None means all."""
        return self.job == job and task in (None, self.task) and attempt in (None, self.attempt)


def make_folder(root: Path, key: ExecutorKey, order: Order) -> Path:
    """A fresh private working folder that holds the order without its token."""
    path = root / key.folder
    if (path / EXIT).exists():
        raise StaleIncarnation(
            f"Incarnation {key.incarnation} of {key.address} in {key.job}/{key.task}/{key.attempt} has already run.",
            hint="Start it again with the next incarnation.",
        )
    with refusals(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(path / ORDER, order.model_copy(update={"token": ""}).model_dump(mode="json", by_alias=True))
    return path


def read_order(folder: Path, kind: type[OrderT]) -> OrderT:
    """The order in a working folder, whole or its head. Raises OSError, ValueError, UnknownWireVersion."""
    body = json.loads((folder / ORDER).read_bytes())
    check_schema(body.get("schema") if isinstance(body, dict) else None, "order")
    return kind.model_validate(body)


def read_process(folder: Path) -> tuple[ProcessId, int] | None:
    """Which process works in a folder and how many bytes it inherited; None before there is one."""
    body = read_json(folder / PROCESS)
    if body is None:
        return None
    process = ProcessId(number(body, "pid") or 0, number(body, "start_ticks") or 0)
    return process, number(body, "inherited_bytes") or 0


def working_folders(root: Path) -> list[Path]:
    """Every working folder under `root`."""
    return sorted(root.glob(FOLDERS))


def forget_folder(folder: Path) -> None:
    """Remove what an executor worked in, or a whole job's folder, as far as the file system lets it go."""
    with suppress(OSError):
        remove_tree(folder)


def write_json(path: Path, body: dict[str, object]) -> None:
    """Replace `path` with the JSON of `body` in one step, readable by this user only.

    Raises DiskFull or FileFault where the file system refuses, and then leaves nothing beside it.
    """
    spare = path.with_name(path.name + ".new")
    with refusals(path), ExitStack() as undo:
        handle = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        undo.callback(spare.unlink, missing_ok=True)
        with os.fdopen(handle, "w") as file:
            json.dump(body, file)
        spare.replace(path)
        undo.pop_all()


def read_json(path: Path) -> dict[str, object] | None:
    """The JSON object in `path`, or None if there is none yet."""
    try:
        body = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return body if isinstance(body, dict) and body.get("schema") == SCHEMA else None


def number(body: dict[str, object], name: str) -> int | None:
    """A whole number of the body from 0 up to what fits a pid or a size; None for anything else."""
    value = body.get(name)
    return value if isinstance(value, int) and 0 <= value <= MAX_COUNT else None


def last_words(folder: Path) -> str:
    """The end of what went to the process's standard error past Python: a fatal signal's stack, for one."""
    try:
        with (folder / STDERR).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_WORDS_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines if not line.startswith(_OF_NO_USE)).strip()


def check_schema(found: object, what: str) -> None:
    """Raise UnknownWireVersion unless `found` is the schema this version reads."""
    if found != SCHEMA:
        raise UnknownWireVersion(
            f"This {what} has schema {found!r}; this version reads schema {SCHEMA}.",
            hint=SAME_VERSION,
        )

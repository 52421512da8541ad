"""What the Node Manager hands to its warm parent for one fork, and what comes back. Never stored, never printed."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from node_manager.folders import PROCESS, SCHEMA, write_json
from node_manager.process import ProcessId, anonymous_bytes

MAX_MESSAGE_BYTES = 64 << 10


class IsolationMode(StrEnum):
    """How executors are kept from what they need not see; in full in `executor/isolation.py`."""

    USER = "user"
    SANDBOX = "sandbox"
    PARTLY = "partly"
    NONE = "none"

    @property
    def sound(self) -> bool:
        """Whether it keeps all that it is there for; else people are warned."""
        return self in {IsolationMode.USER, IsolationMode.SANDBOX}


class IsolationReport(BaseModel):
    """What holds on this host, and in words for people."""

    model_config = ConfigDict(frozen=True)
    mode: IsolationMode
    text: str


class Assignment(BaseModel):
    """One fork.

    Attributes:
        number: Echoed in the answer.
        folder: The working folder, which holds the order without its token.
        token: For the gateway, this attempt and address only.
        task_key: Hex of the key that seals the journal and the checkpoints of the task.
        earlier_key: The same of the earlier job's task that the order goes on from; empty if there is none.
        doorbell: Path of the Node Manager's datagram socket.
        received_at: Monotonic time at which the order came in.
        gpus: Indexes of the GPUs that the executor may see.
        groups: Where it writes itself into the control groups that hold it to its limits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: int = Field(default=1, alias="schema")
    number: int
    folder: Path
    token: str = Field(repr=False)
    task_key: str = Field(repr=False)
    earlier_key: str = Field(default="", repr=False)
    doorbell: str
    received_at: float
    gpus: tuple[int, ...] = ()
    groups: tuple[Path, ...] = ()

    def encode(self) -> bytes:
        """One record for the socket pair."""
        return self.model_dump_json(by_alias=True).encode()


def ready_answer(threads: int, missing: list[str], isolation: IsolationReport) -> bytes:
    """The warm parent's first word: its imports are done, and this is how its children are confined."""
    said = {"kind": "ready", "threads": threads, "missing": missing, "isolation": isolation.model_dump(mode="json")}
    return json.dumps(said).encode()


def started_answer(number: int, process: ProcessId) -> bytes:
    """A child's first word: it runs in its own process group."""
    return json.dumps({"kind": "started", "number": number, "pid": process.pid}).encode()


def failed_answer(number: int, text: str) -> bytes:
    """No process could be made."""
    return json.dumps({"kind": "failed", "number": number, "text": text}).encode()


def record_process(folder: Path, process: ProcessId) -> None:
    """Leave in the folder which process it is, and what it had inherited when it began."""
    inherited = anonymous_bytes(process.pid)
    body: dict[str, object] = {"schema": SCHEMA, "pid": process.pid, "start_ticks": process.start_ticks}
    write_json(folder / PROCESS, {**body, "inherited_bytes": inherited})

"""The names that cross every boundary: parties, addresses, jobs, tasks, attempts.

Nothing here does I/O; every parser raises `InvalidName` with the offending text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from ulid import ULID

from party.errors import InvalidName as InvalidName
from runtime.text import printable

PartyId = NewType("PartyId", str)
JobId = NewType("JobId", str)
TaskName = NewType("TaskName", str)

NAME_PATTERN = r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*"
JOB_ID_PATTERN = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"  # a ULID; it becomes part of paths at every party
_NAME = re.compile(NAME_PATTERN)
MAX_NAME_CHARS = 63


class Role(StrEnum):
    """What a party does in a job."""

    GUEST = "guest"
    HOST = "host"
    ARBITER = "arbiter"


@dataclass(frozen=True, order=True)
class Address:
    """One role of one party in a job. Sorts by party, then role: the order of every reduction."""

    party: PartyId
    role: Role

    def __str__(self) -> str:
        return f"{self.role}:{self.party}"

    @staticmethod
    def parse(text: str) -> Address:
        """`role:party` to an address. Raises InvalidName."""
        role, _, party = text.partition(":")
        if role not in Role.__members__.values():
            raise InvalidName(
                f"'{printable(text[:80])}': '{printable(role[:80])}' is not a role.",
                hint=f"Roles are {', '.join(Role)}.",
            )
        return Address(party_id(party), Role(role))


def checked_name(text: str, what: str) -> str:
    """`text` unchanged if it is a legal name. Raises InvalidName naming `what`."""
    if len(text) > MAX_NAME_CHARS or not _NAME.fullmatch(text):
        raise InvalidName(
            f"{what} '{printable(text[:80])}' is not a legal name.",
            hint=f"Use lower-case letters, digits, '-' and '_', at most {MAX_NAME_CHARS} characters.",
        )
    return text


def party_id(text: str) -> PartyId:
    """A checked party id. Raises InvalidName."""
    return PartyId(checked_name(text, "party id"))


def task_name(text: str) -> TaskName:
    """A checked task name. Raises InvalidName."""
    return TaskName(checked_name(text, "task name"))


def new_job_id() -> JobId:
    """A fresh job id: a ULID, so that ids sort by time of submission."""
    return JobId(str(ULID()))


@dataclass(frozen=True, order=True)
class AttemptId:
    """One try of one task, the same number at every party."""

    job: JobId
    task: TaskName
    attempt: int

    def __str__(self) -> str:
        return f"{self.job}/{self.task}/{self.attempt}"

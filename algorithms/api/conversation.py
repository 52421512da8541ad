"""What a task's parties may say to each other: a conversation is its lines, which the gateway keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from algorithms.api.context import Rows
from party.ids import Role
from storage.client import Kind

TRAINERS = frozenset({Role.GUEST, Role.HOST})
ARBITER = frozenset({Role.ARBITER})
MOST_BYTES = 1 << 33  # of one message, however many rows anybody says that it has


class Protection(StrEnum):
    """How a message is protected beyond TLS and the sender's signature."""

    PLAIN_SCALAR = "plain-scalar"
    PLAIN = "plain"
    ENCRYPTED = "encrypted"
    MASKED = "masked"
    AGGREGATE_SEALED = "aggregate-sealed"

    @property
    def strength(self) -> int:
        """To compare two of them: the more is hidden from whoever passes a message on or adds it up, the higher."""
        return (Protection.PLAIN, Protection.MASKED, Protection.ENCRYPTED, Protection.AGGREGATE_SEALED).index(
            Protection.PLAIN if self is Protection.PLAIN_SCALAR else self
        )


class End(StrEnum):
    """An end of a line."""

    SENDER = "sender"
    RECEIVER = "receiver"


@dataclass(frozen=True)
class Line:
    """One line of a conversation: who sends which tag to whom, and what it may hold.

    Attributes:
        tag: The tag of the message.
        frm, to: The roles on either side.
        kind: The kind of value.
        max_bytes: The largest encoded value allowed, or a function that tells it once all parties have said how many
            rows the tables have whose ports tell it.
        protection: What protects it; the gateway refuses anything weaker.
        purpose: One sentence for the security officer.
        of_rows: Whether it may hold numbers computed from rows; not so keys, counts and settings.
        key_of: Under whose key its ciphertexts are: somebody's of a role, or that of an end. The gateway lets no other
            pass, nor two keys of one owner in an attempt. None: it does not matter.
        times: How often at most a sender says it to one receiver in an attempt, for estimates. None: that is not known
            before.
    """

    tag: str
    frm: frozenset[Role]
    to: frozenset[Role]
    kind: Kind
    max_bytes: int | Callable[[Rows], int]
    protection: Protection
    purpose: str
    of_rows: bool = True
    key_of: Role | End | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kind, Kind):
            raise TypeError(f"Line '{self.tag}': {self.kind!r} is no kind of value.")
        if self.key_of is not None and self.protection is not Protection.ENCRYPTED:
            raise ValueError(f"Line '{self.tag}' holds no ciphertexts that could be under a key.")

    @property
    def key_roles(self) -> frozenset[Role]:
        """The roles under whose keys its ciphertexts may be; empty if that does not matter."""
        ends = {End.SENDER: self.frm, End.RECEIVER: self.to}
        if isinstance(self.key_of, End):
            return ends[self.key_of]
        return frozenset() if self.key_of is None else frozenset({self.key_of})

    @property
    def is_bounded(self) -> bool:
        """Whether its size is known, however many rows tables have."""
        return isinstance(self.max_bytes, int)

    def most_bytes(self, rows: Rows) -> int:
        """The largest encoded value allowed with tables of so many rows."""
        return self.max_bytes if isinstance(self.max_bytes, int) else min(self.max_bytes(rows), MOST_BYTES)

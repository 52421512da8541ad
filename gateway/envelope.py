"""The envelope: what every message between parties carries on its outside, and the signature over it.

Version 1 is a canonical JSON header (runtime/canonical.py) and a body. It names both parties and both addresses,
the job, task, attempt and tag, the digest of the manifest under which the sender has the job open (what an older
release queued has none), and one entry a part: its step, size and SHA-256. A body is the parts one after another; most
envelopes have one. The sender's gateway signs the canonical header (Ed25519), the receiver's gateway verifies it end to
end, whoever carried it. Parts of a sealed envelope are sealed to the receiver's card one by one, and size and SHA-256
are those of the sealed bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from gateway.errors import BadEnvelope, EnvelopeVersion
from party.card import Card
from party.ids import Address
from party.keys import PartyKeys
from party.seal import sign, verify
from runtime.bounds import MAX_COUNT, Attempt, Count
from runtime.canonical import canonical_json, parse_json
from runtime.errors import PlatformError
from runtime.text import first_problem, printable

ENVELOPE_VERSION: Literal[1] = 1
ENVELOPE_PURPOSE = b"archipelago/envelope/v1"
MAX_HEADER_BYTES = 1 << 20
MAX_PARTS = 4096
MAX_STEP_NUMBERS = 4
_MAX_VALUES = 100 + MAX_PARTS * (4 + MAX_STEP_NUMBERS)

Step = tuple[int, ...]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


@dataclass(frozen=True, order=True)
class Conversation:
    """What all messages of one tag from one address to another in one attempt have in common."""

    job: str
    task: str
    attempt: int
    frm: str
    to: str
    tag: str

    def key(self, step: Step) -> str:
        """The key of one message, as text: unique for ever, the same at both parties."""
        steps = ".".join(map(str, step))
        return f"{self.job}/{self.task}/{self.attempt}/{self.frm}/{self.to}/{self.tag}/{steps}"


def conversation_of(key: str) -> Conversation:
    """The conversation that a key of ours belongs to."""
    job, task, attempt, frm, to, tag, _ = key.split("/")
    return Conversation(job, task, int(attempt), frm, to, tag)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Part(_Strict):
    """One message of an envelope. `size` and `sha256` are of its bytes as sent."""

    step: tuple[Count, ...] = Field(min_length=1, max_length=MAX_STEP_NUMBERS)
    size: Count
    sha256: Digest


class Header(_Strict):
    """The header of version 1; field order is irrelevant, canonical JSON sorts it."""

    version: Literal[1] = ENVELOPE_VERSION
    sender: Name
    receiver: Name
    job: Name
    manifest: Digest | None = Field(default=None, exclude_if=lambda digest: digest is None)
    task: Name
    attempt: Attempt
    frm: Name = Field(alias="from")
    to: Name
    tag: Name
    kind: Name
    protection: Name
    sealed: bool
    size: Count
    sha256: Digest
    parts: tuple[Part, ...] = Field(min_length=1, max_length=MAX_PARTS)

    @model_validator(mode="after")
    def _parts_make_the_body(self) -> Self:
        if sum(part.size for part in self.parts) != self.size:
            raise ValueError("the sizes of the parts do not add up to the size of the body")
        if len({part.step for part in self.parts}) != len(self.parts):
            raise ValueError("a step is given twice")
        if _party(self.frm) != self.sender or _party(self.to) != self.receiver:
            raise ValueError("an address is not of the party it stands for")
        return self

    @property
    def conversation(self) -> Conversation:
        """What the keys of the parts have in common."""
        return Conversation(self.job, self.task, self.attempt, self.frm, self.to, self.tag)

    @property
    def keys(self) -> list[str]:
        """The key of each part, in order."""
        conversation = self.conversation
        return [conversation.key(part.step) for part in self.parts]

    @property
    def offsets(self) -> list[int]:
        """Where each part begins in the body."""
        return [0, *accumulate(part.size for part in self.parts)][:-1]

    def canonical(self) -> bytes:
        """The bytes that are signed and sent."""
        return canonical_json(self.model_dump(mode="json", by_alias=True))


@dataclass(frozen=True)
class Envelope:
    """A header, its canonical bytes, and the sender's signature; the body lies elsewhere."""

    header: Header
    canonical: bytes
    signature: bytes

    @property
    def id(self) -> str:
        """Names the envelope in files and tables: the digest of what is signed."""
        return sha256(self.canonical).hexdigest()


def is_name(text: str) -> bool:
    """Whether the text may stand in a header as a name."""
    return _TAG.fullmatch(text) is not None


def checked_tag(tag: str) -> str:
    """`tag` unchanged if it may stand in a header. Raises BadEnvelope."""
    if not is_name(tag):
        raise BadEnvelope(
            f"'{printable(tag)[:80]}' is not a legal tag.", hint="Use letters, digits, '.', ':', '_' and '-'."
        )
    return tag


def checked_step(step: Sequence[int]) -> Step:
    """`step` as a tuple if it may stand in a header. Raises BadEnvelope."""
    if not 1 <= len(step) <= MAX_STEP_NUMBERS or not all(0 <= number <= MAX_COUNT for number in step):
        shown = str(tuple(step[: MAX_STEP_NUMBERS + 1]))
        raise BadEnvelope(f"{shown} is not a step.", hint=f"A step is 1 to {MAX_STEP_NUMBERS} numbers, 0 or more each.")
    return tuple(step)


def signed(keys: PartyKeys, header: Header) -> Envelope:
    """The header with our signature."""
    canonical = header.canonical()
    return Envelope(header, canonical, sign(keys, ENVELOPE_PURPOSE, canonical))


def unsigned(header: Header) -> Envelope:
    """The header of a message that stays inside this party."""
    return Envelope(header, header.canonical(), b"")


def parse_envelope(canonical: bytes, signature: bytes) -> Envelope:
    """The header in the bytes. Raises EnvelopeVersion or BadEnvelope; the signature is not yet checked."""
    if len(canonical) > MAX_HEADER_BYTES:
        raise BadEnvelope(f"A header of {len(canonical)} bytes is larger than {MAX_HEADER_BYTES}.")
    try:
        values = parse_json(canonical, "An envelope's header", _MAX_VALUES)
    except PlatformError as error:
        raise BadEnvelope(str(error)) from None
    version = values.get("version") if isinstance(values, dict) else None
    if version != ENVELOPE_VERSION or isinstance(version, bool):
        raise EnvelopeVersion(
            f"The envelope has version {version!r}; this gateway reads version {ENVELOPE_VERSION}.",
            hint="Both parties need releases with a common envelope version.",
        )
    try:
        header = Header.model_validate_json(canonical)
    except (ValidationError, PlatformError) as error:
        why = first_problem(error) if isinstance(error, ValidationError) else error.message
        raise BadEnvelope(f"An envelope's header is wrong: {why}.") from None
    if header.canonical() != canonical:
        raise BadEnvelope("An envelope's header is not in canonical form.")
    return Envelope(header, canonical, signature)


def stored_envelope(canonical: bytes, signature: bytes) -> Envelope:
    """An envelope that this gateway made or checked before it stored it."""
    return Envelope(Header.model_validate_json(canonical), canonical, signature)


def verify_envelope(card: Card, envelope: Envelope) -> None:
    """Raise party.seal's BadSignature unless the card's party signed exactly this header."""
    verify(card, ENVELOPE_PURPOSE, envelope.canonical, envelope.signature)


def check_part(part: Part, body: bytes | memoryview, key: str) -> None:
    """Raise BadEnvelope unless the bytes are those the header names."""
    if len(body) != part.size or sha256(body).hexdigest() != part.sha256:
        raise BadEnvelope(f"The body of {key} does not match its header.", hint="It was cut or changed on its way.")


@lru_cache(maxsize=4096)
def _party(address: str) -> str:
    return Address.parse(address).party

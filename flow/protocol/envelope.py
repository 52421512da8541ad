"""How a message between Flows travels: `{"schema": 1, "hlc": ..., "body": {...}}`, in JSON."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from flow.errors import BadMessage, UnknownSchema
from flow.job.problems import from_validation
from runtime.canonical import parse_json
from runtime.clock import HybridTime
from runtime.errors import PlatformError

MESSAGE_SCHEMA = 1
MAX_MESSAGE_BYTES = 8 << 20


class Message(BaseModel):
    """The base of every order and reply: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


M = TypeVar("M", bound=Message)


def encode(message: Message, hlc: HybridTime) -> bytes:
    """The bytes of a message."""
    body = message.model_dump_json(by_alias=True)
    return f'{{"schema":{MESSAGE_SCHEMA},"hlc":"{hlc}","body":{body}}}'.encode()


def decode(kind: type[M], data: bytes) -> tuple[M, HybridTime]:
    """The message in the bytes and its sender's clock.

    Raises:
        BadMessage: It is not a message of this kind.
        UnknownSchema: It is of another version.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise BadMessage(f"A message is larger than {MAX_MESSAGE_BYTES} bytes.")
    try:
        outer = parse_json(data, "A message between Flows")
    except PlatformError as error:
        raise BadMessage(error.message) from None
    if not isinstance(outer, dict) or "schema" not in outer:
        raise BadMessage("A message between Flows carries no schema version.")
    if outer["schema"] != MESSAGE_SCHEMA:
        raise UnknownSchema(
            f"A message between Flows is of version {str(outer['schema'])[:20]}, this release speaks {MESSAGE_SCHEMA}.",
            hint="Bring both parties to the same release.",
        )
    try:
        reading = HybridTime.parse(str(outer["hlc"]))
        return kind.model_validate_json(json.dumps(outer["body"])), reading
    except ValidationError as error:
        told = "; ".join(f"{p.path}: {p.message}".removeprefix(": ") for p in from_validation(error, kind)[:3])
        raise BadMessage(f"A message does not have the form of {kind.__name__}: {told}") from None
    except (KeyError, ValueError):
        raise BadMessage("A message between Flows carries no body, or no reading of a clock.") from None

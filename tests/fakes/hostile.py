"""What a hostile Flow sends: messages that are right but for one value, which is at a limit of its kind."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from flow.job.spec import parse_job
from flow.protocol.manifest import OUR_API
from runtime.canonical import canonical_digest
from runtime.clock import HybridTime
from runtime.errors import PlatformError

INTEGERS = (-1, 0, 1, 10_000, 10_001, 2**31, 2**53 - 1, 2**53, 2**63, 10**17, -(10**17), 253_402_300_799_999, 10**400)
TEXTS = ("", "x", "\x1b[2J\x1b]0;t\x07", "\u202egnp.exe", "a\nb", "\ud800", "\x00", "é" * 5_000, "x" * (4 << 20), "NaN")
OTHERS = (None, True, False, 1.5, -0.0, [], {}, [[]], {"": {}}, [1] * 20_000)
VALUES = (*INTEGERS, *TEXTS, *OTHERS)


def message(body: object, hlc: object = str(HybridTime(1_700_000_000_000, 1))) -> bytes:
    return json.dumps({"schema": 1, "hlc": hlc, "body": body}).encode()


def proposal(job: str, document: Mapping[str, Any], code: Mapping[str, str]) -> dict[str, Any]:
    """A proposal of the job that the document describes; `code` holds the digests of its components."""
    spec = parse_job(json.dumps(document).encode())
    return {
        "job": job, "initiator": spec.initiator, "user": "ann", "spec": spec.document(), "spec_digest": spec.digest(),
        "seed": "0" * 64, "code": dict(code), "api": OUR_API.model_dump(), "submitted_ms": 1,
    }  # fmt: skip


def spoiled(body: dict[str, Any], place: tuple[Any, ...], value: object) -> dict[str, Any]:
    """The proposal with another value at the place; its digest is that of what it holds."""
    made = changed(body, place, value)
    if place[0] == "spec":
        with suppress(PlatformError):
            made["spec_digest"] = canonical_digest(made["spec"])
    return made


def places(value: object, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if before:
        yield before
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*before, key))


def changed(body: dict[str, Any], place: tuple[Any, ...], value: object) -> dict[str, Any]:
    made = copy.deepcopy(body)
    where: Any = made
    for key in place[:-1]:
        where = where[key]
    where[place[-1]] = value
    return made

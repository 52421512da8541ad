"""What may leave this party for one job: the lines that Flow hands down, and the check of each message.

Pure data and one pure decision; the gateway asks it before anything is written to the outbox, and again before it
keeps anything from another party.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gateway.errors import BadContract, ContractViolation, KeyChanged
from runtime.bounds import MAX_COUNT
from runtime.canonical import canonical_digest, parse_json
from runtime.text import printable
from storage.client import Kind, ValueHeader

PROTECTIONS = frozenset({"plain-scalar", "plain", "encrypted", "masked", "aggregate-sealed"})
PLAIN_SCALAR = "plain-scalar"
SEALED = "aggregate-sealed"
SEAL_BYTES = 256  # what sealing may add to a part, at most
SCALARS = frozenset({Kind.NONE, Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.TEXT})
CONTRACT_SCHEMA: Literal[1] = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_JOB = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


@dataclass(frozen=True)
class ContractLine:
    """Who may send which tag to whom, holding what.

    Attributes:
        tag: The tag of the message.
        frm, to: Addresses (`role:party`) allowed on either side.
        kind: The kind of value.
        max_bytes: The largest encoded value allowed.
        protection: `plain-scalar | plain | encrypted | masked | aggregate-sealed`.
        key_owners: Under whose key an encrypted line's ciphertexts are, one of these addresses; None: anybody's.
    """

    tag: str
    frm: frozenset[str]
    to: frozenset[str]
    kind: str
    max_bytes: int
    protection: str
    key_owners: frozenset[str] | None = None


@dataclass(frozen=True)
class JobContract:
    """The declared conversation of every task of a job, by task name."""

    job: str
    manifest_digest: str
    tasks: Mapping[str, tuple[ContractLine, ...]]

    def line(self, task: str, tag: str, frm: str, to: str) -> ContractLine:
        """The line that covers a message. Raises ContractViolation naming what is not in the contract."""
        lines = self.tasks.get(task)
        if lines is None:
            raise ContractViolation(f"Job {self.job}: task '{task}' is not in its contract.")
        tagged = [line for line in lines if line.tag == tag]
        if not tagged:
            raise ContractViolation(
                f"Task '{task}': tag '{tag}' is not in the conversation of its component.",
                hint="Declare it in the component's conversation table.",
            )
        for line in tagged:
            if frm in line.frm and to in line.to:
                return line
        raise ContractViolation(f"Task '{task}': {frm} may not send tag '{tag}' to {to}.")

    @property
    def digest(self) -> str:
        """Identifies the contract: the same job may be opened again with the same contract only."""
        return canonical_digest(contract_to_json(self))


def check_size(line: ContractLine, size: int) -> None:
    """Raise ContractViolation if an encoded value of `size` bytes is more than the line allows."""
    if size > line.max_bytes:
        raise ContractViolation(f"Tag '{line.tag}': {size} bytes are more than the {line.max_bytes} it may have.")


def check_value(line: ContractLine, value: ValueHeader) -> None:
    """Raise ContractViolation unless the value is of the line's kind and as protected as the line says."""
    if value.kind != line.kind:
        raise ContractViolation(f"Tag '{line.tag}': a value of kind {value.kind} instead of {line.kind}.")
    kinds = {field.kind for field in value.fields} if value.kind != Kind.TABLE else {Kind.TABLE}
    if line.protection == PLAIN_SCALAR:
        _refuse(line, kinds - SCALARS)
    elif line.protection == "encrypted":
        _refuse(line, kinds - SCALARS - {Kind.CIPHERTEXTS})
        if Kind.CIPHERTEXTS not in kinds:
            raise ContractViolation(f"Tag '{line.tag}' is {line.protection}, and the value holds no ciphertexts.")
        _refuse_owners(line, value)
    elif line.protection == "masked":
        _refuse(line, kinds & {Kind.TABLE})
        _refuse_floats(line, value)


def named_keys(line: ContractLine, value: ValueHeader) -> frozenset[tuple[str, str]]:
    """Whose keys a value's ciphertexts are under and their fingerprints, where the line says whose they are to be."""
    if line.key_owners is None:
        return frozenset()
    return frozenset((field.owner, field.key or "") for field in value.fields if field.kind == Kind.CIPHERTEXTS)


def seen_keys(before: Mapping[str, str], named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The fingerprint of each owner's key after one more message of an attempt. Raises KeyChanged for a second one."""
    seen = dict(before)
    for owner, fingerprint in named:
        if seen.setdefault(owner, fingerprint) != fingerprint:
            raise KeyChanged(
                f"Ciphertexts are under key {fingerprint[:12]} of {owner}, others of this attempt under "
                f"{seen[owner][:12]}.",
                hint="One of them is not under the key that its owner sent.",
            )
    return seen


def contract_to_json(contract: JobContract) -> dict[str, object]:
    """The contract as JSON types, schema 1."""
    return {
        "schema": CONTRACT_SCHEMA,
        "job": contract.job,
        "manifest_digest": contract.manifest_digest,
        "tasks": {task: [_line_to_json(line) for line in lines] for task, lines in contract.tasks.items()},
    }


def contract_from_json(data: bytes) -> JobContract:
    """The contract in canonical JSON. Raises BadContract for another schema or anything missing."""
    values = parse_json(data, "A job's contract")
    schema = values.get("schema") if isinstance(values, dict) else None
    if not isinstance(values, dict) or schema != CONTRACT_SCHEMA:
        raise BadContract(f"The contract has schema {schema!r}; this gateway reads {CONTRACT_SCHEMA}.")
    try:
        tasks = {task: tuple(_line_from_json(line) for line in lines) for task, lines in values["tasks"].items()}
        contract = JobContract(_checked_job(values["job"]), _checked_digest(values["manifest_digest"]), tasks)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadContract(f"A job's contract cannot be read: {error!r}.") from None
    return contract


def _checked_job(job: object) -> str:
    if not isinstance(job, str) or not _JOB.fullmatch(job):
        raise BadContract(f"{str(job)[:80]!r} is not a job id.", hint="It becomes part of file names.")
    return job


def _checked_digest(digest: object) -> str:
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise BadContract(
            f"{str(digest)[:80]!r} is not the digest of a manifest.", hint="It is SHA-256 in hexadecimal."
        )
    return digest


def _line_from_json(line: dict[str, Any]) -> ContractLine:
    if line["protection"] not in PROTECTIONS:
        raise BadContract(
            f"Tag '{line['tag']}': '{line['protection']}' is not a protection.",
            hint=f"Protections are {', '.join(sorted(PROTECTIONS))}.",
        )
    return ContractLine(
        tag=line["tag"],
        frm=frozenset(line["from"]),
        to=frozenset(line["to"]),
        kind=line["kind"],
        max_bytes=_count(line["max_bytes"]),
        protection=line["protection"],
        key_owners=frozenset(line["key_owners"]) if "key_owners" in line else None,
    )


def _count(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_COUNT:
        raise BadContract(f"{str(number)[:40]} is not a number of bytes.")
    return number


def _line_to_json(line: ContractLine) -> dict[str, object]:
    values: dict[str, object] = {
        "tag": line.tag,
        "from": sorted(line.frm),
        "to": sorted(line.to),
        "kind": str(line.kind),
        "max_bytes": line.max_bytes,
        "protection": str(line.protection),
    }
    if line.key_owners is not None:
        values["key_owners"] = sorted(line.key_owners)
    return values


def _refuse(line: ContractLine, kinds: set[Kind]) -> None:
    if kinds:
        found = ", ".join(sorted(kinds))
        raise ContractViolation(f"Tag '{line.tag}' is {line.protection}, and the value holds {found}.")


def _refuse_owners(line: ContractLine, value: ValueHeader) -> None:
    owners = line.key_owners
    if owners is None:
        return
    for field in value.fields:
        if field.kind != Kind.CIPHERTEXTS:
            continue
        if field.owner not in owners:
            whose, wanted = printable(field.owner[:80]) or "several", " or ".join(sorted(owners)) or "nobody"
            raise ContractViolation(f"Tag '{line.tag}': ciphertexts under the key of {whose} instead of {wanted}.")
        if not _DIGEST.fullmatch(field.key or ""):
            raise ContractViolation(f"Tag '{line.tag}': the key of {field.owner} has no fingerprint.")


def _refuse_floats(line: ContractLine, value: ValueHeader) -> None:
    for field in value.fields:
        if field.kind == Kind.ARRAY and str(field.dtype).startswith("float"):
            raise ContractViolation(f"Tag '{line.tag}' is masked, and field '{field.name}' holds {field.dtype}.")

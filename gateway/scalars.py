"""What a line of plain scalars may carry: few short values a message, and so much in all in one attempt. Pure.

A line that says `plain-scalar` promises a person that no data leaves through it. So text is short and counted, the
names of a record's fields count as text whenever they change, and numbers are counted too. A value has one spelling;
bytes that are another one hold something that nobody counts, and are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from gateway.contract import PLAIN_SCALAR, ContractLine, check_value, named_keys
from gateway.errors import BudgetSpent, ContractViolation
from storage.client import FieldHeader, Value, ValueHeader, decode, describe, encode, kind_of

MAX_MESSAGE_BYTES = 64 << 10  # of one encoded value, whatever the line allows
MAX_FIELDS = 64
MAX_TEXT_CHARS = 256
# In one attempt, from one address to another, under one tag:
MAX_NUMBERS = 1 << 23  # a million rounds of eight
MAX_TEXT_BYTES = 1 << 20


@dataclass(frozen=True)
class Cost:
    """What one message takes of its line's budget: its numbers, the bytes of its text, the names of its fields."""

    numbers: int
    text_bytes: int
    names: str


@dataclass(frozen=True)
class Spent:
    """What the messages of one tag from one address to another have taken in an attempt, and the last one's names."""

    numbers: int = 0
    text_bytes: int = 0
    names: str = ""


@dataclass(frozen=True)
class Bill:
    """The costs of an envelope's messages under a tag; the keys that its ciphertexts name."""

    tag: str = ""
    costs: tuple[Cost, ...] = ()
    keys: frozenset[tuple[str, str]] = frozenset()


def checked_values(line: ContractLine, bodies: Iterable[bytes | pa.Buffer]) -> Bill:
    """What encoded messages take of their line's budget, once they are what the line allows.

    Only scalars are read for it, in full; of other values their own description is compared with the line.

    Raises ContractViolation for what is not of the line, `storage`'s errors for bytes that are no value.
    """
    if line.protection == PLAIN_SCALAR:
        return Bill(line.tag, tuple(_cost(line, body) for body in bodies))
    keys: frozenset[tuple[str, str]] = frozenset()
    for body in bodies:
        value = describe(body if isinstance(body, pa.Buffer) else pa.py_buffer(body))
        check_value(line, value)
        keys |= named_keys(line, value)
    return Bill(keys=keys)


def spend(spent: Spent, bill: Bill) -> Spent:
    """What is spent after a bill. Raises BudgetSpent if that is more than there is."""
    numbers, text_bytes, names = spent.numbers, spent.text_bytes, spent.names
    for cost in bill.costs:
        text_bytes += cost.text_bytes + (len(cost.names.encode()) if cost.names != names else 0)
        numbers, names = numbers + cost.numbers, cost.names
    if numbers > MAX_NUMBERS or text_bytes > MAX_TEXT_BYTES:
        raise BudgetSpent(
            f"Tag '{bill.tag}' is plain-scalar: its messages from one address to another would hold {numbers} numbers "
            f"and {text_bytes} bytes of text in this attempt, above {MAX_NUMBERS} and {MAX_TEXT_BYTES}.",
            hint="Declare the line as plain, so that people see that it carries data.",
        )
    return Spent(numbers, text_bytes, names)


def _cost(line: ContractLine, body: bytes | pa.Buffer) -> Cost:
    if len(body) > MAX_MESSAGE_BYTES:
        raise ContractViolation(f"Tag '{line.tag}' is plain-scalar, and a message has {len(body)} bytes.")
    value: Value = decode(body)
    if not encode(value).equals(body if isinstance(body, pa.Buffer) else pa.py_buffer(body)):
        raise ContractViolation(
            f"Tag '{line.tag}' is plain-scalar, and the bytes of a message hold more than its value."
        )
    fields = dict(value) if isinstance(value, Mapping) else {"": value}
    check_value(line, ValueHeader(1, kind_of(value), tuple(FieldHeader(n, kind_of(f)) for n, f in fields.items())))
    texts = [field for field in fields.values() if isinstance(field, str)]
    if len(fields) > MAX_FIELDS or any(len(text) > MAX_TEXT_CHARS for text in (*texts, *fields)):
        raise ContractViolation(
            f"Tag '{line.tag}' is plain-scalar, and the value has more than {MAX_FIELDS} fields or a text of more than "
            f"{MAX_TEXT_CHARS} characters."
        )
    return Cost(len(fields) - len(texts), sum(len(text.encode()) for text in texts), "\n".join(sorted(fields)))

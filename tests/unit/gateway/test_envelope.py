"""The envelope's header: golden bytes that must be read for ever, and headers that must never be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.envelope import (
    Conversation,
    Part,
    checked_step,
    checked_tag,
    conversation_of,
    parse_envelope,
    verify_envelope,
)
from gateway.errors import BadEnvelope
from party.card import read_card
from party.errors import BadSignature
from runtime.bounds import MAX_COUNT
from runtime.canonical import canonical_json
from runtime.errors import all_codes

VECTORS = Path(__file__).parents[2] / "vectors" / "envelope_v1"
INDEX = json.loads((VECTORS / "index.json").read_text())


@pytest.mark.parametrize("name", sorted(INDEX["good"]))
def test_a_golden_envelope_is_read_and_its_signature_holds(name: str) -> None:
    canonical = (VECTORS / f"{name}.header").read_bytes()
    envelope = parse_envelope(canonical, bytes.fromhex(INDEX["good"][name]["signature"]))
    verify_envelope(read_card((VECTORS / "card.json").read_bytes()), envelope)
    assert envelope.id == INDEX["good"][name]["id"]
    assert envelope.header.keys == INDEX["good"][name]["keys"]
    assert envelope.header.canonical() == canonical


@pytest.mark.parametrize("name", sorted(INDEX["bad"]))
def test_a_bad_golden_envelope_raises_its_error(name: str) -> None:
    canonical = (VECTORS / f"bad_{name}.header").read_bytes()
    with pytest.raises(all_codes()[INDEX["bad"][name]]):
        parse_envelope(canonical, b"")


def test_a_forged_golden_envelope_is_refused() -> None:
    name = sorted(INDEX["good"])[0]
    canonical = (VECTORS / f"{name}.header").read_bytes()
    forged = bytearray.fromhex(INDEX["good"][name]["signature"])
    forged[0] ^= 1
    with pytest.raises(BadSignature):
        verify_envelope(read_card((VECTORS / "card.json").read_bytes()), parse_envelope(canonical, bytes(forged)))


@pytest.mark.parametrize("step", [(0,), (3, 1), (1, 2, 3, MAX_COUNT)])
def test_a_step_is_one_to_four_numbers(step: tuple[int, ...]) -> None:
    assert checked_step(step) == Part(step=step, size=0, sha256="0" * 64).step == step


@pytest.mark.parametrize("step", [(), (-1,), (1, -1), (1,) * 5, (MAX_COUNT + 1,), (1,) * 100_000])
def test_a_step_that_is_none_is_refused(step: tuple[int, ...]) -> None:
    with pytest.raises(BadEnvelope, match="is not a step"):
        checked_step(step)
    with pytest.raises(ValidationError):
        Part(step=step, size=0, sha256="0" * 64)


def test_a_key_tells_its_conversation() -> None:
    conversation = Conversation("J", "train", 3, "guest:alpha", "host:beta", "a.b-c:d")
    assert conversation_of(conversation.key((4, 5))) == conversation


def test_a_header_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(BadEnvelope, match="larger than"):
        parse_envelope(b"{" + b" " * (1 << 20), b"")


def test_what_is_wrong_with_a_header_is_not_listed_without_end() -> None:
    header = (VECTORS / f"{sorted(INDEX['good'])[0]}.header").read_bytes()
    for parts, said in [(3_000, "3001 things are wrong with it"), (400_000, "holds more than")]:
        with pytest.raises(BadEnvelope, match=said):
            parse_envelope(canonical_json(json.loads(header) | {"parts": [0] * parts}), b"")


@pytest.mark.parametrize("tag", ["", "a/b", "ä", "a b", "-a", "a" * 200])
def test_an_illegal_tag_is_named(tag: str) -> None:
    with pytest.raises(BadEnvelope, match="is not a legal tag"):
        checked_tag(tag)

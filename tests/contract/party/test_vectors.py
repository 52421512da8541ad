"""What this release wrote must be read by every later one: cards, seals, boxes, signatures, derived keys.

The private key in the vectors was made for them and is used nowhere else.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from party.card import Card, parse_card
from party.errors import CannotUnseal
from party.ids import party_id
from party.keys import PartyKeys, make_keys
from party.seal import derive, unbox, unseal, verify
from runtime.errors import PlatformError

VECTORS = Path(__file__).parents[2] / "vectors"
NOW = datetime(2026, 7, 1, tzinfo=UTC)
BAD = {
    "address_changed": "party.card_forged",
    "backwards": "party.bad_card",
    "key_twice": "runtime.not_canonical",
    "other_party": "party.bad_card",
    "schema_2": "party.card_schema_unknown",
    "sealing_key_of_zeros": "party.bad_card",
    "signature_of_zeros": "party.card_forged",
    "truncated": "runtime.not_canonical",
    "unknown_key": "party.bad_card",
}


@pytest.fixture(scope="module")
def card() -> Card:
    return parse_card((VECTORS / "card_v1" / "hospital-a.json").read_bytes(), now=NOW)


@pytest.fixture(scope="module")
def vector() -> dict[str, str]:
    values: dict[str, str] = json.loads((VECTORS / "seal_v1" / "hospital-a.json").read_text())
    return values


@pytest.fixture(scope="module")
def keys(vector: dict[str, str]) -> PartyKeys:
    made = make_keys(party_id("hospital-a"))
    sealing = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["sealing_private_key"]))
    return PartyKeys(made.tls_key_pem, made.tls_cert_pem, made.signing, sealing, made.master)


def test_the_golden_cards_are_read_and_written_alike(card: Card) -> None:
    assert card.party == "hospital-a"
    assert card.addresses == ("gateway.hospital-a.example:9370", "[2001:db8::1]:9370")
    assert card.to_json() == (VECTORS / "card_v1" / "hospital-a.json").read_bytes()
    assert card.fingerprint == "632c3b164be8111f33de368ff22c87c48aa5f5e204f40659907edc6aea03b30b"
    quiet = parse_card((VECTORS / "card_v1" / "outbound-only.json").read_bytes(), now=NOW)
    assert quiet.addresses == ()


def test_every_bad_card_is_refused_by_the_same_name_for_ever() -> None:
    found = {}
    for path in (VECTORS / "card_v1").glob("bad_*.json"):
        with pytest.raises(PlatformError) as caught:
            parse_card(path.read_bytes(), now=NOW)
        found[path.stem.removeprefix("bad_")] = caught.value.code
    assert found == BAD


def test_what_was_sealed_boxed_and_signed_still_opens(card: Card, keys: PartyKeys, vector: dict[str, str]) -> None:
    raw = {name: bytes.fromhex(text) for name, text in vector.items() if name != "derive_context"}
    assert unseal(keys, raw["sealed"], raw["aad"]) == raw["plaintext"]
    assert unseal(keys, raw["sealed_empty"]) == b""
    assert unbox(raw["box_key"], raw["boxed"], raw["aad"]) == raw["plaintext"]
    verify(card, raw["sign_purpose"], raw["plaintext"], raw["signature"])
    assert derive(raw["master"], raw["derive_purpose"], vector["derive_context"]) == raw["derived"]


def test_forms_of_another_version_are_refused(keys: PartyKeys, vector: dict[str, str]) -> None:
    aad = bytes.fromhex(vector["aad"])
    with pytest.raises(CannotUnseal, match="form that this release knows"):
        unseal(keys, b"\x02" + bytes.fromhex(vector["sealed"])[1:], aad)
    with pytest.raises(CannotUnseal, match="form that this release knows"):
        unbox(bytes.fromhex(vector["box_key"]), b"\x02" + bytes.fromhex(vector["boxed"])[1:], aad)

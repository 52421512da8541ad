from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from party.card import MAX_CARD_BYTES, Card, make_card, parse_card, read_card
from party.errors import BadCard, CardExpired, CardForged, CardNotYetValid, CardSchemaUnknown
from party.ids import party_id
from party.keys import PartyKeys, certificate_der, make_keys
from party.seal import sign, verify
from runtime.errors import PlatformError
from tests.unit.party.conftest import NOW

MakeParty = Callable[..., tuple[PartyKeys, Card]]


def _changed(card: Card, **values: Any) -> bytes:
    return json.dumps({**json.loads(card.to_json()), **values}).encode()


def _resigned(keys: PartyKeys, card: Card, **values: Any) -> bytes:
    """A card with wrong content whose signature is right: what a hostile party can make."""
    from party.card import _signed_bytes

    changed = replace(card, **values)
    return replace(changed, signature=keys.signing.sign(_signed_bytes(changed)).hex()).to_json()


def test_a_card_comes_back_as_it_was_made(make_party: MakeParty) -> None:
    keys, card = make_party("bob")
    assert parse_card(card.to_json(), now=NOW) == card
    assert card.addresses == ("10.0.0.2:9370",)
    assert card.tls_certificate_der == certificate_der(keys.tls_cert_pem)
    verify(card, b"test", b"message", sign(keys, b"test", b"message"))


def test_a_party_that_only_calls_out_has_a_card_without_addresses(make_party: MakeParty) -> None:
    _, card = make_party(addresses=())
    assert parse_card(card.to_json(), now=NOW).addresses == ()


def test_the_fingerprint_covers_everything_the_card_says(make_party: MakeParty) -> None:
    keys, card = make_party()
    elsewhere = make_card(keys, card.party, ("10.0.0.3:9370",))
    assert len(card.fingerprint) == 64
    assert card.fingerprint != elsewhere.fingerprint
    assert card.fingerprint == parse_card(card.to_json(), now=NOW).fingerprint


@pytest.mark.parametrize(
    "values",
    [
        {"addresses": ["6.6.6.6:1"]},
        {"party": "mallory"},
        {"valid_until": "2099-01-01T00:00:00Z"},
        {"signature": "00" * 64},
    ],
)
def test_a_card_changed_after_signing_is_forged(make_party: MakeParty, values: dict[str, Any]) -> None:
    _, card = make_party()
    with pytest.raises(CardForged):
        parse_card(_changed(card, **values), now=NOW)


def test_a_card_with_somebody_elses_keys_put_in_is_forged(make_party: MakeParty) -> None:
    _, card = make_party("bob")
    _, other = make_party("mallory")
    for name in ("signing_key", "sealing_key", "tls_certificate"):
        with pytest.raises(CardForged):
            parse_card(_changed(card, **{name: getattr(other, name)}), now=NOW)


def test_a_card_of_a_newer_schema_is_refused_by_name_before_anything_else(make_party: MakeParty) -> None:
    _, card = make_party()
    for version in (2, 0, "1", None, True):
        with pytest.raises(CardSchemaUnknown, match="schema"):
            parse_card(_changed(card, schema=version, something_new=1), now=NOW)


def test_an_expired_card_is_refused_and_says_until_when_it_was_good(make_party: MakeParty) -> None:
    _, card = make_party()
    with pytest.raises(CardExpired, match=f"bob expired at {card.valid_until}"):
        parse_card(card.to_json(), now=NOW + timedelta(days=731))
    assert read_card(card.to_json()).party == "bob"


def test_a_card_of_the_future_is_refused_except_for_small_clock_differences(make_party: MakeParty) -> None:
    _, card = make_party(now=NOW)
    parse_card(card.to_json(), now=NOW - timedelta(minutes=4))
    with pytest.raises(CardNotYetValid, match="valid from 2026-06-01"):
        parse_card(card.to_json(), now=NOW - timedelta(minutes=11))


def test_a_fresh_card_is_valid_by_the_real_clock() -> None:
    keys = make_keys(party_id("bob"))
    assert parse_card(make_card(keys, party_id("bob"), ()).to_json()).party == "bob"
    assert datetime.now(UTC) < datetime.fromisoformat(make_card(keys, party_id("bob"), ()).valid_until)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"[]",
        b"\xff\xfe",
        b'{"schema": 1, "schema": 1}',
        b'{"schema": NaN}',
        b'{"schema": 1}',
        b" " * (MAX_CARD_BYTES + 1),
        b"[" * 50_000,
    ],
)
def test_what_is_no_card_is_refused_without_a_crash(data: bytes) -> None:
    with pytest.raises(PlatformError):
        parse_card(data, now=NOW)


def test_a_card_with_a_key_too_many_or_too_few_names_it(make_party: MakeParty) -> None:
    _, card = make_party()
    with pytest.raises(BadCard, match="extra"):
        parse_card(_changed(card, extra="x"), now=NOW)
    values = json.loads(card.to_json())
    del values["sealing_key"]
    with pytest.raises(BadCard, match="sealing_key"):
        parse_card(json.dumps(values).encode(), now=NOW)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"party": "Bob"}, "party id"),
        ({"addresses": ("no port",)}, "not an address"),
        ({"addresses": ("10.0.0.2:09370",)}, "shortest form"),
        ({"signing_key": "AB" * 32}, "signing_key"),
        ({"sealing_key": "ab" * 31}, "sealing_key"),
        ({"sealing_key": "zz" * 32}, "malformed key"),
        ({"sealing_key": "00" * 32}, "malformed key"),
        ({"valid_from": "yesterday"}, "is not a time"),
        ({"valid_until": "2026-01-01T00:00:00Z"}, "is not after"),
        ({"tls_certificate": "-----BEGIN"}, "tls_certificate"),
    ],
)
def test_a_well_signed_card_with_unusable_content_is_refused(
    make_party: MakeParty, values: dict[str, Any], said: str
) -> None:
    keys, card = make_party()
    with pytest.raises(BadCard, match=said):
        parse_card(_resigned(keys, card, **values), now=NOW)


@pytest.mark.parametrize(
    "values",
    [{"addresses": "10.0.0.2:1"}, {"addresses": [1]}, {"addresses": ["h:1"] * 33}, {"party": 7}, {"signature": None}],
)
def test_a_card_whose_values_have_other_types_is_refused(make_party: MakeParty, values: dict[str, Any]) -> None:
    _, card = make_party()
    with pytest.raises(BadCard):
        parse_card(_changed(card, **values), now=NOW)


def test_the_certificate_on_a_card_must_be_that_partys_own_p256_certificate(make_party: MakeParty) -> None:
    keys, card = make_party("bob")
    other, _ = make_party("carol")
    with pytest.raises(BadCard, match="made for carol, not for bob"):
        parse_card(_resigned(keys, card, tls_certificate=other.tls_cert_pem.decode()), now=NOW)
    with pytest.raises(BadCard, match="more than one certificate"):
        parse_card(_resigned(keys, card, tls_certificate=card.tls_certificate + other.tls_cert_pem.decode()), now=NOW)
    with pytest.raises(BadCard, match="P-256"):
        parse_card(_resigned(keys, card, tls_certificate=_p384("bob")), now=NOW)


def _p384(name: str) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("change", [str.upper, lambda text: f" {text}", lambda text: f"{text[:2]} {text[2:]}"])
def test_a_signature_that_is_written_in_another_way_is_refused(
    make_party: MakeParty, change: Callable[[str], str]
) -> None:
    _, card = make_party()
    with pytest.raises(BadCard, match="lower-case hexadecimal"):
        parse_card(replace(card, signature=change(card.signature)).to_json())

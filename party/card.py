"""Card v1: what a party shows to others so that they can reach it, recognise it, and seal to it.

A card is a JSON file, self-signed with the signing key on it. The signature proves that whoever made the card holds
that key and that nothing was changed since; that the key belongs to the organisation is for people to check, by
comparing fingerprints over another way.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519

from party.errors import BadCard, CardExpired, CardForged, CardNotYetValid, CardSchemaUnknown
from party.ids import PartyId, party_id
from party.keys import CLOCK_SKEW, PartyKeys
from runtime.addresses import parse_listen
from runtime.canonical import canonical_json, parse_json
from runtime.errors import BadAddress, PlatformError

CARD_SCHEMA = 1
MAX_CARD_BYTES = 64 << 10
MAX_ADDRESSES = 32
_DOMAIN = b"archipelago/card/v1\x00"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_KEY_HEX_CHARS = 64


@dataclass(frozen=True)
class Card:
    """The public face of a party. All keys are public; a `Card` exists only if its signature was right.

    Attributes:
        schema: The version of the card's form, 1.
        party: The party's id.
        addresses: `host:port` of its gateway; empty for a party that only calls out.
        tls_certificate: P-256 certificate, PEM; a peer is this party only if it shows exactly this one.
        signing_key: Ed25519 public key, hex.
        sealing_key: X25519 public key, hex.
        valid_from, valid_until: UTC, `2026-01-31T12:00:00Z`.
        signature: Ed25519 over the canonical JSON of all the above, hex.
    """

    schema: int
    party: PartyId
    addresses: tuple[str, ...]
    tls_certificate: str
    signing_key: str
    sealing_key: str
    valid_from: str
    valid_until: str
    signature: str

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what the card says, hex: what people compare."""
        return sha256(_signed_bytes(self)).hexdigest()

    @cached_property
    def verifying(self) -> ed25519.Ed25519PublicKey:
        """The key that checks the party's signatures."""
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.signing_key))

    @cached_property
    def sealing(self) -> x25519.X25519PublicKey:
        """The key that things are sealed to."""
        return x25519.X25519PublicKey.from_public_bytes(bytes.fromhex(self.sealing_key))

    @cached_property
    def tls_certificate_der(self) -> bytes:
        """The certificate in binary form, as TLS libraries hand out the peer's."""
        loaded = x509.load_pem_x509_certificate(self.tls_certificate.encode())
        return loaded.public_bytes(serialization.Encoding.DER)

    def to_json(self) -> bytes:
        """The card as a file."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False).encode() + b"\n"

    def check_valid(self, now: datetime | None = None) -> None:
        """Raise CardExpired or CardNotYetValid if the card is not valid at `now` (the present)."""
        at = now or datetime.now(UTC)
        if at > _parse_time(self.valid_until):
            raise CardExpired(
                f"The card of {self.party} expired at {self.valid_until}.",
                hint=f"Ask {self.party} for a new card, then run: flow party trust CARD",
            )
        if at < _parse_time(self.valid_from) - CLOCK_SKEW:
            raise CardNotYetValid(
                f"The card of {self.party} is valid from {self.valid_from}, and it is {at.strftime(_TIME)} here.",
                hint="Compare the clocks of both machines.",
            )


def make_card(keys: PartyKeys, party: PartyId, addresses: tuple[str, ...]) -> Card:
    """Our card, signed; it is valid as long as the certificate is."""
    certificate = x509.load_pem_x509_certificate(keys.tls_cert_pem)
    body: dict[str, Any] = {
        "schema": CARD_SCHEMA,
        "party": party_id(party),
        "addresses": tuple(str(parse_listen(address)) for address in addresses),
        "tls_certificate": keys.tls_cert_pem.decode(),
        "signing_key": keys.signing.public_key().public_bytes_raw().hex(),
        "sealing_key": keys.sealing.public_key().public_bytes_raw().hex(),
        "valid_from": certificate.not_valid_before_utc.strftime(_TIME),
        "valid_until": certificate.not_valid_after_utc.strftime(_TIME),
    }
    unsigned = Card(**body, signature="")
    return Card(**body, signature=keys.signing.sign(_signed_bytes(unsigned)).hex())


def parse_card(data: bytes, *, now: datetime | None = None) -> Card:
    """The card in the file, checked in every respect; valid at `now` (the present).

    Raises:
        CardSchemaUnknown: Another version.
        BadCard: Not a card, or its parts do not fit together.
        CardForged: The signature is not of this content by this key.
        CardExpired: Its time is over.
        CardNotYetValid: Its time has not come.
    """
    card = read_card(data)
    card.check_valid(now)
    return card


def read_card(data: bytes) -> Card:
    """Like `parse_card`, for a card that may be out of its validity (to show it, or to replace it)."""
    card = _from_json(data)
    try:
        signature = bytes.fromhex(card.signature)
        if signature.hex() != card.signature:
            raise ValueError("the signature is not written in lower-case hexadecimal")
        card.verifying.verify(signature, _signed_bytes(card))
        # A point of small order gives everybody the same shared secret, and the library refuses it.
        x25519.X25519PrivateKey.generate().exchange(card.sealing)
    except InvalidSignature:
        raise CardForged(
            f"The card of {card.party} was changed after it was signed.", hint="Ask that party for its card again."
        ) from None
    except ValueError as error:
        raise BadCard(f"The card of {card.party} holds a malformed key or signature: {error}.") from None
    _check_certificate(card)
    return card


def _from_json(data: bytes) -> Card:
    if len(data) > MAX_CARD_BYTES:
        raise BadCard(f"A card has at most {MAX_CARD_BYTES} bytes, this file has {len(data)}.")
    values = parse_json(data, "The card")
    if not isinstance(values, dict):
        raise BadCard("The card is not a JSON object.")
    version = values.get("schema")
    if version != CARD_SCHEMA or isinstance(version, bool):
        raise CardSchemaUnknown(
            f"The card has schema {str(version)[:20]}; this release reads {CARD_SCHEMA}.",
            hint="Use a release that knows this card, or ask for a card of an older form.",
        )
    names = {field.name for field in fields(Card)}
    if set(values) != names:
        wrong = sorted(str(name)[:40] for name in set(values) ^ names)
        raise BadCard(f"The card's keys are not those of version {CARD_SCHEMA}: {', '.join(wrong)}.")
    addresses = values.pop("addresses")
    if not isinstance(addresses, list) or len(addresses) > MAX_ADDRESSES or not _all_text(addresses):
        raise BadCard(f"addresses: not a list of at most {MAX_ADDRESSES} texts.")
    if not _all_text([value for name, value in values.items() if name != "schema"]):
        raise BadCard("A key of the card is not text.")
    card = Card(addresses=tuple(addresses), **values)
    _check_text(card)
    return card


def _all_text(values: list[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _check_text(card: Card) -> None:
    try:
        party_id(card.party)
        for address in card.addresses:
            if str(parse_listen(address)) != address:
                raise BadAddress(f"'{address}' is not in its shortest form.")
    except PlatformError as error:
        raise BadCard(f"The card is not usable: {error.message}") from None
    for name in ("signing_key", "sealing_key"):
        value = getattr(card, name)
        if len(value) != _KEY_HEX_CHARS or value != value.lower():
            raise BadCard(f"{name}: not a key of 32 bytes in lower-case hexadecimal.")
    if _parse_time(card.valid_from) >= _parse_time(card.valid_until):
        raise BadCard(f"valid_until {card.valid_until} is not after valid_from {card.valid_from}.")


def _check_certificate(card: Card) -> None:
    try:
        certificate = x509.load_pem_x509_certificate(card.tls_certificate.encode())
        names = [str(part.value) for part in certificate.subject]
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadCard(f"tls_certificate: not an X.509 certificate in PEM form: {error}.") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise BadCard("tls_certificate: not a P-256 certificate.")
    if names != [card.party]:
        raise BadCard(f"tls_certificate: made for {', '.join(names)[:80]}, not for {card.party}.")
    if certificate.public_bytes(serialization.Encoding.PEM).decode() != card.tls_certificate:
        raise BadCard("tls_certificate: holds more than one certificate.")


def _signed_bytes(card: Card) -> bytes:
    body = asdict(card)
    del body["signature"]
    return _DOMAIN + canonical_json(body)


def _parse_time(text: str) -> datetime:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise BadCard(f"'{text[:40]}' is not a time such as 2026-01-31T12:00:00Z.") from None

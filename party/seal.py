r"""What a party does with its keys: sign, verify, seal to another party, and encrypt at rest.

Every use of a key is bound to a purpose, so that bytes made for one use never serve another, and every sealed form
begins with its version. Checks raise; none returns a flag.

    signature   Ed25519 over  "archipelago/sign/v1\0" | u16 length of purpose | purpose | message      (RFC 8032)
    sealed      0x01 | ephemeral X25519 key (32) | AES-256-GCM text and tag; key and nonce by HKDF-SHA256 from the
                shared secret, bound to both public keys                                     (RFC 7748, RFC 5869)
    boxed       0x01 | random nonce (12) | AES-256-GCM text and tag
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.utils import Buffer

from party.card import Card
from party.errors import BadSignature, CannotUnseal
from party.keys import PartyKeys

SEAL_VERSION = b"\x01"
BOX_VERSION = b"\x01"
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
SEAL_OVERHEAD_BYTES = 1 + KEY_BYTES + TAG_BYTES
BOX_OVERHEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES
MAX_SEALED_BYTES = (1 << 31) - 1 - TAG_BYTES  # what one AES-GCM call of the library takes
_SIGN_DOMAIN = b"archipelago/sign/v1\x00"
_SEAL_DOMAIN = b"archipelago/seal/v1\x00"
_BOX_DOMAIN = b"archipelago/box/v1\x00"
_DERIVE_DOMAIN = b"archipelago/derive/v1\x00"


def sign(keys: PartyKeys, purpose: bytes, message: Buffer) -> bytes:
    """Our signature (64 bytes) of a message for one purpose."""
    return keys.signing.sign(_to_sign(purpose, message))


def verify(card: Card, purpose: bytes, message: Buffer, signature: bytes) -> None:
    """Raise BadSignature unless the card's party signed exactly this message for this purpose."""
    try:
        card.verifying.verify(signature, _to_sign(purpose, message))
    except InvalidSignature:
        raise BadSignature(
            f"A message is not signed by {card.party} for '{purpose.decode(errors='replace')[:40]}'.",
            hint="It was changed on the way, or that party has new keys and its new card is not trusted yet.",
        ) from None


def seal(card: Card, plaintext: Buffer, aad: bytes = b"") -> bytes:
    """Bytes that only the card's party can open, and only with the same `aad`. Raises CannotUnseal if too large."""
    _check_size(plaintext)
    ephemeral = X25519PrivateKey.generate()
    public = ephemeral.public_key().public_bytes_raw()
    shared = _exchange(ephemeral, card.sealing)
    key, nonce = _seal_key(shared, public, card.sealing.public_bytes_raw())
    return b"".join((SEAL_VERSION, public, AESGCM(key).encrypt(nonce, plaintext, _SEAL_DOMAIN + aad)))


def unseal(keys: PartyKeys, sealed: Buffer, aad: bytes = b"") -> bytes:
    """What another party sealed to us. Raises CannotUnseal."""
    view = memoryview(sealed)
    if len(view) < SEAL_OVERHEAD_BYTES or view[:1] != SEAL_VERSION:
        raise CannotUnseal("These bytes were not sealed in a form that this release knows.")
    public = bytes(view[1 : 1 + KEY_BYTES])
    shared = _exchange(keys.sealing, X25519PublicKey.from_public_bytes(public))
    key, nonce = _seal_key(shared, public, keys.sealing.public_key().public_bytes_raw())
    return _open(key, nonce, view[1 + KEY_BYTES :], _SEAL_DOMAIN + aad)


def derive(master: bytes, purpose: bytes, context: str | bytes = b"") -> bytes:
    """A key of 32 bytes for one purpose and context; neither the master nor another key follows from it."""
    if len(master) < KEY_BYTES:
        raise ValueError(f"a master secret has at least {KEY_BYTES} bytes")
    text = context.encode() if isinstance(context, str) else context
    return _hkdf(master, _DERIVE_DOMAIN + _framed(purpose) + text, KEY_BYTES)


def box(key: bytes, plaintext: Buffer, aad: bytes = b"") -> bytes:
    """Encrypt for ourselves, at rest. One key is good for some 2^32 boxes. Raises CannotUnseal if too large."""
    _check_size(plaintext)
    nonce = secrets.token_bytes(NONCE_BYTES)
    return b"".join((BOX_VERSION, nonce, AESGCM(_checked_key(key)).encrypt(nonce, plaintext, _BOX_DOMAIN + aad)))


def unbox(key: bytes, boxed: Buffer, aad: bytes = b"") -> bytes:
    """What `box` encrypted with the same key and `aad`. Raises CannotUnseal."""
    view = memoryview(boxed)
    if len(view) < BOX_OVERHEAD_BYTES or view[:1] != BOX_VERSION:
        raise CannotUnseal("These bytes were not boxed in a form that this release knows.")
    nonce = bytes(view[1 : 1 + NONCE_BYTES])
    return _open(_checked_key(key), nonce, view[1 + NONCE_BYTES :], _BOX_DOMAIN + aad)


def _open(key: bytes, nonce: bytes, text: Buffer, aad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, text, aad)
    except InvalidTag:
        raise CannotUnseal(
            "These bytes were sealed with another key or for another use, or were changed.",
        ) from None


def _exchange(private: X25519PrivateKey, public: X25519PublicKey) -> bytes:
    try:
        return private.exchange(public)
    except ValueError:  # a point of small order: the shared secret would be known to everybody
        raise CannotUnseal("The sealing key is not a usable X25519 key.") from None


def _seal_key(shared: bytes, ephemeral: bytes, receiver: bytes) -> tuple[bytes, bytes]:
    # Each ephemeral key is used once, so a derived nonce never repeats under one key.
    material = _hkdf(shared, _SEAL_DOMAIN + ephemeral + receiver, KEY_BYTES + NONCE_BYTES)
    return material[:KEY_BYTES], material[KEY_BYTES:]


def _hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(secret)


def _to_sign(purpose: bytes, message: Buffer) -> bytes:
    return b"".join((_SIGN_DOMAIN, _framed(purpose), message))


def _framed(purpose: bytes) -> bytes:
    return len(purpose).to_bytes(2, "big") + purpose


def _checked_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes")
    return key


def _check_size(plaintext: Buffer) -> None:
    size = memoryview(plaintext).nbytes
    if size > MAX_SEALED_BYTES:
        raise CannotUnseal(
            f"{size} bytes are more than can be sealed at once ({MAX_SEALED_BYTES}).", hint="Send parts."
        )

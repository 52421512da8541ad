"""Passwords: kept as Argon2id digests, compared at the same price whether or not the user exists.

Cost: 64 MiB and two passes (RFC 9106 recommends Argon2id; OWASP's least is 19 MiB and two passes). One password is
hashed at a time, so that guessing costs this machine no more than that much memory; whoever lets strangers guess
bounds how many wait for it (runtime/limits/guessing.py).
"""

from __future__ import annotations

import os
import threading
import unicodedata

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from party.errors import WeakPassword

MIN_CHARS = 12
MAX_CHARS = 200
MEMORY_KIB = 64 << 10
PASSES = 2
SALT_BYTES = 16
DIGEST_BYTES = 32
NOBODYS = (  # of a password that nobody knows: what a wrong user name is compared with
    f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1$ZK1iiTdck3aS6sPsuDWskw$5ok3ECoQnfrdVddSZkcG4Hw4hB/rwfu1IHWFl3RxHKI"
)
_one_at_a_time = threading.Lock()


def checked_password(text: str, user: str) -> str:
    """The password unchanged if it is fit to be one. Raises WeakPassword, which does not quote it."""
    if not MIN_CHARS <= len(text) <= MAX_CHARS:
        raise WeakPassword(f"The password has {len(text)} characters.", hint=f"Use {MIN_CHARS} to {MAX_CHARS}.")
    if len(set(text)) < MIN_CHARS // 3 or user in text.lower():
        raise WeakPassword(
            "The password is easily guessed.", hint="Use several words that have nothing to do with you."
        )
    return text


def password_digest(password: str, *, memory_kib: int = MEMORY_KIB) -> str:
    """The digest to keep, in PHC form with its salt and cost."""
    kdf = Argon2id(salt=os.urandom(SALT_BYTES), length=DIGEST_BYTES, iterations=PASSES, lanes=1, memory_cost=memory_kib)
    with _one_at_a_time:
        return kdf.derive_phc_encoded(_bytes(password))


def matches(password: str, digest: str) -> bool:
    """Whether the digest is of this password; an empty digest is of none and takes as long."""
    try:
        with _one_at_a_time:
            Argon2id.verify_phc_encoded(_bytes(password[:MAX_CHARS]), digest or NOBODYS)
    except InvalidKey:
        return False
    return bool(digest)


def _bytes(password: str) -> bytes:
    """The same for the same characters, however a keyboard composes them."""
    return unicodedata.normalize("NFC", password).encode(errors="surrogatepass")

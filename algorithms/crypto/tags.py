"""Tags by which trainers see that a sum is the sum of what they sent, each once and nothing else.

A linear tag under a secret key, as in homomorphic signatures with labels (Agrawal, Boneh 2009, "Homomorphic MACs",
section 3, in a ring): with k from the key's stream and r from the key and the sender's address, the tag of the
integers x is <k, x> + r modulo 2^64, in `LANES` lanes. The sum of all tags is the tag of the sum with all senders' r.
Who lacks the key and changes what is added, leaves one out, counts one twice, or gives back an earlier sum has to guess
the change of every lane: below 2^-60 for sums of up to a thousand vectors of up to 34 bits. Who has the key can make
tags: they hold against whoever adds, not among those who sent.

The key of a sum follows from the secret and a transcript of all sums before it, so those who were given different sums
find that out at the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest
from typing import TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]
LANES = 3
TAG_BITS = 64
SECRET_BYTES = 32
_MODULUS = 1 << TAG_BITS
_AT_ONCE = 1 << 15  # integers; what is computed from them stays in the cache
_ZEROS = bytes(8 * _AT_ONCE)


def first_transcript(*parts: bytes) -> bytes:
    """What everybody must have alike before the first sum."""
    return sha256(b"".join(len(part).to_bytes(8, "big") + part for part in (b"archipelago/tags/v1", *parts))).digest()


class SumTags:
    """The tags of one vector, or of the sum of all, integers taken in order.

    Args:
        secret: What the senders share, `SECRET_BYTES` of it.
        transcript: Of everything that was added before.
    """

    def __init__(self, secret: bytes, transcript: bytes) -> None:
        self._secret = secret
        self._transcript = transcript
        self._digest = sha256(transcript)
        self._totals = [0] * LANES
        keys = [self._derived(b"lane", str(lane))[:16] for lane in range(LANES)]
        self._streams = [Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor() for key in keys]

    def take(self, integers: Integers) -> None:
        """The next integers."""
        for at in range(0, len(integers), _AT_ONCE):
            piece = np.ascontiguousarray(integers[at : at + _AT_ONCE], dtype="<i8").view("<u8")
            self._digest.update(piece.data)
            for lane, stream in enumerate(self._streams):
                factors = np.frombuffer(stream.update(_ZEROS[: 8 * len(piece)]), dtype="<u8")
                self._totals[lane] += int(np.dot(factors, piece))

    def of(self, senders: Iterable[str]) -> tuple[int, ...]:
        """The tags of what was taken, if it is the sum of these senders' integers."""
        totals = list(self._totals)
        for sender in senders:
            own = self._derived(b"sender", sender)
            for lane in range(LANES):
                totals[lane] += int.from_bytes(own[8 * lane : 8 * lane + 8], "big")
        return tuple(total % _MODULUS for total in totals)

    def are(self, found: Iterable[int], senders: Iterable[str]) -> bool:
        """Whether sums of tags, as large as they became, are those of the sum that was taken."""
        return tuple(tag % _MODULUS for tag in found) == self.of(senders)

    def transcript(self) -> bytes:
        """Of everything that was added, this sum with it."""
        return self._digest.digest()

    def _derived(self, purpose: bytes, name: str) -> bytes:
        return digest(self._secret, self._transcript + purpose + b"/" + name.encode(), "sha256")


@dataclass(frozen=True)
class Seal:
    """How one sum is checked.

    Attributes:
        own, summed: The tags of the own vector, and those of the sum.
        sender: Who made the own ones.
        senders: Whose vectors are in the sum.
    """

    own: SumTags
    summed: SumTags
    sender: str
    senders: Sequence[str]

    @staticmethod
    def of(secret: bytes, transcript: bytes, sender: str, senders: Sequence[str]) -> Seal:
        """The seal of the next sum after those of the transcript."""
        return Seal(SumTags(secret, transcript), SumTags(secret, transcript), sender, senders)

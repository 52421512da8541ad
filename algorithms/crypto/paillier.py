"""The Paillier cryptosystem: keys, single ciphertexts, no vectors.

Sources: Paillier 1999, scheme 1, with g = n + 1; Damgard, Jurik, Nielsen 2010, "A generalization of Paillier's
public-key system with applications to electronic voting", section 4.2, for the encryption (1 + mn) h^(nr) with r of
half the modulus' length. A ciphertext is an ordinary Paillier ciphertext: any implementation decrypts it.

Assumptions: decisional composite residuosity; with `h`, additionally that a power of h with a short exponent cannot
be told from one with a long exponent. Key sizes and what they resist (NIST SP 800-57): 2048 bits about 112 bits of
security, 3072 about 128. Paillier is malleable by design and offers no integrity: signatures on the messages do.
Randomness is the operating system's. GMP's arithmetic is not constant-time; a key holder that lets an adversary
time its decryptions must not use it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import gmpy2
from gmpy2 import mpz

from algorithms.crypto.fixed_base import FixedBase, best_window, random_digits
from algorithms.errors import BadCiphertext, BadKey
from storage.client import Field, Value

LEAST_KEY_BITS = 1024  # for tests; the parameters of components ask for 2048 and more
KEY_SCHEMA = 1
_CONTEXT = b"archipelago/paillier/v1"
_PRIME_ROUNDS = 40


@dataclass(frozen=True, repr=False)
class PublicKey:
    """The modulus n, and h = -x^2 mod n if the key's maker published one (phe's keys have none)."""

    n: mpz
    h: mpz | None = None

    @cached_property
    def n_squared(self) -> mpz:
        """Ciphertexts live modulo this."""
        return self.n * self.n

    @cached_property
    def bits(self) -> int:
        """The length of n."""
        return int(self.n.bit_length())

    @property
    def ciphertext_bytes(self) -> int:
        """Every ciphertext takes exactly this many bytes."""
        return (2 * self.bits + 7) // 8

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of n and h (0 for none) under a context string; it names the key in every encrypted vector."""
        return sha256(_CONTEXT + f"/{self.n:x}/{self.h or 0:x}".encode()).hexdigest()

    def record(self) -> dict[str, Field]:
        """The key as a record to send."""
        return {"schema": KEY_SCHEMA, "n": _to_bytes(self.n), "h": _to_bytes(self.h or mpz(0))}

    @staticmethod
    def from_record(record: Mapping[str, Value]) -> PublicKey:
        """The key of a record. Raises BadKey."""
        n, h = (_number(record, name) for name in ("n", "h"))
        hides = not h or gmpy2.gcd(h * (h * h - 1), n) == 1  # a unit, and neither 1 nor -1 modulo a factor of n
        if n.bit_length() < LEAST_KEY_BITS or n % 2 == 0 or h >= n or not hides:
            raise BadKey("The public key received is not a Paillier key.", hint="Ask its maker's party for its log.")
        return PublicKey(n, h or None)

    def checked(self, ciphertext: mpz) -> mpz:
        """`ciphertext` unchanged. Raises BadCiphertext unless it is a unit modulo n squared."""
        if not 0 < ciphertext < self.n_squared or gmpy2.gcd(ciphertext, self.n) != 1:
            raise BadCiphertext(f"A ciphertext under key {self.fingerprint[:12]} is not a unit modulo n squared.")
        return ciphertext

    def __repr__(self) -> str:
        return f"<PublicKey {self.fingerprint[:12]}, {self.bits} bits>"


@dataclass(frozen=True, repr=False)
class PrivateKey:
    """The primes p and q. Never printed; sent only sealed; written only to the sealed journal."""

    p: mpz
    q: mpz
    h: mpz | None = None

    @cached_property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(self.p * self.q, self.h)

    def record(self) -> dict[str, Field]:
        """The key as a record, for the journal and for sealed messages only."""
        halves: dict[str, Field] = {"p": _to_bytes(self.p), "q": _to_bytes(self.q)}
        return {"schema": KEY_SCHEMA, **halves, "h": _to_bytes(self.h or mpz(0))}

    @staticmethod
    def from_record(record: Mapping[str, Value]) -> PrivateKey:
        """The key of a record. Raises BadKey."""
        p, q, h = (_number(record, name) for name in ("p", "q", "h"))
        if p == q or not gmpy2.is_prime(p) or not gmpy2.is_prime(q) or gmpy2.gcd(p * q, (p - 1) * (q - 1)) != 1:
            raise BadKey("The private key received is not a Paillier key.", hint="Ask its maker's party for its log.")
        return PrivateKey(p, q, h or None)

    @cached_property
    def p_squared(self) -> mpz:
        """p^2, one of the two moduli the owner works with."""
        return self.p * self.p

    @cached_property
    def q_squared(self) -> mpz:
        """q^2, the other one."""
        return self.q * self.q

    @cached_property
    def _inverses(self) -> tuple[mpz, mpz, mpz, mpz]:
        """What decryption and the two ways back from residues need: -q^-1 mod p, -p^-1 mod q, p^-1, p^-2."""
        p, q = self.p, self.q
        minus_q, minus_p = gmpy2.invert(-q % p, p), gmpy2.invert(-p % q, q)
        return minus_q, minus_p, gmpy2.invert(p, q), gmpy2.invert(self.p_squared, self.q_squared)

    def decrypt(self, ciphertexts: Sequence[mpz]) -> list[mpz]:
        """The plaintexts modulo n, by Chinese remainders (Paillier 1999, section 7). Raises BadCiphertext."""
        units = [self.public.checked(c) for c in ciphertexts]
        minus_q, minus_p, p_inverse, _ = self._inverses
        p, q = self.p, self.q
        mod_p = gmpy2.powmod_base_list([c % self.p_squared for c in units], p - 1, self.p_squared)
        mod_q = gmpy2.powmod_base_list([c % self.q_squared for c in units], q - 1, self.q_squared)
        plain = []
        for u, v in zip(mod_p, mod_q, strict=True):
            m_p = (u - 1) // p * minus_q % p
            m_q = (v - 1) // q * minus_p % q
            plain.append(m_p + p * ((m_q - m_p) * p_inverse % q))
        return plain

    def join(self, mod_p_squared: mpz, mod_q_squared: mpz) -> mpz:
        """The number modulo n squared with these residues."""
        inverse = self._inverses[3]
        return mod_p_squared + self.p_squared * ((mod_q_squared - mod_p_squared) * inverse % self.q_squared)

    def __repr__(self) -> str:
        return f"<PrivateKey of {self.public.fingerprint[:12]}>"


def generate(bits: int = 2048) -> PrivateKey:
    """A fresh key whose n has exactly `bits` bits; both primes are 3 modulo 4, as DJN's h needs. Raises BadKey."""
    if bits < LEAST_KEY_BITS or bits % 16:
        raise BadKey(f"{bits} bits is not a key size.", hint="Use 2048, 3072 or 4096.")
    while True:
        p, q = _blum_prime(bits // 2), _blum_prime(bits // 2)
        n = p * q
        if p != q and gmpy2.gcd(p - 1, q - 1) == 2 and gmpy2.gcd(n, (p - 1) * (q - 1)) == 1:
            x = mpz(secrets.randbelow(int(n) - 2) + 2)
            return PrivateKey(p, q, -x * x % n)


class Encryptor:
    """Encrypts under one key; faster if it holds the private half, and with a table sized for the numbers expected.

    Args:
        key: The public key, or the private one for the owner's shorter arithmetic.
        expected: About how many ciphertexts this object will make; sizes the table of powers of h.
    """

    def __init__(self, key: PublicKey | PrivateKey, expected: int) -> None:
        self._owner = key if isinstance(key, PrivateKey) else None
        self.public = key.public if isinstance(key, PrivateKey) else key
        self._exponent_bits = (self.public.bits + 1) // 2
        self._window = best_window(self._exponent_bits, expected)
        self._tables: tuple[FixedBase, ...] = ()

    def encrypt(self, plaintext: mpz) -> mpz:
        """A fresh ciphertext of 0 <= plaintext < n."""
        n, n_squared = self.public.n, self.public.n_squared
        return (1 + plaintext * n) * self._mask() % n_squared

    def _mask(self) -> mpz:
        """A random n-th power modulo n squared: h^(nr), or the textbook r^n where the key has no h."""
        public, owner = self.public, self._owner
        if public.h is None:
            return gmpy2.powmod(secrets.randbelow(int(public.n) - 1) + 1, public.n, public.n_squared)
        digits = random_digits(self._window, self._exponent_bits)
        if not self._tables:
            moduli = (owner.p_squared, owner.q_squared) if owner else (public.n_squared,)
            bases = [gmpy2.powmod(public.h, public.n, modulus) for modulus in moduli]
            self._tables = tuple(
                FixedBase(base, modulus, window=self._window, exponent_bits=self._exponent_bits)
                for base, modulus in zip(bases, moduli, strict=True)
            )
        powers = [table.power(digits) for table in self._tables]
        return owner.join(*powers) if owner else powers[0]


def _blum_prime(bits: int) -> mpz:
    """A uniform prime of exactly `bits` bits that is 3 modulo 4, its two highest bits set."""
    while True:
        candidate = mpz(secrets.randbits(bits)) | (3 << (bits - 2)) | 3
        if gmpy2.is_prime(candidate, _PRIME_ROUNDS):
            return candidate


def _to_bytes(number: mpz) -> bytes:
    return bytes(number.to_bytes((number.bit_length() + 7) // 8 or 1, "big"))


def _number(record: Mapping[str, Value], name: str) -> mpz:
    raw = record.get(name)
    if record.get("schema") != KEY_SCHEMA or not isinstance(raw, bytes):
        raise BadKey(f"The key received has schema {record.get('schema')!r}, this version reads {KEY_SCHEMA}.")
    return mpz.from_bytes(raw, "big")

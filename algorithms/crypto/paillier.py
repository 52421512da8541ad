"""The Paillier cryptosystem: keys, and what their owner can do with single ciphertexts; no vectors.

Sources: Paillier 1999, scheme 1, with g = n + 1. How n and h are made (`keygen`):

    standard   Damgard, Jurik, Nielsen 2010, "A generalization of Paillier's public-key system with applications to
               electronic voting", section 4.2: n of two Blum primes, h = -x^2; a ciphertext is (1 + mn) h^(nr) with r
               of half the modulus' length.
    subgroup   Ma, Han, Fan, Wang 2021, "Optimized Paillier's Cryptosystem with Fast Encryption and Decryption", ACSAC:
               two primes a_p | p - 1 and a_q | q - 1 of half `SUBGROUP_BITS` each, h generates their subgroup, r has
               `SUBGROUP_BITS` bits. Faster, under the stronger assumption that this small hidden subgroup cannot be
               told from the whole, and found no faster than by generic methods.

Ciphertexts of both are ordinary Paillier ciphertexts: any implementation decrypts them.

Assumptions: decisional composite residuosity; with `h`, additionally that a power of h with a short exponent cannot
be told from one with a long exponent. Key sizes and what they resist (NIST SP 800-57): 2048 bits about 112 bits of
security, 3072 about 128. Paillier is malleable by design and offers no integrity: signatures on the messages do.
Randomness is the operating system's. GMP's arithmetic is not constant-time; a key holder that lets an adversary
time its decryptions must not use it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, cast, get_args

import gmpy2
from gmpy2 import mpz

from algorithms.api.errors import BadCiphertext, BadKey

if TYPE_CHECKING:  # what a worker process has no use for
    from storage.client import Field, Value

Keygen = Literal["standard", "subgroup"]
LEAST_KEY_BITS = 1024  # for tests; the parameters of components ask for 2048 and more
SUBGROUP_BITS = {1024: 320, 2048: 448, 3072: 512, 4096: 608}  # four times the security level of the key size
LARGEST_KEY_BITS = 4096
KEY_SCHEMA = 2
_CONTEXT = b"archipelago/paillier/v1"
TRIAL_DIVISION = 1_000_000  # primes below it divide no honest modulus
LEAST_DISTANCE = 100  # bits that two primes of one length may have alike at the top
_PRIME_ROUNDS = 40
_SMALL_PRIMES = gmpy2.primorial(2000)


@dataclass(frozen=True, repr=False)
class PublicKey:
    """The modulus n, h if the key's maker published one (phe's keys have none), and how both were made."""

    n: mpz
    h: mpz | None = None
    keygen: Keygen = "standard"

    @cached_property
    def n_squared(self) -> mpz:
        """Ciphertexts live modulo this."""
        return self.n * self.n

    @cached_property
    def bits(self) -> int:
        """The length of n."""
        return int(self.n.bit_length())

    @property
    def exponent_bits(self) -> int:
        """The length of a random exponent of h, in whole bytes."""
        return SUBGROUP_BITS[self.bits] if self.keygen == "subgroup" else _whole_bytes((self.bits + 1) // 2)

    @property
    def ciphertext_bytes(self) -> int:
        """Every ciphertext takes exactly this many bytes."""
        return (2 * self.bits + 7) // 8

    @property
    def plaintext_bytes(self) -> int:
        """Every plaintext fits into this many bytes."""
        return (self.bits + 7) // 8

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of n, h (0 for none) and keygen under a context string; it names the key in every vector."""
        return sha256(_CONTEXT + f"/{self.n:x}/{self.h or 0:x}/{self.keygen}".encode()).hexdigest()

    def record(self) -> dict[str, Field]:
        """The key as a record to send."""
        numbers: dict[str, Field] = {"n": to_bytes(self.n), "h": to_bytes(self.h or mpz(0))}
        return {"schema": KEY_SCHEMA, "keygen": self.keygen, **numbers}

    @staticmethod
    def from_record(record: Mapping[str, Value]) -> PublicKey:
        """The key of a record. Raises BadKey."""
        keygen, (n, h) = _fields(record, "n", "h")
        hides = not h or gmpy2.gcd(h * (h * h - 1), n) == 1  # a unit, and neither 1 nor -1 modulo a factor of n
        if not _is_modulus(n, keygen) or h >= n or not hides or (keygen == "subgroup" and not h):
            raise BadKey("The public key received is not a Paillier key.", hint="Ask its maker's party for its log.")
        return PublicKey(n, h or None, keygen)

    def __repr__(self) -> str:
        return f"<PublicKey {self.fingerprint[:12]}, {self.bits} bits, {self.keygen}>"


@dataclass(frozen=True, repr=False)
class PrivateKey:
    """The primes p and q, of a subgroup key also a_p and a_q. Never printed; sent and kept only sealed."""

    p: mpz
    q: mpz
    h: mpz | None = None
    a_p: mpz | None = None
    a_q: mpz | None = None

    @cached_property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(self.p * self.q, self.h, "subgroup" if self.a_p else "standard")

    def record(self) -> dict[str, Field]:
        """The key as a record, for the journal and for sealed messages only."""
        numbers = {"p": self.p, "q": self.q, "h": self.h, "a_p": self.a_p, "a_q": self.a_q}
        halves: dict[str, Field] = {name: to_bytes(number or mpz(0)) for name, number in numbers.items()}
        return {"schema": KEY_SCHEMA, "keygen": self.public.keygen, **halves}

    @staticmethod
    def from_record(record: Mapping[str, Value]) -> PrivateKey:
        """The key of a record. Raises BadKey."""
        keygen, (p, q, h, a_p, a_q) = _fields(record, "p", "q", "h", "a_p", "a_q")
        sized = max(number.bit_length() for number in (p, q, h)) <= LARGEST_KEY_BITS
        subgroup = keygen == "subgroup"
        if (
            not (sized and _are_halves(p, q))
            or subgroup != bool(a_p)
            or (subgroup and not _has_order(h, ((p, a_p), (q, a_q))))
        ):
            raise BadKey("The private key received is not a Paillier key.", hint="Ask its maker's party for its log.")
        return PrivateKey(p, q, h or None, a_p or None, a_q or None)

    @cached_property
    def p_squared(self) -> mpz:
        """p^2, one of the two moduli the owner works with."""
        return self.p * self.p

    @cached_property
    def q_squared(self) -> mpz:
        """q^2, the other one."""
        return self.q * self.q

    @property
    def orders(self) -> tuple[mpz, mpz]:
        """What every power of h^n is one to the power of, modulo p^2 and modulo q^2."""
        return (2 * self.a_p, 2 * self.a_q) if self.a_p and self.a_q else (self.p - 1, self.q - 1)

    @cached_property
    def _inverses(self) -> tuple[mpz, mpz]:
        """What the two ways back from residues need: p^-1 mod q, p^-2 mod q^2."""
        return gmpy2.invert(self.p, self.q), gmpy2.invert(self.p_squared, self.q_squared)

    def decrypt(self, ciphertexts: Sequence[mpz]) -> list[mpz]:
        """The plaintexts modulo n, by Chinese remainders (Paillier 1999, section 7). Raises BadCiphertext."""
        p, p_inverse = self.p, self._inverses[0]
        order_p, order_q = self.orders
        mod_p = _residues(ciphertexts, self.p, self.q, order_p)
        mod_q = _residues(ciphertexts, self.q, self.p, order_q)
        n_squared = self.public.n_squared
        if any(not 0 < c < n_squared for c in ciphertexts):
            raise BadCiphertext("A ciphertext is not below n squared.")
        return [m_p + p * ((m_q - m_p) * p_inverse % self.q) for m_p, m_q in zip(mod_p, mod_q, strict=True)]

    def join(self, mod_p_squared: mpz, mod_q_squared: mpz) -> mpz:
        """The number modulo n squared with these residues."""
        inverse = self._inverses[1]
        return mod_p_squared + self.p_squared * ((mod_q_squared - mod_p_squared) * inverse % self.q_squared)

    def __repr__(self) -> str:
        return f"<PrivateKey of {self.public.fingerprint[:12]}>"


def generate(bits: int = 2048, keygen: Keygen = "standard") -> PrivateKey:
    """A fresh key whose n has exactly `bits` bits. Raises BadKey."""
    if bits < LEAST_KEY_BITS or bits % 16 or (keygen == "subgroup" and bits not in SUBGROUP_BITS):
        raise BadKey(f"{bits} bits is not a key size.", hint="Use 2048, 3072 or 4096.")
    make = _subgroup_prime if keygen == "subgroup" else _blum_prime
    while True:
        (p, a_p), (q, a_q) = make(bits), make(bits)
        n = p * q
        if p != q and gmpy2.gcd(p - 1, q - 1) == 2 and gmpy2.gcd(n, (p - 1) * (q - 1)) == 1:
            break
    x = mpz(secrets.randbelow(int(n) - 2) + 2)
    if a_p is None or a_q is None:
        return PrivateKey(p, q, -x * x % n)
    cofactor = (p - 1) // (2 * a_p) * ((q - 1) // (2 * a_q))
    return PrivateKey(p, q, -gmpy2.powmod(x, 2 * cofactor, n) % n, a_p, a_q)


def to_bytes(number: mpz) -> bytes:
    """Big-endian, as few bytes as it takes and at least one."""
    return bytes(number.to_bytes((number.bit_length() + 7) // 8 or 1, "big"))


def random_power(public: PublicKey) -> mpz:
    """r^n for a uniform r below n: the textbook's mask, for keys without h."""
    return gmpy2.powmod(secrets.randbelow(int(public.n) - 1) + 1, public.n, public.n_squared)


def _residues(ciphertexts: Sequence[mpz], p: mpz, q: mpz, order: mpz) -> list[mpz]:
    """The plaintexts modulo p: c^order = 1 + order * m * n modulo p^2. Raises BadCiphertext."""
    p_squared, unit = p * p, gmpy2.invert(order * q, p)
    powers = gmpy2.powmod_base_list([c % p_squared for c in ciphertexts], order, p_squared)
    residues = []
    for i, power in enumerate(powers):
        quotient, rest = gmpy2.f_divmod(power - 1, p)
        if rest and order != p - 1:  # not masked by a power of h: a textbook ciphertext takes the long way
            quotient, rest = gmpy2.f_divmod(gmpy2.powmod(ciphertexts[i], p - 1, p_squared) - 1, p)
            residues.append(-quotient * gmpy2.invert(q, p) % p)
        else:
            residues.append(quotient * unit % p)
        if rest:
            raise BadCiphertext("A ciphertext is not a unit modulo n squared.", hint="It was damaged or forged.")
    return residues


def _blum_prime(bits: int) -> tuple[mpz, None]:
    """A uniform prime of half the key's length that is 3 modulo 4, its two highest bits set."""
    half = bits // 2
    return _search(lambda: mpz(secrets.randbits(half)) | (3 << (half - 2)) | 3), None


def _subgroup_prime(bits: int) -> tuple[mpz, mpz]:
    """A prime p = 2 * a * b + 1 of half the key's length with a prime a of half the subgroup's; and a.

    b has no small factor. The two highest bits of p are set.
    """
    half, a_bits = bits // 2, SUBGROUP_BITS[bits] // 2
    a = _search(lambda: mpz(secrets.randbits(a_bits)) | (1 << (a_bits - 1)) | 1)
    least, most = -(-(3 << (half - 2)) // (2 * a)), (1 << half) // (2 * a)

    def candidate() -> mpz:
        while True:
            b = mpz(secrets.randbelow(int(most - least))) + least | 1
            if b < most and gmpy2.gcd(b, _SMALL_PRIMES) == 1:
                return 2 * a * b + 1

    return _search(candidate), a


def _search(candidate: Callable[[], mpz]) -> mpz:
    """The first candidate that is prime."""
    while not gmpy2.is_prime(found := candidate(), _PRIME_ROUNDS):
        pass
    return found


def _has_order(h: mpz, parts: Sequence[tuple[mpz, mpz]]) -> bool:
    """Whether each a is a prime of the length it should have, divides its p - 1, and h^(2a) is one modulo p."""
    bits = int((parts[0][0] * parts[1][0]).bit_length())
    length = SUBGROUP_BITS.get(bits, 0) // 2
    return all(
        a.bit_length() == length and gmpy2.is_prime(a) and p % a == 1 and gmpy2.powmod(h, 2 * a, p) == 1
        for p, a in parts
    )


def _is_modulus(n: mpz, keygen: Keygen) -> bool:
    """What can be seen of a modulus without its factors: its length, and that none of the cheap ways takes it apart."""
    sized = LEAST_KEY_BITS <= n.bit_length() <= LARGEST_KEY_BITS
    sized = sized and (keygen == "standard" or n.bit_length() in SUBGROUP_BITS)
    if not sized or gmpy2.gcd(n, _trial_primes() % n) != 1:
        return False
    return not gmpy2.is_power(n) and not gmpy2.is_prime(n)


def _are_halves(p: mpz, q: mpz) -> bool:
    """Whether both are primes of half the length of their product, far apart, and of no use to each other's order.

    Lengths and distance are those of FIPS 186-4, B.3.3: numbers close together are found from their product's root.
    """
    half = p.bit_length()
    alike = half == q.bit_length() and (p * q).bit_length() == 2 * half
    if not alike or (abs(p - q)).bit_length() <= half - LEAST_DISTANCE:
        return False
    primes = all(gmpy2.is_prime(number, _PRIME_ROUNDS) for number in (p, q))
    return primes and gmpy2.gcd(p * q, (p - 1) * (q - 1)) == 1


@cache
def _trial_primes() -> mpz:
    """The product of all primes that a received modulus is divided by."""
    return gmpy2.primorial(TRIAL_DIVISION)


def _whole_bytes(bits: int) -> int:
    return (bits + 7) // 8 * 8


def _fields(record: Mapping[str, Value], *names: str) -> tuple[Keygen, list[mpz]]:
    """How a key was made, and its numbers. Raises BadKey."""
    keygen, raws = record.get("keygen"), [record.get(name) for name in names]
    readable = record.get("schema") == KEY_SCHEMA and keygen in get_args(Keygen)
    numbers = [mpz.from_bytes(raw, "big") for raw in raws if isinstance(raw, bytes)]
    if not readable or len(numbers) != len(names):
        raise BadKey(f"The key received has schema {record.get('schema')!r}, this version reads {KEY_SCHEMA}.")
    return cast("Keygen", keygen), numbers

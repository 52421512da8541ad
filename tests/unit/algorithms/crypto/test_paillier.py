"""Keys and single ciphertexts, held against `phe`."""

from __future__ import annotations

from math import gcd

import gmpy2
import phe
import pytest
from gmpy2 import mpz

from algorithms.api.errors import BadCiphertext, BadKey
from algorithms.crypto import paillier
from algorithms.crypto.batch import BatchArithmetic
from algorithms.crypto.fixed_base import DEPTHS, FixedBase, best_depth, digits_of
from algorithms.crypto.masks import Masks
from algorithms.crypto.paillier import SUBGROUP_BITS, PrivateKey, PublicKey, generate


@pytest.fixture(scope="module", params=["standard", "subgroup"])
def key(request) -> PrivateKey:
    return generate(1024, request.param)


def encrypt(key: PrivateKey | PublicKey, plain: int, expected: int = 1) -> mpz:
    public = key.public if isinstance(key, PrivateKey) else key
    raw = BatchArithmetic(key, expected).encrypt(plain.to_bytes(public.plaintext_bytes, "big"), b"")
    assert len(raw) == public.ciphertext_bytes
    return mpz.from_bytes(raw, "big")


def phe_pair(key: PrivateKey) -> tuple[phe.PaillierPublicKey, phe.PaillierPrivateKey]:
    public = phe.PaillierPublicKey(int(key.public.n))
    return public, phe.PaillierPrivateKey(public, int(key.p), int(key.q))


def test_a_key_has_exactly_the_bits_asked_for_and_blum_primes():
    key = generate(2048)
    assert key.public.bits == 2048
    assert key.public.ciphertext_bytes == 512
    assert key.p % 4 == 3
    assert key.q % 4 == 3
    assert gcd(int(key.public.n), int((key.p - 1) * (key.q - 1))) == 1


@pytest.mark.parametrize("bits", [512, 1000, 2049])
def test_a_key_size_that_is_too_small_or_odd_is_refused(bits):
    with pytest.raises(BadKey, match=str(bits)):
        generate(bits)


@pytest.mark.parametrize("expected", [1, 50, 5000])
@pytest.mark.parametrize("owner", [True, False])
def test_phe_decrypts_what_we_encrypt(key, owner, expected):
    _, private = phe_pair(key)
    for plain in (0, 1, 12345678901234567890, int(key.public.n) - 1):
        assert private.raw_decrypt(int(encrypt(key if owner else key.public, plain, expected))) == plain


def test_we_decrypt_what_phe_encrypts(key):
    public, _ = phe_pair(key)
    plain = [0, 1, 987654321987654321, int(key.public.n) - 1]
    assert key.decrypt([mpz(public.raw_encrypt(m)) for m in plain]) == plain


def test_a_key_without_h_encrypts_by_the_textbook(key):
    assert key.decrypt([encrypt(PublicKey(key.public.n), 77)]) == [77]


@pytest.mark.parametrize("owner", [True, False])
def test_masks_differ_and_are_encryptions_of_zero(key, owner):
    masks = Masks(key if owner else key.public, 20)
    found = [masks.next() for _ in range(20)]
    assert len(set(found)) == 20
    assert key.decrypt(found) == [0] * 20


def test_owner_and_others_draw_their_masks_from_the_same_group(key):
    n_squared, order = key.public.n_squared, 2 * key.orders[0] * key.orders[1]
    for maker in (key, key.public):
        masks = Masks(maker, 3)
        assert all(pow(masks.next(), order, n_squared) == 1 for _ in range(5))


def test_the_product_of_ciphertexts_decrypts_to_the_sum(key):
    product = encrypt(key, 40) * encrypt(key.public, 2) % key.public.n_squared
    assert key.decrypt([product]) == [42]


def test_a_subgroup_key_has_its_two_small_primes_and_a_generator_of_their_group():
    key = generate(2048, "subgroup")
    assert key.public.bits == 2048
    assert key.public.exponent_bits == SUBGROUP_BITS[2048] == 448
    for prime, a in ((key.p, key.a_p), (key.q, key.a_q)):
        assert a.bit_length() == 224
        assert prime % 4 == 3
        assert pow(key.h, 2 * a, prime) == 1
        assert pow(key.h, 2, prime) != 1


def test_a_private_key_that_lies_about_its_subgroup_is_refused():
    key = generate(1024, "subgroup")
    for wrong in (
        {"a_p": key.record()["a_q"]},
        {"h": b"\x02"},
        {"keygen": "standard"},
        {"a_q": b"\x01"},
        {"p": b"\xff" * 600},
    ):
        with pytest.raises(BadKey):
            PrivateKey.from_record(key.record() | wrong)


def test_a_subgroup_too_small_to_hide_anything_is_refused():
    small = [gmpy2.next_prime(10**6), gmpy2.next_prime(10**6 + 100)]
    primes = []
    for a in small:
        b = mpz(2) ** 511 // (2 * a) | 1
        while not gmpy2.is_prime(2 * a * b + 1):
            b += 2
        primes.append(2 * a * b + 1)
    (p, q), n = primes, primes[0] * primes[1]
    h = -gmpy2.powmod(5, 2 * (p - 1) // (2 * small[0]) * ((q - 1) // (2 * small[1])), n) % n
    with pytest.raises(BadKey):
        PrivateKey.from_record(PrivateKey(p, q, h, *small).record())


def test_a_key_survives_its_record(key):
    again = PrivateKey.from_record(key.record())
    assert again == key
    assert PublicKey.from_record(key.public.record()) == key.public
    assert again.public.fingerprint == key.public.fingerprint


@pytest.mark.parametrize(
    "change",
    [{"schema": 1}, {"n": b"\x05"}, {"n": "text"}, {"h": b"\xff" * 129}, {"keygen": "mine"}],
    ids=["another schema", "short n", "no bytes", "h above n", "unknown keygen"],
)
def test_a_public_key_that_is_none_is_refused(key, change):
    with pytest.raises(BadKey):
        PublicKey.from_record(key.public.record() | change)


def test_an_h_that_hides_nothing_is_refused(key):
    n, p = key.public.n, key.p
    one_modulo_p = 1 + p * (key.q - 2)
    for h in (mpz(1), n - 1, p, one_modulo_p):
        with pytest.raises(BadKey):
            PublicKey.from_record(PublicKey(n, h).record())
    with pytest.raises(BadKey):
        PublicKey.from_record(PublicKey(n, None, "subgroup").record())


def test_the_fingerprint_names_n_h_and_keygen(key):
    n = key.public.n
    known = [PublicKey(n, h, how) for h in (None, key.h, key.h + 1) for how in ("standard", "subgroup")]
    assert len({public.fingerprint for public in (*known, PublicKey(n + 2))}) == 7


def test_a_private_key_whose_factors_are_not_prime_is_refused(key):
    record = key.record()
    with pytest.raises(BadKey):
        PrivateKey.from_record(record | {"q": record["p"]})
    with pytest.raises(BadKey):
        PrivateKey.from_record(record | {"p": bytes((key.p + 4).to_bytes(64, "big"))})


def halves_of(first: int, second: int) -> tuple[mpz, mpz]:
    """Two primes of these lengths, the highest two bits set."""
    p, q = (gmpy2.next_prime(mpz(3) << (bits - 2)) for bits in (first, second))
    return p, gmpy2.next_prime(q + (mpz(1) << (second - 3)))  # far from the first one


@pytest.mark.parametrize(("first", "second"), [(40, 2008), (1008, 1040), (1023, 1025)])
def test_a_holder_refuses_factors_that_are_not_of_half_the_length(first, second):
    p, q = halves_of(first, second)
    assert (p * q).bit_length() == 2048
    with pytest.raises(BadKey):
        PrivateKey.from_record(PrivateKey(p, q).record())
    p, q = halves_of(1024, 1024)
    assert PrivateKey.from_record(PrivateKey(p, q).record()).p == p


def test_a_holder_refuses_factors_that_lie_close_together():
    p, _ = halves_of(1024, 1024)
    for distance in (1, mpz(1) << 800, mpz(1) << 922):
        with pytest.raises(BadKey):
            PrivateKey.from_record(PrivateKey(p, gmpy2.next_prime(p + distance)).record())


@pytest.mark.parametrize("factor", [2, 999_983])
def test_everybody_refuses_a_modulus_with_a_small_factor(factor):
    cofactor = gmpy2.next_prime((mpz(1) << 2048) // factor)
    n = factor * (cofactor if (factor * cofactor).bit_length() == 2048 else gmpy2.prev_prime(cofactor))
    assert n.bit_length() == 2048
    with pytest.raises(BadKey):
        PublicKey.from_record(PublicKey(n).record())


def test_everybody_refuses_a_modulus_that_is_prime_or_a_power():
    prime = gmpy2.next_prime(mpz(1) << 2047)
    roots = {k: gmpy2.next_prime(gmpy2.iroot(mpz(3) << 2046, k)[0]) for k in (2, 4)}
    for n in (prime, *(root**k for k, root in roots.items())):
        assert n.bit_length() == 2048
        with pytest.raises(BadKey):
            PublicKey.from_record(PublicKey(n).record())
    with pytest.raises(BadKey):
        PublicKey.from_record(PublicKey(gmpy2.next_prime(mpz(1) << 2100) * (mpz(1) << 2100)).record())


def test_a_ciphertext_that_is_no_unit_is_refused(key):
    n = key.public.n
    for forged in (mpz(0), n, n * 5, key.p, key.public.n_squared, key.public.n_squared + 1):
        with pytest.raises(BadCiphertext):
            key.decrypt([forged])


def test_keys_do_not_print_their_numbers(key):
    shown = f"{key!r} {key} {key.public!r}"
    assert str(key.p) not in shown
    assert str(key.q) not in shown
    assert key.public.fingerprint[:12] in shown


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("columns", [1, 5, 29, 56])
def test_powers_from_the_tables_are_powers(depth, columns):
    modulus, base = mpz(10**18 + 9), mpz(123456789)
    table, end = FixedBase(base, modulus, columns=columns, depth=depth), 2 ** (8 * columns)
    for exponent in (0, 1, 2, 255, end // 3, end // 2, end - 1):
        digits = digits_of(mpz(exponent), columns)
        assert len(digits) == columns
        assert table.power(digits) == pow(base, exponent, modulus)


def test_each_exponent_has_its_own_digits():
    assert len({digits_of(mpz(exponent), 2) for exponent in range(2**16)}) == 2**16


def test_tables_get_shallower_with_the_number_of_powers():
    depths = [best_depth(128, count) for count in (1, 20, 200, 5000)]
    assert depths == sorted(depths, reverse=True)
    assert depths[0] > depths[-1]


def test_the_fingerprint_is_bound_to_its_use(key):
    assert len(key.public.fingerprint) == 64
    assert paillier._CONTEXT == b"archipelago/paillier/v1"

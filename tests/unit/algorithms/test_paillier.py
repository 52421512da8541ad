"""Keys and single ciphertexts, held against `phe`."""

from __future__ import annotations

from math import gcd

import phe
import pytest
from gmpy2 import mpz

from algorithms.crypto import paillier
from algorithms.crypto.fixed_base import FixedBase, best_window, random_digits
from algorithms.crypto.paillier import Encryptor, PrivateKey, PublicKey, generate
from algorithms.errors import BadCiphertext, BadKey


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return generate(1024)


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
    encryptor = Encryptor(key if owner else key.public, expected)
    for plain in (0, 1, 12345678901234567890, int(key.public.n) - 1):
        assert private.raw_decrypt(int(encryptor.encrypt(mpz(plain)))) == plain


def test_we_decrypt_what_phe_encrypts(key):
    public, _ = phe_pair(key)
    plain = [0, 1, 987654321987654321, int(key.public.n) - 1]
    assert key.decrypt([mpz(public.raw_encrypt(m)) for m in plain]) == plain


def test_a_key_without_h_encrypts_by_the_textbook(key):
    bare = PublicKey(key.public.n)
    assert key.decrypt([Encryptor(bare, 1).encrypt(mpz(77))]) == [77]


def test_two_encryptions_of_one_number_differ(key):
    encryptor = Encryptor(key.public, 10)
    assert len({encryptor.encrypt(mpz(5)) for _ in range(20)}) == 20


def test_the_product_of_ciphertexts_decrypts_to_the_sum(key):
    encryptor = Encryptor(key, 10)
    product = encryptor.encrypt(mpz(40)) * encryptor.encrypt(mpz(2)) % key.public.n_squared
    assert key.decrypt([product]) == [42]


def test_a_key_survives_its_record(key):
    again = PrivateKey.from_record(key.record())
    assert (again.p, again.q, again.h) == (key.p, key.q, key.h)
    assert PublicKey.from_record(key.public.record()) == key.public
    assert again.public.fingerprint == key.public.fingerprint


@pytest.mark.parametrize(
    "change",
    [{"schema": 2}, {"n": b"\x05"}, {"n": "text"}, {"h": b"\xff" * 129}],
    ids=["another schema", "short n", "no bytes", "h above n"],
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


def test_the_fingerprint_names_n_and_h(key):
    n = key.public.n
    assert len({PublicKey(n, h).fingerprint for h in (None, key.h, key.h + 1)} | {PublicKey(n + 2).fingerprint}) == 4


def test_a_private_key_whose_factors_are_not_prime_is_refused(key):
    record = key.record()
    with pytest.raises(BadKey):
        PrivateKey.from_record(record | {"q": record["p"]})
    with pytest.raises(BadKey):
        PrivateKey.from_record(record | {"p": bytes((key.p + 2).to_bytes(64, "big"))})


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


def test_powers_from_the_table_are_powers():
    modulus, base = mpz(10**18 + 9), mpz(123456789)
    for window in (1, 3, 8):
        table = FixedBase(base, modulus, window=window, exponent_bits=40)
        digits = random_digits(window, 40)
        exponent = sum(d << (window * i) for i, d in enumerate(digits))
        assert all(d < 1 << window for d in digits)
        assert table.power(digits) == pow(base, exponent, modulus)


def test_the_window_grows_with_the_number_of_powers():
    windows = [best_window(1024, count) for count in (1, 20, 200, 5000)]
    assert windows == sorted(windows)
    assert windows[0] < windows[-1]


def test_the_fingerprint_is_bound_to_its_use(key):
    assert len(key.public.fingerprint) == 64
    assert paillier._CONTEXT == b"archipelago/paillier/v1"

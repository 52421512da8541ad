"""Golden vectors made by phe: what it encrypted, we decrypt, add and multiply, for ever."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any

import pytest
from gmpy2 import mpz

from algorithms.crypto.batch import BatchArithmetic
from algorithms.crypto.paillier import PrivateKey
from tests.vectors.paillier_v1.generate import FILE


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


@pytest.fixture(scope="module")
def key(vectors) -> PrivateKey:
    return PrivateKey(mpz(vectors["p"]), mpz(vectors["q"]))


def test_we_decrypt_them(vectors, key):
    assert key.decrypt([mpz(c) for c in vectors["ciphertexts"]]) == [mpz(m) for m in vectors["plaintexts"]]


def test_our_sum_is_theirs(vectors, key):
    arithmetic = BatchArithmetic(key, 1)
    batches = [int(c, 16).to_bytes(256, "big") for c in vectors["ciphertexts"]]
    total = arithmetic.add(batches)
    assert int.from_bytes(total, "big") == int(vectors["product"], 16)
    assert int.from_bytes(arithmetic.decrypt(total), "big") == int(vectors["sum"], 16)
    assert reduce(lambda a, b: arithmetic.add([a, b]), batches) == total


def test_our_multiple_is_theirs(vectors, key):
    arithmetic = BatchArithmetic(key.public, 1)
    times_7 = arithmetic.multiply(int(vectors["ciphertexts"][2], 16).to_bytes(256, "big"), [7])
    assert int.from_bytes(times_7, "big") == int(vectors["third_to_the_7th"], 16)
    assert key.decrypt([mpz(vectors["third_to_the_7th"])]) == [mpz(vectors["third_times_7"])]

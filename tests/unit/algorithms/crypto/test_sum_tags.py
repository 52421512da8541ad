"""Side blocks and tags: numbers come back from their limbs, and only the whole sum has its tags."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.errors import ValueOutgrewLayout
from algorithms.crypto.tags import LANES, SECRET_BYTES, SumTags, first_transcript
from algorithms.kit.side_block import SideBlock

SECRET = bytes(range(SECRET_BYTES))
NAMES = ("guest:a", "host:b", "host:c")
START = first_transcript(b"job")


def tags_of(integers, secret=SECRET, transcript=START, cut=7):
    made = SumTags(secret, transcript)
    for at in range(0, len(integers), cut):
        made.take(integers[at : at + cut])
    return made


def vectors(seed=0, count=100):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(-(2**32), 2**32, count) for name in NAMES}


def check(total, found, **how):
    return tags_of(total, **how).are(found, NAMES)


def summed(given):
    each = [tags_of(integers).of([name]) for name, integers in given.items()]
    return [sum(lane) for lane in zip(*each, strict=True)]


def test_the_whole_sum_has_the_sum_of_the_tags():
    given = vectors()
    total = sum(given.values())
    assert check(total, summed(given))
    assert check(total, summed(given), cut=100)
    assert not check(total, summed(given), secret=bytes(SECRET_BYTES))
    assert not check(total, summed(given), transcript=first_transcript(b"another job"))


@pytest.mark.parametrize("coefficients", [(1, 1, 0), (2, 1, 0), (3, 0, 0), (2, 1, 1), (0, 0, 0), (-1, 1, 1), (2, 2, 2)])
def test_another_combination_of_what_was_sent_has_not(coefficients):
    given = vectors()
    each = {name: tags_of(integers).of([name]) for name, integers in given.items()}
    total = sum(c * given[name] for c, name in zip(coefficients, NAMES, strict=True))
    found = [sum(c * each[name][lane] for c, name in zip(coefficients, NAMES, strict=True)) for lane in range(LANES)]
    assert not check(total, found)


@given(place=st.integers(0, 99), change=st.integers(-(2**40), 2**40).filter(bool), lane=st.integers(0, 2**64 - 1))
def test_a_change_of_a_value_is_seen_whatever_is_done_to_the_tags(place, change, lane):
    given = vectors()
    total, found = sum(given.values()), summed(given)
    total[place] += change
    assert not check(total, found)
    assert not check(total, [tag + lane for tag in found])


def test_a_transcript_follows_from_every_sum_before():
    same, other = tags_of(np.arange(9)), tags_of(np.arange(1, 10))
    assert same.transcript() == tags_of(np.arange(9), cut=4).transcript() != other.transcript()
    later = [tags_of(np.arange(9), transcript=made.transcript()).of(["guest:a"]) for made in (same, other)]
    assert later[0] != later[1]


@given(
    st.lists(st.tuples(st.integers(-(2**90), 2**90), st.integers(-5, 2**40)), min_size=1, max_size=20),
    st.sampled_from([1, 12, 15, 32]),
)
def test_words_add_up_whatever_the_limbs(pairs, limb_bits):
    block = SideBlock((96, 41), limb_bits)
    limbs = [block.limbs(pair) for pair in pairs]
    assert all(len(found) == block.count and np.abs(found).max() < 2**limb_bits for found in limbs)
    assert block.words(sum(limbs)) == tuple(map(sum, zip(*pairs, strict=True)))


def test_a_word_that_is_too_long_is_refused():
    with pytest.raises(ValueOutgrewLayout, match="41 bits does not fit into 40"):
        SideBlock((40,), 12).limbs([1 << 40])

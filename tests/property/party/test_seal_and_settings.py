"""Whatever is sealed, boxed, signed or rendered comes back, and nothing else does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from party.card import make_card, parse_card
from party.errors import BadSignature, CannotUnseal
from party.ids import party_id
from party.keys import make_keys
from party.seal import box, derive, seal, sign, unbox, unseal, verify
from party.settings import PartySettings, load_settings, render_settings
from runtime.canonical import canonical_json, parse_json
from runtime.errors import PlatformError

KEYS = make_keys(party_id("bob"))
CARD = make_card(KEYS, party_id("bob"), ())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.binary(max_size=2000), st.binary(max_size=50), st.binary(max_size=50))
@settings(deadline=None)
def test_only_the_same_use_opens_what_was_sealed_or_boxed(plaintext: bytes, aad: bytes, other: bytes) -> None:
    sealed, boxed, key = seal(CARD, plaintext, aad), box(bytes(32), plaintext, aad), bytes(32)
    assert unseal(KEYS, sealed, aad) == unbox(key, boxed, aad) == plaintext
    if other != aad:
        with pytest.raises(CannotUnseal):
            unseal(KEYS, sealed, other)
        with pytest.raises(CannotUnseal):
            unbox(key, boxed, other)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_random_bytes_are_never_opened(data: bytes) -> None:
    for prefix in (b"", b"\x01"):
        with pytest.raises(CannotUnseal):
            unseal(KEYS, prefix + data)
        with pytest.raises(CannotUnseal):
            unbox(bytes(32), prefix + data)


@given(st.binary(max_size=30), st.binary(max_size=60), st.binary(max_size=30), st.binary(max_size=60))
@settings(deadline=None)
def test_a_signature_holds_for_one_purpose_and_message(
    purpose: bytes, message: bytes, purpose2: bytes, message2: bytes
) -> None:
    signature = sign(KEYS, purpose, message)
    verify(CARD, purpose, message, signature)
    if (purpose, message) != (purpose2, message2):
        with pytest.raises(BadSignature):
            verify(CARD, purpose2, message2, signature)


@given(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20))
@settings(deadline=None)
def test_derived_keys_agree_exactly_where_purpose_and_context_do(p: bytes, c: bytes, p2: bytes, c2: bytes) -> None:
    master = bytes(32)
    assert (derive(master, p, c) == derive(master, p2, c2)) is ((p, c) == (p2, c2))


@given(JSON)
@settings(deadline=None)
def test_canonical_json_comes_back_and_is_a_fixed_point(value: object) -> None:
    data = canonical_json(value)
    assert parse_json(data, "value") == value
    assert canonical_json(parse_json(data, "value")) == data


@given(st.integers(0, 3000), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_a_card_with_any_byte_changed_is_refused_or_says_the_same(place: int, value: int) -> None:
    data = bytearray(CARD.to_json())
    data[place % len(data)] = value
    try:
        found = parse_card(bytes(data))
    except PlatformError:
        return
    assert found == CARD


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_no_bytes_make_the_card_parser_crash(data: bytes) -> None:
    with pytest.raises(PlatformError):
        parse_card(data)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=3),
)
@settings(max_examples=50, deadline=None)
def test_any_text_survives_the_settings_file(uri: str, components: list[str]) -> None:
    given_settings = PartySettings.model_validate(
        {
            "party": "a",
            "gateway": {"listen": "h:1"},
            "flow": {"listen": "h:2"},
            "board": {"listen": "h:3"},
            "store": {"uri": uri},
            "policy": {"components": components},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "party.toml"
        path.write_bytes(render_settings(given_settings))
        assert load_settings(path) == given_settings

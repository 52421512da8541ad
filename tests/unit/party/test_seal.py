from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from party import seal as sealing
from party.card import Card
from party.errors import BadSignature, CannotUnseal
from party.keys import PartyKeys
from party.seal import BOX_OVERHEAD_BYTES, SEAL_OVERHEAD_BYTES, box, derive, seal, sign, unbox, unseal, verify

MakeParty = Callable[..., tuple[PartyKeys, Card]]


def test_a_signature_holds_for_its_message_and_purpose_only(make_party: MakeParty) -> None:
    keys, card = make_party()
    signature = sign(keys, b"envelope", b"message")
    verify(card, b"envelope", b"message", signature)
    verify(card, b"envelope", memoryview(b"message"), signature)
    for purpose, message in [(b"manifest", b"message"), (b"envelope", b"Message"), (b"envelopem", b"essage")]:
        with pytest.raises(BadSignature, match="not signed by bob"):
            verify(card, purpose, message, signature)


def test_a_signature_of_another_party_or_of_no_form_is_refused(make_party: MakeParty) -> None:
    keys, card = make_party("bob")
    other, _ = make_party("carol")
    for signature in (sign(other, b"p", b"m"), b"", bytes(64), sign(keys, b"p", b"m")[:-1]):
        with pytest.raises(BadSignature):
            verify(card, b"p", b"m", signature)


@pytest.mark.parametrize("plaintext", [b"", b"x", bytes(100_000)])
def test_what_is_sealed_to_a_card_opens_with_its_keys(make_party: MakeParty, plaintext: bytes) -> None:
    keys, card = make_party()
    sealed = seal(card, plaintext, b"job 1")
    assert unseal(keys, sealed, b"job 1") == plaintext
    assert len(sealed) == len(plaintext) + SEAL_OVERHEAD_BYTES
    assert sealed != seal(card, plaintext, b"job 1")


def test_what_is_sealed_opens_for_nobody_else_and_for_no_other_use(make_party: MakeParty) -> None:
    keys, card = make_party("bob")
    other, _ = make_party("carol")
    sealed = seal(card, b"secret", b"job 1")
    with pytest.raises(CannotUnseal):
        unseal(other, sealed, b"job 1")
    with pytest.raises(CannotUnseal):
        unseal(keys, sealed, b"job 2")


def test_every_changed_byte_of_a_sealed_message_is_noticed(make_party: MakeParty) -> None:
    keys, card = make_party()
    sealed = seal(card, b"secret")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(CannotUnseal):
            unseal(keys, bytes(changed))
    for cut in (0, 1, SEAL_OVERHEAD_BYTES - 1, len(sealed) - 1):
        with pytest.raises(CannotUnseal):
            unseal(keys, sealed[:cut])


def test_an_ephemeral_key_of_small_order_is_refused(make_party: MakeParty) -> None:
    keys, _ = make_party()
    with pytest.raises(CannotUnseal, match="usable X25519"):
        unseal(keys, b"\x01" + bytes(32) + bytes(16))


def test_a_box_opens_with_its_key_and_use_only() -> None:
    key = bytes(range(32))
    boxed = box(key, b"checkpoint", b"step 3")
    assert unbox(key, boxed, b"step 3") == b"checkpoint"
    assert len(boxed) == len(b"checkpoint") + BOX_OVERHEAD_BYTES
    assert boxed != box(key, b"checkpoint", b"step 3")
    for wrong_key, aad in [(bytes(32), b"step 3"), (key, b"step 4")]:
        with pytest.raises(CannotUnseal):
            unbox(wrong_key, boxed, aad)
    for place in range(len(boxed)):
        changed = bytearray(boxed)
        changed[place] ^= 0x80
        with pytest.raises(CannotUnseal):
            unbox(key, changed, b"step 3")
    with pytest.raises(CannotUnseal):
        unbox(key, b"", b"step 3")


def test_a_key_of_another_length_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        box(b"short", b"x")
    with pytest.raises(ValueError, match="32 bytes"):
        derive(b"short", b"task")


def test_derived_keys_differ_by_purpose_and_context_and_are_stable() -> None:
    master = bytes(range(32))
    found = {
        derive(master, b"task", "a/b"),
        derive(master, b"task", "a/c"),
        derive(master, b"taska", "/b"),
        derive(master, b"store"),
    }
    assert len(found) == 4
    assert derive(master, b"task", "a/b") == derive(master, b"task", b"a/b")
    # Frozen: what was sealed at rest by an earlier release must still open.
    assert derive(master, b"task", "a/b").hex() == "5bdacf5d7e039bfb3ff683773849fb028d3e96ec088dbe38b34e588e3d50a84e"
    info = b"archipelago/derive/v1\x00\x00\x04taska/b"
    assert derive(master, b"task", "a/b") == HKDF(hashes.SHA256(), 32, None, info).derive(master)


def test_a_message_too_large_for_one_call_is_refused_by_name(
    make_party: MakeParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "MAX_SEALED_BYTES", 10)
    _, card = make_party()
    with pytest.raises(CannotUnseal, match="11 bytes are more"):
        seal(card, bytes(11))
    with pytest.raises(CannotUnseal, match="11 bytes are more"):
        box(bytes(32), bytes(11))

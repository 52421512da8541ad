"""Makes the golden envelopes: `python -m tests.vectors.envelope_v1.make`, once for each version of the envelope."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from gateway.envelope import parse_envelope
from party.card import make_card
from party.ids import party_id
from party.keys import PartyKeys, make_keys
from party.seal import sign
from runtime.canonical import canonical_json


def make_vectors(folder: Path, keys: PartyKeys, card: bytes) -> None:
    """Writes the vectors; run once, when the version was made. A later version gets a folder of its own."""
    empty, abc = sha256(b"").hexdigest(), sha256(b"abc").hexdigest()
    part = {"step": [3, 1], "size": 3, "sha256": abc}
    base: dict[str, object] = {
        "version": 1, "sender": "alpha", "receiver": "beta", "job": "01JZ0000000000000000000000", "task": "train",
        "attempt": 1, "from": "guest:alpha", "to": "host:beta", "tag": "update", "kind": "array", "protection": "plain",
        "sealed": False, "size": 3, "sha256": abc,
        "parts": [part],
    }  # fmt: skip
    many = [{"step": [0, n], "size": 0, "sha256": empty} for n in range(3)]
    good = {
        "single": base,
        "sealed": base | {"sealed": True, "protection": "aggregate-sealed", "tag": "model"},
        "many": base | {"parts": many, "size": 0, "sha256": empty},
    }
    index: dict[str, dict[str, object]] = {"good": {}, "bad": {}}
    for name, values in good.items():
        canonical = canonical_json(values)
        (folder / f"{name}.header").write_bytes(canonical)
        signature = sign(keys, b"archipelago/envelope/v1", canonical)
        envelope = parse_envelope(canonical, signature)
        index["good"][name] = {"signature": signature.hex(), "id": envelope.id, "keys": envelope.header.keys}
    bad: dict[str, tuple[bytes, str]] = {
        "version_2": (canonical_json(base | {"version": 2}), "gateway.envelope_version"),
        "version_true": (canonical_json(base | {"version": True}), "gateway.envelope_version"),
        "no_version": (canonical_json({k: v for k, v in base.items() if k != "version"}), "gateway.envelope_version"),
        "not_json": (b"\x00\x01", "gateway.bad_envelope"),
        "a_list": (b"[]", "gateway.envelope_version"),
        "not_canonical": (json.dumps(base).encode(), "gateway.bad_envelope"),
        "unknown_key": (canonical_json(base | {"more": 1}), "gateway.bad_envelope"),
        "missing_key": (canonical_json({k: v for k, v in base.items() if k != "tag"}), "gateway.bad_envelope"),
        "sizes_differ": (canonical_json(base | {"size": 4}), "gateway.bad_envelope"),
        "negative_size": (canonical_json(base | {"size": -3}), "gateway.bad_envelope"),
        "wrong_party": (canonical_json(base | {"sender": "gamma"}), "gateway.bad_envelope"),
        "wrong_role": (canonical_json(base | {"from": "king:alpha"}), "gateway.bad_envelope"),
        "step_twice": (canonical_json(good["many"] | {"parts": [many[0], many[0]]}), "gateway.bad_envelope"),
        "no_parts": (canonical_json(good["many"] | {"parts": []}), "gateway.bad_envelope"),
        "path_in_task": (canonical_json(base | {"task": "../x"}), "gateway.bad_envelope"),
        "float_step": (canonical_json(base | {"parts": [part | {"step": [1.5]}]}), "gateway.bad_envelope"),
        "negative_step": (canonical_json(base | {"parts": [part | {"step": [3, -1]}]}), "gateway.bad_envelope"),
        "empty_step": (canonical_json(base | {"parts": [part | {"step": []}]}), "gateway.bad_envelope"),
        "step_of_five": (canonical_json(base | {"parts": [part | {"step": [1] * 5}]}), "gateway.bad_envelope"),
        "huge_step": (canonical_json(base | {"parts": [part | {"step": [1 << 53]}]}), "gateway.bad_envelope"),
        "attempt_0": (canonical_json(base | {"attempt": 0}), "gateway.bad_envelope"),
        "huge_attempt": (canonical_json(base | {"attempt": 10**17}), "gateway.bad_envelope"),
        "key_twice": (b'{"version":1,"version":1}', "gateway.bad_envelope"),
    }  # fmt: skip
    for name, (data, code) in bad.items():
        (folder / f"bad_{name}.header").write_bytes(data)
        index["bad"][name] = code
    (folder / "card.json").write_bytes(card)
    (folder / "index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    made = make_keys(party_id("alpha"), ())
    make_vectors(Path(__file__).parent, made, make_card(made, party_id("alpha"), ()).to_json())

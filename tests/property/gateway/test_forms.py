"""Forms that travel: what is written is read again, and the fast path writes what protobuf would."""

from __future__ import annotations

import json
from hashlib import sha256

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from gateway.envelope import Header, parse_envelope, unsigned
from gateway.streams import pack, unpacker
from gateway.wire import local, transfer
from runtime.bounds import MAX_ATTEMPTS, MAX_COUNT

STEPS = st.lists(st.integers(0, MAX_COUNT), min_size=1, max_size=4).map(tuple)
TAGS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,20}", fullmatch=True)


@given(st.dictionaries(STEPS, st.binary(max_size=50), min_size=1, max_size=5), TAGS, st.integers(1, MAX_ATTEMPTS))
def test_a_header_is_read_as_it_was_written(bodies: dict[tuple[int, ...], bytes], tag: str, attempt: int) -> None:
    body = b"".join(bodies.values())
    parts = [{"step": list(s), "size": len(b), "sha256": sha256(b).hexdigest()} for s, b in bodies.items()]
    header = Header.model_validate_json(
        json.dumps(
            {
                "sender": "alpha", "receiver": "beta", "job": "J", "task": "t", "attempt": attempt, "tag": tag,
                "from": "guest:alpha", "to": "host:beta", "kind": "array", "protection": "plain", "sealed": False,
                "size": len(body), "sha256": sha256(body).hexdigest(), "parts": parts,
            }
        )
    )  # fmt: skip
    envelope = unsigned(header)
    again = parse_envelope(envelope.canonical, b"")
    assert again == envelope
    assert len(set(again.header.keys)) == len(bodies)
    pieces = [body[at : at + part.size] for at, part in zip(header.offsets, header.parts, strict=True)]
    assert pieces == list(bodies.values())


@given(st.binary(min_size=1, max_size=70_000))
def test_a_chunk_of_data_is_on_the_wire_what_protobuf_writes(data: bytes) -> None:
    for kind in (transfer.Chunk, local.Chunk, local.Taken):
        raw = pack(memoryview(data))
        assert raw == kind(data=data).SerializeToString()
        assert unpacker(kind)(raw) == memoryview(data)


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 1 << 62))
def test_any_other_chunk_is_left_to_protobuf(data: bytes, header: bytes, offset: int) -> None:
    message = transfer.Chunk(data=data, header=header, offset=offset)
    again = unpacker(transfer.Chunk)(pack(message))
    if isinstance(again, memoryview):
        assert (again, header, offset) == (data, b"", 0)
    else:
        assert again == message


@given(st.binary(max_size=200))
def test_garbage_never_becomes_more_data_than_came(raw: bytes) -> None:
    try:
        chunk = unpacker(transfer.Chunk)(raw)
    except DecodeError:
        return
    if isinstance(chunk, memoryview):
        assert len(chunk) < len(raw)

"""One caller's share of a door, and the end of silence."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gateway.errors import BadEnvelope, TooMuchAtOnce
from gateway.gate import Gate


class Call:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def test_a_caller_has_only_so_many_calls_of_a_kind_and_others_have_theirs() -> None:
    gate, call = Gate({"put": 2, "call": 1}, 30), Call()
    with gate.entered("alpha", "put", call), gate.entered("alpha", "put", call):
        with pytest.raises(TooMuchAtOnce, match="alpha has 2 calls of kind 'put'"), gate.entered("alpha", "put", call):
            pass
        with gate.entered("alpha", "call", call), gate.entered("gamma", "put", call):
            pass
    with gate.entered("alpha", "put", call):
        pass


def test_a_call_that_fails_gives_its_place_back() -> None:
    gate, call = Gate({"put": 1}, 30), Call()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate.entered("alpha", "put", call):
            raise ZeroDivisionError


def test_a_silent_caller_is_ended_and_one_at_work_is_not() -> None:
    gate, call = Gate({"deliver": 1}, 30), Call()

    def came() -> Iterator[bytes]:
        gate.look(time.monotonic() + 29)
        assert not call.cancelled
        yield b"1"
        gate.look(time.monotonic() + 31)
        assert call.cancelled

    with gate.entered("alpha", "deliver", call) as visit:
        messages = visit.messages(came())
        assert next(messages) == b"1"
        gate.look(time.monotonic() + 1000)  # we are at work on what came: it is not the caller who is silent
        assert not call.cancelled
        assert list(messages) == []


def test_a_call_without_a_message_is_named() -> None:
    gate = Gate({"put": 1}, 30)
    with gate.entered("alpha", "put", Call()) as visit:
        assert visit.only(iter([b"x", b"y"])) == b"x"
        with pytest.raises(BadEnvelope, match="brings no message"):
            visit.only(iter([]))

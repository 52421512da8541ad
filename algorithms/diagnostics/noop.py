"""Does nothing, with everybody: shows that a task reaches every party and that messages pass.

Source: none, there is no mathematics.

Conversation:

    tag    from      to         step      what
    ping   trainer   arbiter    round     the round's number
    pong   arbiter   trainers   round     the same number back

Trainers are guests and hosts. Without an arbiter nothing is said. Nobody learns anything.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from algorithms.api.component import Component, RoleSpec, Terms
from algorithms.api.context import Context
from algorithms.api.conversation import ARBITER, TRAINERS, Line, Protection
from algorithms.api.parameters import Parameters
from algorithms.kit.disclosure import NOTHING
from party.ids import Role
from storage.client import Kind

MOST_BYTES = 4096


class NoopParameters(Parameters):
    """Parameters of `noop@1`."""

    SHARED: ClassVar[frozenset[str]] = frozenset({"rounds"})

    rounds: int = Field(1, ge=0, le=1_000_000, description="How often to greet.")


def conversation(terms: Terms[NoopParameters]) -> tuple[Line, ...]:
    """The table above as data."""
    scalar, rounds = Protection.PLAIN_SCALAR, terms.parameters.rounds
    return (
        Line("ping", TRAINERS, ARBITER, Kind.INT, MOST_BYTES, scalar, "The number of the round.", times=rounds),
        Line("pong", ARBITER, TRAINERS, Kind.INT, MOST_BYTES, scalar, "The number of the round.", times=rounds),
    )


def greet(ctx: Context, parameters: NoopParameters) -> None:
    """A guest or host: send a number to each arbiter and wait for it to come back."""
    arbiters = ctx.peers(Role.ARBITER)
    for t in range(parameters.rounds if arbiters else 0):
        ctx.channel.broadcast(arbiters, "ping", t, t)
        ctx.channel.gather(arbiters, "pong", t)


def answer(ctx: Context, parameters: NoopParameters) -> None:
    """An arbiter: wait for everybody's number and send it back."""
    others = ctx.peers(Role.GUEST, Role.HOST)
    for t in range(parameters.rounds):
        ctx.channel.gather(others, "ping", t)
        ctx.channel.broadcast(others, "pong", t, t)


COMPONENT = Component(
    name="noop",
    version=1,
    parameters=NoopParameters,
    inputs={},
    outputs={},
    roles={
        Role.GUEST: RoleSpec(greet, learns=NOTHING),
        Role.HOST: RoleSpec(greet, learns=NOTHING),
        Role.ARBITER: RoleSpec(answer, learns=NOTHING),
    },
    conversation=conversation,
)

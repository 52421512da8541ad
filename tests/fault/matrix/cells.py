"""The fault matrix: every process that is killed, and every moment of a job at which it is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from tests.fault.matrix.rooms import ROOMS
from tests.fixtures.encrypted_job import PARTIES


@dataclass(frozen=True)
class Moment:
    """Where a job is: the party whose process stops there, at which point of it, before or after that is done."""

    name: str
    party: str
    point: str
    when: str
    runs: bool = True  # whether the training's executors are there


@dataclass(frozen=True)
class Victim:
    """What is killed: a kind of process of these parties."""

    what: str
    parties: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.what} of {self.parties[0]}" if len(self.parties) == 1 else "all parties"


A, B, C = PARTIES
MOMENTS = (
    Moment("agreeing", B, "party.agree", "before", runs=False),
    Moment("agreed", A, "job.agreed", "after", runs=False),
    Moment("reserving", B, "executor.reserved train", "before", runs=False),
    Moment("reserved", A, "attempt.reserved train", "after", runs=False),
    Moment("starting", A, "attempt.running train", "before"),
    Moment("exchanging keys", A, "send private-key 0", "before"),
    Moment("round: encrypted, not sent", A, "send update 5", "before"),
    Moment("round: sent", B, "send update 5", "after"),
    Moment("round: added up, not sent", C, "send sum 5", "before"),
    Moment("round: sum received", A, "recv sum 5", "after"),
    Moment("round: saving", A, "checkpoint 5", "before"),
    Moment("round: saved", B, "checkpoint 5", "after"),
    Moment("writing the model", A, "output model", "after"),
    Moment("succeeding", B, "executor.succeeded train", "before"),
    Moment("publishing", A, "task.published train", "before", runs=False),
    Moment("finishing", A, "job.succeeded", "before", runs=False),
    Moment("closing", B, "job.succeeded", "after", runs=False),
)
VICTIMS = (
    *(Victim(what, (party,)) for what, party in product((*ROOMS, "warm parent", "executor"), PARTIES)),
    *(Victim("worker", (party,)) for party in (A, B)),
    *(Victim("party", (party,)) for party in PARTIES),
    Victim("party", PARTIES),
)
CELLS = tuple(
    (victim, moment)
    for moment, victim in product(MOMENTS, VICTIMS)
    if moment.runs or victim.what not in ("executor", "worker")
)
QUICK = CELLS[:: len(CELLS) // 11]

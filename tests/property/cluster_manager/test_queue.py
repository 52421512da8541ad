"""Several parties, each with its queue: everybody gets room, in order, and going ahead delays nobody.

A model of the federation: each job wants room at some of the parties, asks them in id order, gives everything back at
the first no unless it has waited for long, and asks again at a moment that chance picks. Each party decides as its
Cluster Manager does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_manager.placement import Candidate, never_fits
from cluster_manager.queue import Claim, Turn, Wait, decide
from node_manager.client import Resources
from party.ids import AttemptId

GIB = 1 << 30


def sized(cores, memory=1):
    return Resources(cores=cores, memory_bytes=memory * GIB)


@dataclass
class Party:
    """A Cluster Manager in memory. `held` are the places of each job, `claims` what waits."""

    name: str
    nodes: dict[str, Resources]
    held: dict[str, dict[str, tuple[str, Resources]]] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)

    def candidates(self):
        used = dict.fromkeys(self.nodes, sized(0, 0))
        for places in self.held.values():
            for host, size in places.values():
                used[host] += size
        return [Candidate(name, name, has, used[name]) for name, has in self.nodes.items()]

    def at_work(self):
        return {"all": set(self.held)}

    def reserve(self, claim):
        job = claim.attempt.job
        if job in self.held:
            return True
        others = [each for each in self.claims.values() if each.attempt.job != job]
        self.check_order(claim, others)
        found = decide(claim, others, self.at_work(), self.candidates())
        if isinstance(found, Wait):
            self.claims[job] = claim
            return False
        ahead = sorted((each for each in others if each.order < claim.order), key=lambda each: each.order)
        single = ahead[:1] if ahead and len(ahead[0].sizes) == 1 and not ahead[0].turn.most else []
        lacked = [self.lacking(each) for each in single]
        self.claims.pop(job, None)
        self.held[job] = {address: (host, claim.sizes[address]) for address, host in found.items()}
        assert [self.lacking(each) for each in single] == lacked, "the first is delayed"
        assert all(each.reserved.within(each.capacity) for each in self.candidates())
        return True

    def check_order(self, claim, others):
        """Who is first in the queue and fits goes, whatever waits behind."""
        if all(claim.order < each.order for each in others):
            behind = decide(claim, others, self.at_work(), self.candidates())
            assert behind == decide(claim, [], self.at_work(), self.candidates())

    def lacking(self, claim):
        """How many cores have to become free until a claim of one size goes, where fewest have to."""
        (size,) = claim.sizes.values()
        nodes = [each for each in self.candidates() if size.within(each.capacity)]
        return min(max(0, each.reserved.cores + size.cores - each.capacity.cores) / size.cores for each in nodes)


@st.composite
def worlds(draw):
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    parties = {
        name: Party(name, {f"{name}{n}": sized(draw(st.integers(1, 4)), 8) for n in range(draw(st.integers(1, 2)))})
        for name in names
    }
    jobs = {}
    for number in range(draw(st.integers(1, 8))):
        where = tuple(sorted(draw(st.sets(st.sampled_from(names), min_size=1))))
        sizes = {f"r{n}": sized(draw(st.integers(1, 3))) for n in range(draw(st.integers(1, 2)))}
        if any(never_fits(list(sizes.values()), list(parties[name].nodes.values())) for name in where):
            continue
        most = draw(st.sampled_from([0, 0, 1, 2]))
        turns = {name: Turn(draw(st.integers(0, 2)), draw(st.integers(0, 3)), "all", most) for name in where}
        attempt = AttemptId(f"J{number}", "t", 1)
        jobs[attempt.job] = {name: Claim(attempt, sizes, turns[name]) for name in where}
    return Federation(parties, jobs, {job for job in jobs if draw(st.booleans())})


@dataclass
class Federation:
    """All parties and jobs: those that wait, with what they want where, and those that run.

    `patient` are those that have waited for long: they keep what they got.
    """

    parties: dict[str, Party]
    waiting: dict[str, dict[str, Claim]]
    patient: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)

    def ask(self, job):
        """Ask the parties of a job in id order, up to the first no."""
        got = []
        for at, claim in sorted(self.waiting[job].items()):
            if not self.parties[at].reserve(claim):
                for name in got if job not in self.patient else []:
                    del self.parties[name].held[job]
                return
            got.append(at)
        self.running.add(job)
        del self.waiting[job]

    def lapse(self, chance):
        """What is not asked for any more lapses, as does what was not asked for again lately."""
        for party in self.parties.values():
            for job in [job for job in party.claims if job not in self.waiting or chance.random() < 0.3]:
                del party.claims[job]

    def end_some(self, chance):
        ended = [job for job in sorted(self.running) if chance.random() < 0.5 or len(self.running) == 1]
        for job in ended:
            self.running.remove(job)
            for party in self.parties.values():
                party.held.pop(job, None)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_every_job_gets_room_at_all_its_parties_whatever_the_order_in_which_they_ask(world, chance):
    """However parties differ in the order of their queues: priorities and ages are drawn for each."""
    rounds = 4 * len(world.waiting) + 4
    while world.waiting and rounds:
        rounds -= 1
        for job in chance.sample(sorted(world.waiting), len(world.waiting)):
            world.ask(job)
        world.lapse(chance)
        world.end_some(chance)
    assert not world.waiting, "they wait for ever"


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.lists(st.integers(1, 5), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_a_large_job_is_started_before_small_ones_that_came_later(cores, small, chance):
    """One that wants the whole node waits at most for those that run when it comes."""
    party = Party("a", {"n": sized(cores, 64)})
    claims = [
        Claim(AttemptId(f"J{n:02}", "t", 1), {"g": sized(min(size, cores) if n else cores)}, Turn(5, n))
        for n, size in enumerate(small)
    ]
    party.held["running"] = {"g": ("n", sized(1))}
    waiting, started = list(claims), []
    assert not party.reserve(claims[0])
    while waiting:
        for claim in chance.sample(waiting, len(waiting)):
            if party.reserve(claim):
                started.append(claim.attempt.job)
                waiting.remove(claim)
        ended = chance.choice(sorted(party.held))
        del party.held[ended]
    assert started[0] == "J00"


@pytest.mark.parametrize("order", ["AB", "BA"])
def test_two_jobs_that_two_parties_know_in_another_order_do_not_wait_for_each_other(order):
    wanted = {
        job: {at: Claim(AttemptId(job, "t", 1), {"g": sized(1)}, Turn(5, int(at.upper() != job))) for at in "ab"}
        for job in "AB"
    }
    parties = {name: Party(name, {name: sized(1, 8)}) for name in "ab"}
    for at, job in zip("ab", "AB", strict=True):
        parties[at].claims[job] = wanted[job][at]
    world = Federation(parties, wanted)
    for job in order * 2:
        if job in world.waiting:
            world.ask(job)
    assert world.running

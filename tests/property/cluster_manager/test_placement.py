"""Placement never overfills, never refuses what fits, and answers alike."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cluster_manager.placement import Candidate, choose, never_fits
from node_manager.client import Resources

GIB = 1 << 30


def sized(cores=0, memory_bytes=0, gpus=0):
    return Resources(cores=cores, memory_bytes=memory_bytes, gpus=gpus)


amounts = st.builds(
    sized,
    cores=st.integers(0, 8),
    memory_bytes=st.integers(0, 8).map(lambda n: n * GIB),
    gpus=st.integers(0, 2),
)
gibibytes = st.integers(1, 8).map(lambda n: n * GIB)
wanted = st.builds(sized, st.integers(1, 4), st.integers(1, 4).map(lambda n: n * GIB), st.integers(0, 2))
capacities = st.builds(sized, st.integers(1, 8), gibibytes, st.integers(0, 2))
candidates = st.lists(
    st.builds(
        Candidate,
        address=st.text("abcdef", min_size=1, max_size=3),
        node=st.text("abcdef", min_size=1, max_size=2),
        capacity=capacities,
        reserved=amounts,
        silent=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda c: c.address,
)


def takes(candidate, amount):
    after, has = candidate.reserved + amount, candidate.capacity
    fits = after.cores <= has.cores and after.memory_bytes <= has.memory_bytes and after.gpus <= has.gpus
    return fits and not candidate.silent


@given(wanted, candidates)
def test_a_node_is_chosen_exactly_when_one_can_take_it(amount, nodes):
    choice = choose(amount, nodes)
    able = {c.address for c in nodes if takes(c, amount)}
    assert (choice.address in able) if able else choice.address is None
    assert choice.address or len(choice.reasons) == max(1, len(nodes))


@given(wanted, candidates)
def test_the_order_in_which_nodes_are_known_does_not_matter(amount, nodes):
    assert choose(amount, nodes) == choose(amount, nodes[::-1])


def test_the_least_loaded_node_is_chosen():
    busy = Candidate("unix:a", "a", sized(4, 4 * GIB), sized(2, GIB))
    free = Candidate("unix:b", "b", sized(4, 4 * GIB), sized())
    assert choose(sized(1, GIB), [busy, free]).address == "unix:b"
    assert choose(sized(1, GIB), [replace(busy, reserved=sized()), free]).address == "unix:a"


def test_every_node_says_why_it_cannot():
    has = sized(2, 2 * GIB, 1)
    nodes = [
        Candidate("1", "cores", has, sized(1, 0)),
        Candidate("2", "memory", has, sized(0, GIB)),
        Candidate("3", "gpus", has, sized(0, 0, 1)),
        Candidate("4", "quiet", has, sized(), silent=True),
    ]
    assert choose(sized(2, 2 * GIB, 1), nodes).reasons == (
        "cores: 1 of 2 cores free, 2 wanted",
        "gpus: 0 of 1 GPUs free, 1 wanted",
        "memory: 1024 of 2048 MiB of memory free, 2048 wanted",
        "quiet: it has not been heard from",
    )


def test_whether_waiting_can_help_is_said():
    node = Candidate("1", "n", sized(2, 2 * GIB), sized(2, GIB))
    assert choose(sized(1, GIB), [node]).can_ever_fit
    assert not choose(sized(3, GIB), [node]).can_ever_fit
    assert choose(sized(3, GIB), []).reasons == ("no node is known",)


@given(st.lists(wanted, min_size=1, max_size=3), st.lists(capacities, min_size=1, max_size=4))
def test_executors_never_fit_exactly_when_no_way_to_spread_them_over_empty_nodes_exists(sizes, nodes):
    def holds(places):
        used = [sized()] * len(nodes)
        for size, place in zip(sizes, places, strict=True):
            used[place] += size
        return all(
            u.cores <= n.cores and u.memory_bytes <= n.memory_bytes and u.gpus <= n.gpus
            for u, n in zip(used, nodes, strict=True)
        )

    ways = itertools.product(range(len(nodes)), repeat=len(sizes))
    assert bool(never_fits(sizes, nodes)) is not any(holds(places) for places in ways)


def test_what_never_fits_is_told_with_the_numbers():
    small = sized(2, 4 * GIB)
    assert never_fits([sized(64, GIB)], [small, sized(1, GIB)]) == "64 cores wanted, the largest host has 2"
    assert never_fits([sized(1, GIB, 1)], [small]) == "1 GPUs wanted, the largest host has 0"
    assert "6144 MiB of memory wanted, the largest host has 4096" in never_fits([sized(1, 6 * GIB)], [small])
    two = never_fits([sized(1, 3 * GIB), sized(1, 3 * GIB)], [small])
    assert two == "1 cores + 3072 MiB, 1 cores + 3072 MiB wanted at once, the hosts have 2 cores + 4096 MiB"

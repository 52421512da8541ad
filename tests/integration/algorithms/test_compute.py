"""Functions of an installed package over batches, in worker processes: in order, within bounds, by name alone."""

from __future__ import annotations

import gc
import os
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module, invalidate_caches

import psutil
import pyarrow as pa
import pytest

from algorithms import registry
from algorithms.api.compute import BatchFunction
from algorithms.api.errors import UnknownFunction, WorkerLost, WrongLayout
from algorithms.compute.worker import find
from algorithms.compute.workers import AHEAD, Workers
from algorithms.crypto import batch_functions
from tests.fixtures.distributions import distribution
from tests.integration.algorithms.test_workers import workers

TOY = """
import os, signal, time
import pyarrow as pa
from algorithms.api.compute import batch_function
from algorithms.api.errors import WrongLayout

def prepared(constants):
    return int(constants or b"0")

def batch(*numbers):
    return pa.record_batch({"x": pa.array(numbers)})

@batch_function(prepared)
def add(constant, given):
    return batch(*(x + constant for x in given["x"].to_pylist()))

@batch_function(prepared)
def process(_constant, given):
    time.sleep(0.2 if given["x"][0].as_py() == 0 else 0)
    return batch(os.getpid(), int(os.environ.get("OMP_NUM_THREADS", 0)))

@batch_function(prepared)
def fail(constant, given):
    if given["x"][0].as_py() == constant:
        raise WrongLayout("The third is wrong.", hint="Take another.")
    return given

@batch_function(prepared)
def crash(_constant, given):
    raise ZeroDivisionError(given.num_rows)

@batch_function(prepared)
def die(_constant, given):
    os.kill(os.getpid(), signal.SIGKILL)

not_decorated = len
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A distribution with a component, as it is installed."""
    site = distribution(tmp_path_factory.mktemp("site"), "toy", {"toy": "toy_room:COMPONENT"})
    (site / "toy_room").mkdir()
    (site / "toy_room" / "__init__.py").write_text(TOY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
        invalidate_caches()
        registry._sources.cache_clear()
        yield import_module("toy_room")
    registry._sources.cache_clear()
    find.cache_clear()


@pytest.fixture(scope="module")
def two(toy):
    """Two cores, for tests that do not care what was computed before."""
    compute = Workers(2)
    yield compute
    compute.close()
    assert not workers()


def numbers(count):
    return (pa.record_batch({"x": pa.array([number])}) for number in range(count))


def values(batches):
    return [batch["x"][0].as_py() for batch in batches]


@pytest.mark.parametrize("cores", [1, 2])
def test_results_come_in_order_and_constants_are_those_of_the_map(toy, two, cores):
    compute = {1: Workers(1), 2: two}[cores]
    assert compute.cores == cores
    for constant in (7, 8, 7):
        found = compute.map(toy.add, numbers(20), str(constant).encode())
        assert values(found) == [number + constant for number in range(20)]
    assert len(workers()) in (0, 2)


def test_work_is_done_in_processes_of_one_thread_each(toy, two):
    found = list(two.map(toy.process, numbers(12)))
    pids = {batch["x"][0].as_py() for batch in found}
    assert pids == {worker.pid for worker in workers()}
    assert {batch["x"][1].as_py() for batch in found} == {1}


def test_a_single_batch_is_computed_here(toy, two):
    assert values(two.map(toy.process, numbers(1))) == [os.getpid()]


def test_batches_are_taken_as_results_are_asked_for(toy, two):
    taken = []
    found = two.map(toy.add, (taken.append(1) or batch for batch in numbers(1000)))
    for asked in range(1, 50):
        next(found)
        assert len(taken) <= asked + AHEAD * 2
    found.close()
    assert values(two.map(toy.add, numbers(5))) == list(range(5))


def test_maps_at_the_same_time_do_not_wait_for_each_other(toy, two):
    both = zip(two.map(toy.add, numbers(9), b"1"), two.map(toy.add, numbers(9), b"2"), strict=True)
    assert [(*values(pair),) for pair in both] == [(number + 1, number + 2) for number in range(9)]
    with ThreadPoolExecutor(4) as threads:
        sums = threads.map(lambda _: sum(values(two.map(toy.add, numbers(30)))), range(4))
    assert list(sums) == [sum(range(30))] * 4


@pytest.mark.parametrize("cores", [1, 2])
def test_an_error_with_a_code_is_raised_as_it_is_and_the_next_map_goes_on(toy, two, cores):
    compute = {1: Workers(1), 2: two}[cores]
    with pytest.raises(WrongLayout, match="third") as wrong:
        list(compute.map(toy.fail, numbers(9), b"3"))
    assert wrong.value.hint == "Take another."
    assert values(compute.map(toy.fail, numbers(3), b"9")) == [0, 1, 2]


def test_a_killed_worker_may_be_tried_again_and_a_defect_of_a_function_not(toy, two, capfd):
    with pytest.raises(WorkerLost, match="toy_room:die") as lost:
        list(two.map(toy.die, numbers(9)))
    assert (lost.value.code, lost.value.retry) == ("algorithms.worker_lost", True)
    with pytest.raises(RuntimeError, match="toy_room:crash failed in a worker process"):
        list(two.map(toy.crash, numbers(9)))
    assert "ZeroDivisionError: 1" in capfd.readouterr().err


def test_only_functions_over_batches_of_installed_packages_are_found(toy):
    assert find("toy_room:add") is toy.add
    assert find(batch_functions.encrypt.name) is batch_functions.encrypt
    wrong = ("toy_room:not_decorated", "toy_room:absent", "os:system", "algorithms.crypto.batch:cast", "toy_room", "")
    for name in wrong:
        with pytest.raises(UnknownFunction, match="There is no function"):
            find(name)


@pytest.mark.parametrize("cores", [1, 2])
def test_a_function_that_workers_would_not_find_is_refused_on_any_number_of_cores(toy, cores):
    inner = BatchFunction(bytes, lambda _constants, batch: batch)
    with pytest.raises(UnknownFunction, match="lambda"):
        list(Workers(cores).map(inner, numbers(2)))


def test_workers_end_when_nobody_uses_them(toy):
    compute = Workers(2)
    assert values(compute.map(toy.add, numbers(3))) == [0, 1, 2]
    pids = [worker.pid for worker in workers()]
    del compute
    gc.collect()
    assert not any(psutil.pid_exists(pid) for pid in pids)

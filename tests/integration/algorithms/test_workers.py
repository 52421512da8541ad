"""Worker processes: the same results as in one process, and no process stays behind."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest

from algorithms.api.errors import BadCiphertext, BadKey, WorkerLost
from algorithms.compute.workers import Workers
from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import generate
from algorithms.crypto.vectors import VectorPaillier
from tests.fakes.nodes import eventually

LAYOUT = FixedPointLayout.exact(16.0, 3, 1024)
INTEGERS = np.random.default_rng(0).integers(-1000, 1000, LAYOUT.slots * 200 + 5)


def workers() -> list[psutil.Process]:
    """Those of this process; earlier tests may have left it ended children of others, which have no command."""
    living = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
    return [p for p in living if "algorithms.compute.worker" in p.cmdline()]


@pytest.fixture(params=["standard", "subgroup"])
def key(request):
    return generate(1024, request.param)


@pytest.fixture
def two():
    """Two cores."""
    compute = Workers(2)
    yield compute
    compute.close()
    assert not workers()


@pytest.fixture
def engine(key, two):
    return VectorPaillier(key, 1000, two)


def test_every_operation_gives_what_one_process_gives(key, engine, two):
    one, public = VectorPaillier(key), VectorPaillier(key.public, 1000, two)
    vector = public.encrypt(LAYOUT, INTEGERS)
    again = engine.encrypt(LAYOUT, INTEGERS)
    assert len(workers()) == 2  # both keys' work is done by the same
    assert engine.add([vector, again]) == one.add([vector, again])
    assert public.multiply(vector, -2) == one.multiply(vector, -2)
    assert public.add_plain(vector, INTEGERS) == one.add_plain(vector, INTEGERS)
    for changed in (vector, again, engine.rerandomise(vector)):
        for decrypting in (one, engine):
            np.testing.assert_array_equal(decrypting.decrypt(LAYOUT, changed)[0], INTEGERS)


def test_a_small_vector_starts_no_process(engine):
    small = INTEGERS[: LAYOUT.slots * 32]
    vector = engine.encrypt(LAYOUT, small)
    np.testing.assert_array_equal(engine.decrypt(LAYOUT, vector)[0], small)
    with engine.preparing(1):
        eventually(lambda: engine._stock)
    assert not workers()


def test_without_the_private_key_nothing_is_decrypted(key, two):
    public = VectorPaillier(key.public, compute=two)
    with pytest.raises(BadKey, match="public"):
        public.decrypt(LAYOUT, public.encrypt(LAYOUT, INTEGERS))


def test_masks_are_made_by_the_workers_too(engine):
    with engine.preparing(100):
        eventually(lambda: len(engine._stock) >= 100 * 256)
    vector = engine.encrypt(LAYOUT, INTEGERS)
    np.testing.assert_array_equal(engine.decrypt(LAYOUT, vector)[0], INTEGERS)
    assert len(set(vector.data.to_pylist())) == len(vector.data)


def test_a_forged_ciphertext_is_named_as_in_one_process_and_the_engine_goes_on(engine):
    vector = engine.encrypt(LAYOUT, INTEGERS)
    raw = np.frombuffer(vector.data.buffers()[1], np.uint8).copy()
    np.frombuffer(vector.data.buffers()[1], np.uint8)[150 * 256 : 151 * 256] = 0
    with pytest.raises(BadCiphertext, match="unit"):
        engine.decrypt(LAYOUT, vector)
    np.frombuffer(vector.data.buffers()[1], np.uint8)[:] = raw
    np.testing.assert_array_equal(engine.decrypt(LAYOUT, vector)[0], INTEGERS)


@pytest.mark.parametrize("killed", [1, 2])
def test_workers_that_were_killed_while_they_had_nothing_to_do_are_replaced(engine, killed):
    vector = engine.encrypt(LAYOUT, INTEGERS)
    for worker in workers()[:killed]:
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    np.testing.assert_array_equal(engine.decrypt(LAYOUT, vector)[0], INTEGERS)
    assert len(workers()) == 2


def test_workers_that_cannot_be_started_are_an_error_that_may_be_tried_again(engine, monkeypatch):
    started, popen = [], subprocess.Popen

    def one_only(*args, **how):
        if started:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(popen(*args, **how))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", one_only)
    with pytest.raises(WorkerLost, match=r"could be started: .*temporarily") as lost:
        engine.encrypt(LAYOUT, INTEGERS)
    assert lost.value.retry
    assert len(workers()) == 1
    monkeypatch.undo()
    np.testing.assert_array_equal(engine.decrypt(LAYOUT, engine.encrypt(LAYOUT, INTEGERS))[0], INTEGERS)
    assert len(workers()) == 2


HOLDING = """
import threading, numpy as np, psutil
from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import generate
from algorithms.crypto.vectors import VectorPaillier
from algorithms.compute.workers import Workers
layout = FixedPointLayout.exact(16.0, 3, 1024)
engine = VectorPaillier(generate(1024), 100, Workers(2))
engine.encrypt(layout, np.zeros(layout.slots * 200, dtype=np.int64))
print(*(child.pid for child in psutil.Process().children()), flush=True)
threading.Event().wait()
"""


def test_workers_end_with_the_process_that_uses_them():
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True) as holding:
        pids = [int(text) for text in holding.stdout.readline().split()]
        assert len(pids) == 2
        assert all(psutil.pid_exists(worker) for worker in pids)
        holding.kill()
    eventually(lambda: not any(psutil.pid_exists(worker) for worker in pids), timeout_s=10)


def test_a_worker_has_one_thread_and_needs_neither_torch_nor_pydantic(engine):
    engine.encrypt(LAYOUT, INTEGERS)
    for worker in workers():
        assert worker.num_threads() == 1
        mapped = {region.path for region in worker.memory_maps()}
        assert not [path for path in mapped if "torch" in path or "pydantic" in path]

"""How much faster two cores encrypt and decrypt than one, beside two plain processes; wall clock, for the key owner.

Part of `benchmarks.paillier`. Plain work is powers modulo a number, in one process and then in two at once: what the
machine itself gives. All works take turns; a speed-up is the best time on one core by the best time on two.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TypeAlias

import numpy as np

from algorithms.compute.workers import Workers
from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import Keygen, generate
from algorithms.crypto.vectors import VectorPaillier

TURNS = 5
PLAIN = ("", "plain work")
COUNTED_BITS = 2048  # longer keys do less
COUNTS: dict[Keygen, tuple[int, int]] = {"standard": (512, 256), "subgroup": (2048, 1024)}  # encrypted, decrypted
POWERS = 60
PLAIN_PROCESS = f"""
import gmpy2, sys
m = gmpy2.mpz(2) ** 4096 - 1
for line in sys.stdin:
    for _ in range({POWERS}):
        gmpy2.powmod(3, m >> 2048, m)
    print(flush=True)
"""

Plain: TypeAlias = "subprocess.Popen[str]"
Work: TypeAlias = Callable[[], object]
Speedups: TypeAlias = dict[tuple[str, str], float]  # by work and kind of key


def two_cores(bits: int, expected: int) -> tuple[Speedups, dict[str, float]]:
    """The speed-ups, and for each kind of key the seconds until two workers had started and made their tables."""
    works: dict[tuple[str, str], tuple[Work, Work]] = {}
    starts: dict[str, float] = {}
    with ExitStack() as stack:
        plain = [stack.enter_context(_plain_process()) for _ in range(2)]
        works[PLAIN] = (lambda: _spin(plain[:1], 2), lambda: _spin(plain, 1))
        for keygen, counts in COUNTS.items():
            encrypted, decrypted = (count * COUNTED_BITS**2 // bits**2 for count in counts)
            key = generate(bits, keygen)
            computes = [stack.enter_context(closing(Workers(cores))) for cores in (1, 2)]
            one, two = (VectorPaillier(key, expected, compute) for compute in computes)
            ones, twos = (_works(paillier, encrypted, decrypted) for paillier in (one, two))
            ones["encrypt"]()  # makes the table
            starts[keygen] = _wall(twos["encrypt"]) - _wall(twos["encrypt"])
            works |= {(name, keygen): (ones[name], twos[name]) for name in ones}
        seconds = [{name: (_wall(one), _wall(two)) for name, (one, two) in works.items()} for _ in range(TURNS)]
    return {name: min(s[name][0] for s in seconds) / min(s[name][1] for s in seconds) for name in works}, starts


def _works(paillier: VectorPaillier, encrypted: int, decrypted: int) -> dict[str, Work]:
    layout = FixedPointLayout.exact(1.0, 1, paillier.public.bits)
    integers = np.zeros(encrypted * layout.slots, dtype=np.int64)
    vector = VectorPaillier(paillier.public, decrypted).encrypt(layout, integers[: decrypted * layout.slots])
    return {
        "encrypt": lambda: paillier.encrypt(layout, integers),
        "decrypt": lambda: paillier.decrypt(layout, vector),
    }


@contextmanager
def _plain_process() -> Iterator[Plain]:
    command = [sys.executable, "-c", PLAIN_PROCESS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def _spin(processes: list[Plain], times: int) -> None:
    """Let the processes work at the same time, so many times; wait for all."""
    for process in processes * times:
        print(file=process.stdin, flush=True)
    for process in processes * times:
        if not (process.stdout and process.stdout.readline()):
            sys.exit("a process that did plain work ended")


def _wall(work: Work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin

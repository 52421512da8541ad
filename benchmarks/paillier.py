"""Our Paillier beside `phe` and `sf-heu`: `python -m benchmarks.paillier [--bits BITS] [--quick]`.

Each turn takes fresh keys and goes through all implementations, one after the other, on one core by the clock of
CPU seconds; a figure is the median of the turns, `x_phe` and `x_heu` the medians of how many times better it was
than the peer in the same turn. `/s` counts ciphertexts, `val/s` the floats in them, in the exact and in the compact
packing: ours begins and ends with floats, and its masks are fresh, none made in advance. `owner` has the private key,
`public` has not. `tables` is what the first ciphertext costs; sf-heu makes its tables with its key, phe has none. Ours
adds and multiplies from bytes to bytes and looks for damaged ciphertexts, the peers from object to object without a
look. The last rows are wall time. sf-heu gets an environment of its own in a temporary folder; it is left out where
there is no wheel for it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import phe

from algorithms.crypto.packing import FixedPointLayout
from algorithms.crypto.paillier import Keygen, PrivateKey, PublicKey, generate
from algorithms.crypto.vectors import VectorPaillier
from benchmarks.report import show, tell
from benchmarks.two_cores import PLAIN, Speedups, two_cores
from storage.client import encode

PARTIES, SUMMANDS, FACTOR = 3, 16, 1000
EXPECTED = 20_000  # ciphertexts the tables are made for: a million exact values under 2048 bits
KEYGENS: tuple[Keygen, ...] = ("standard", "subgroup")
FASTER = {"standard": 1, "subgroup": 2}  # so many times the ciphertexts, for the clock's sake
PRECISION = 2.0**-28  # what phe rounds to, as our exact layout does
TARGET_BITS = 2048
INSTALL_S = 120
UNITS = {"key generation": "s", "tables": "s", "bytes a value": "B"}  # less is better; all other work is per second

Figures: TypeAlias = dict[str, float]  # by work
Turn: TypeAlias = dict[str, Figures]  # by who
Row: TypeAlias = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """How many turns there are under keys of one size, and how many ciphertexts each implementation makes in one."""

    bits: int
    turns: int
    ours: int
    heu: int
    phe: int


SIZES = (Size(2048, 5, 160, 60, 30), Size(3072, 3, 96, 50, 20), Size(4096, 3, 48, 24, 10))


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paillier")
    parser.add_argument("--bits", type=int, choices=[size.bits for size in SIZES], help="only keys of this size")
    parser.add_argument("--quick", action="store_true", help="only the smallest keys")
    asked = parser.parse_args(arguments)
    sizes = [size for size in SIZES if asked.bits in (None, size.bits)][: 1 if asked.quick else None]
    with _heu_process() as heu:
        heu_version = _answer(heu) if heu else "not installed: no wheel for this Python, or no index"
        turns = {size.bits: [_turn(size, heu) for _ in range(size.turns)] for size in sizes}
    rows = [row for bits, of_size in turns.items() for row in _rows(bits, of_size)]
    if not heu:
        rows.append(_row(sizes[0].bits, "not installed", "heu", "", ""))
    speedups, starts = two_cores(sizes[0].bits, EXPECTED)
    rows += [_row(sizes[0].bits, f"2 cores {work}".strip(), who, times, "x") for (work, who), times in speedups.items()]
    rows += [_row(sizes[0].bits, "2 cores start", who, seconds, "s") for who, seconds in starts.items()]
    reach = _to_reach(turns[TARGET_BITS], speedups) if TARGET_BITS in turns else []
    peers = {"phe": version("phe"), "gmpy2": version("gmpy2"), "sf-heu": heu_version}
    tell("paillier", rows, {"key_bits": [size.bits for size in sizes], "peers": peers, "to_reach": reach})
    if reach:
        show(f"to reach at {TARGET_BITS} bits", reach)


@contextmanager
def _heu_process() -> Iterator[subprocess.Popen[str] | None]:
    """A process with sf-heu, installed for as long as it is needed; None where it cannot be."""
    with tempfile.TemporaryDirectory(prefix="archipelago-bench-") as folder:
        python = str(Path(folder) / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--retries=1", "sf-heu"]
        try:
            for command in ([sys.executable, "-m", "venv", folder], pip):
                subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S)
        except (subprocess.SubprocessError, OSError):
            yield None
            return
        script = [python, "-P", str(Path(__file__).with_name("heu_peer.py"))]
        with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            yield process


def _turn(size: Size, heu: subprocess.Popen[str] | None) -> Turn:
    """All implementations once."""
    turn: Turn = {}
    for keygen in KEYGENS:
        turn |= _our_turn(keygen, size.bits, size.ours * FASTER[keygen])
    turn["phe"] = _phe_turn(size.bits, size.phe)
    if heu:
        print(size.bits, size.heu, file=heu.stdin, flush=True)
        turn["heu"] = _answer(heu)
    return turn


def _our_turn(keygen: Keygen, bits: int, count: int) -> Turn:
    """Owner and public-key holder, under a fresh key."""
    generation, key = _timed(lambda: generate(bits, keygen))
    owner = {"key generation": generation} | _our_values(key, count)
    public = _our_values(key.public, count) | _our_arithmetic(key.public, count // 4)
    return {f"{keygen} owner": owner, f"{keygen} public": public}


def _our_values(key: PrivateKey | PublicKey, count: int) -> Figures:
    """What a holder of this key does with `count` full ciphertexts in both packings."""
    paillier = VectorPaillier(key, EXPECTED)
    bits = paillier.public.bits
    exact, compact = FixedPointLayout.exact(16.0, PARTIES, bits), FixedPointLayout.compact(1.0, PARTIES, bits)
    tables, _ = _timed(lambda: paillier.encrypt(exact, exact.integers(np.ones(1))))
    figures = {"tables": tables}
    for name, layout in (("exact", exact), ("compact", compact)):
        values = np.random.default_rng(0).uniform(-1, 1, count * layout.slots) * layout.largest
        seconds, size = _our_packing(paillier, layout, values, decrypts=isinstance(key, PrivateKey))
        for work, taken in seconds.items():
            figures.setdefault(work, count / taken)  # ciphertexts count where they hold exact values
            figures[f"{work} {name}"] = len(values) / taken
        if isinstance(key, PrivateKey):
            figures[f"bytes {name}"] = size / len(values)
    return figures


def _our_packing(
    paillier: VectorPaillier, layout: FixedPointLayout, values: np.ndarray, *, decrypts: bool
) -> tuple[Figures, int]:
    """Seconds from floats to ciphertexts and back, and the bytes of the vector as it is stored and sent."""
    encryption, vector = _timed(lambda: paillier.encrypt(layout, layout.integers(values)))
    seconds = {"encrypt": encryption}
    if decrypts:
        seconds["decrypt"], found = _timed(lambda: layout.floats(paillier.decrypt(layout, vector)[0]))
        if np.abs(found - values).max() > 2.0**-layout.scale:
            sys.exit("we decrypted something else than was encrypted")
    return seconds, len(encode(vector))


def _our_arithmetic(key: PublicKey, count: int) -> Figures:
    """What is done with vectors of `count` ciphertexts."""
    paillier = VectorPaillier(key, count)
    layout = FixedPointLayout.exact(16.0, FACTOR, key.bits)
    integers = np.arange(count * layout.slots)
    vectors = [paillier.encrypt(layout, integers)] * SUMMANDS
    addition, _ = _timed(lambda: [paillier.add(vectors[:2]) for _ in vectors])
    summing, _ = _timed(lambda: paillier.add(vectors))
    multiplication, _ = _timed(lambda: paillier.multiply(vectors[0], FACTOR))
    return _arithmetic(count * SUMMANDS / addition, count * (SUMMANDS - 1) / summing, count / multiplication)


def _phe_turn(bits: int, count: int) -> Figures:
    """The same with phe, under a fresh key; all its numbers have one exponent, so that none is aligned to add it."""
    values = np.random.default_rng(0).uniform(-16, 16, count).tolist()
    generation, (public, private) = _timed(lambda: phe.generate_paillier_keypair(n_length=bits))
    encryption, vector = _timed(lambda: [public.encrypt(v, precision=PRECISION) for v in values])
    decryption, found = _timed(lambda: [private.decrypt(c) for c in vector])
    if not np.allclose(found, values, rtol=0, atol=PRECISION):
        sys.exit("phe decrypted something else than was encrypted")
    addition, _ = _timed(lambda: [a + b for a in vector for b in vector])
    summing, _ = _timed(lambda: [sum([c] * (SUMMANDS - 1), vector[0]) for c in vector])
    multiplication, _ = _timed(lambda: [c * FACTOR for c in vector])
    return {
        "key generation": generation,
        **dict.fromkeys(("encrypt", "encrypt a value"), count / encryption),
        **dict.fromkeys(("decrypt", "decrypt a value"), count / decryption),
        **_arithmetic(count * count / addition, count * (SUMMANDS - 1) / summing, count / multiplication),
        "bytes a value": 2 * bits / 8,  # without its exponent
    }


def _arithmetic(added: float, summed: float, multiplied: float) -> Figures:
    return {"add": added, f"sum of {SUMMANDS}": summed, f"multiply by {FACTOR}": multiplied}


def _rows(bits: int, turns: Sequence[Turn]) -> list[Row]:
    """The rows of one size of keys, sorted by work."""
    works = list(dict.fromkeys(work for figures in turns[0].values() for work in figures))
    kinds = [_peers_work(work) for work in works]
    return [
        _row(bits, work, who, _median(turns, who, work), _unit(work), **_ratios(turns, who, work))
        for work in sorted(works, key=lambda work: kinds.index(_peers_work(work)))
        for who in turns[0]
        if work in turns[0][who]
    ]


def _row(bits: int, work: str, who: str, figure: float | str, unit: str, **ratios: float | str) -> Row:
    tidy = {name: _tidy(value) for name, value in {"x_phe": "", "x_heu": "", **ratios}.items()}
    return {"bits": bits, "work": work, "who": who, "figure": _tidy(figure), "unit": unit, **tidy}


def _ratios(turns: Sequence[Turn], who: str, work: str) -> Figures:
    """How many times better ours is than each peer that does such work."""
    if who in ("phe", "heu"):
        return {}
    peers = [peer for peer in ("phe", "heu") if _peers_work(work) in turns[0].get(peer, {})]
    return {f"x_{peer}": _times_better(turns, who, work, peer) for peer in peers}


def _times_better(turns: Sequence[Turn], who: str, work: str, peer: str) -> float:
    """The median over the turns."""
    ratios = [turn[who][work] / turn[peer][_peers_work(work)] for turn in turns]
    median = statistics.median(ratios)
    return 1 / median if _peers_work(work) in UNITS else median


def _median(turns: Sequence[Turn], who: str, work: str) -> float:
    return statistics.median(turn[who][work] for turn in turns)


def _peers_work(work: str) -> str:
    """The peers know one packing only."""
    return work.replace("exact", "a value").replace("compact", "a value")


def _unit(work: str) -> str:
    kind = _peers_work(work)
    return UNITS.get(kind, "val/s" if kind.endswith("a value") else "/s")


def _to_reach(turns: Sequence[Turn], speedups: Speedups) -> list[Row]:
    """Each target with what was measured."""

    def better(who: str, work: str, peer: str, least: float) -> Row:
        found = _times_better(turns, who, work, peer) if peer in turns[0] else None
        return _target(f"{work}: {who} x {peer}", least, found, reached=found is not None and found >= least)

    def small(packing: str, most: float) -> Row:
        found = _median(turns, "standard owner", f"bytes {packing}")
        return _target(f"bytes a value, {packing}, {PARTIES} parties", most, found, reached=found <= most, most=True)

    return [
        better("standard owner", "encrypt", "phe", 12),
        better("subgroup owner", "encrypt", "phe", 25),
        better("standard owner", "encrypt exact", "phe", 600),
        better("standard owner", "decrypt exact", "phe", 50),
        better("subgroup owner", "decrypt", "phe", 3),
        *(better(f"{keygen} owner", "encrypt", "heu", 1) for keygen in KEYGENS),
        small("exact", 9),
        small("compact", 5.5),
        *(
            _target(f"2 cores {work}, {who} (plain work {speedups[PLAIN]:.2f})", 1.7, times, reached=times >= 1.7)
            for (work, who), times in speedups.items()
            if work
        ),
    ]


def _target(what: str, bound: float, found: float | None, *, reached: bool, most: bool = False) -> Row:
    verdict = "pass" if reached else "FAIL" if found is not None else "not measured"
    return {"target": what, "bound": f"{'<=' if most else '>='} {bound}", "measured": _tidy(found), "verdict": verdict}


def _tidy(figure: float | str | None) -> float | int | str | None:
    """Whole from 100 on, four digits below."""
    if not isinstance(figure, float):
        return figure
    return round(figure) if figure >= 100 else float(f"{figure:.4g}")


def _answer(process: subprocess.Popen[str]) -> Any:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        sys.exit("the process with sf-heu ended")
    return json.loads(line)


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


if __name__ == "__main__":
    main(sys.argv[1:])

"""One turn of sf-heu's Paillier for each line `BITS COUNT` on standard input, answered by a line of JSON.

`benchmarks.paillier` runs this file in an environment that has sf-heu and nothing of ours. The first line out is the
version. Values go through sf-heu's batch encoder, which puts two into a ciphertext; its tables are made with its key.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from heu import phe

FACTOR, SUMMANDS = 1000, 16
TOLERANCE = 1e-5


def main() -> None:
    """Answer until standard input ends."""
    print(json.dumps(version("sf-heu")), flush=True)
    for line in sys.stdin:
        print(json.dumps(_turn(*map(int, line.split()))), flush=True)


def _turn(bits: int, count: int) -> dict[str, float]:
    """Seconds of key generation, bytes a value, and for each other work how many a second."""
    values = [random.uniform(-1, 1) for _ in range(count)]
    generation, kit = _timed(lambda: phe.setup(phe.SchemaType.ZPaillier, bits))
    one, two = kit.float_encoder(), kit.batch_float_encoder()
    encrypt, decrypt, evaluator = kit.encryptor().encrypt, kit.decryptor().decrypt, kit.evaluator()
    encryption, vector = _timed(lambda: [encrypt(one.encode(v)) for v in values])
    decryption, decrypted = _timed(lambda: [one.decode(decrypt(c)) for c in vector])
    pairs = list(zip(values[::2], values[1::2], strict=False))
    pair_encryption, batches = _timed(lambda: [encrypt(two.encode(*pair)) for pair in pairs])
    pair_decryption, opened = _timed(lambda: [two.decode(decrypt(c)) for c in batches])
    if any(abs(a - b) > TOLERANCE for a, b in zip(decrypted, values, strict=True)) or len(opened) != len(pairs):
        sys.exit("sf-heu decrypted something else than was encrypted")
    addition, _ = _timed(lambda: [evaluator.add(a, b) for a, b in zip(vector, vector[::-1], strict=True)])
    multiplication, _ = _timed(lambda: [evaluator.mul(c, FACTOR) for c in vector])

    def add_up() -> None:
        for ciphertext in vector:
            total = evaluator.add(vector[0], ciphertext)
            for _ in range(SUMMANDS - 2):
                evaluator.add_inplace(total, ciphertext)

    summing, _ = _timed(add_up)
    return {
        "key generation": generation,
        "encrypt": count / encryption,
        "decrypt": count / decryption,
        "encrypt a value": 2 * len(pairs) / pair_encryption,
        "decrypt a value": 2 * len(pairs) / pair_decryption,
        "add": count / addition,
        "sum of 16": count * (SUMMANDS - 1) / summing,
        "multiply by 1000": count / multiplication,
        "bytes a value": len(batches[0].serialize()) / 2,
    }


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


if __name__ == "__main__":
    main()

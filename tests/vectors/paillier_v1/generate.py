"""Makes the golden vectors of this folder with `phe`, an implementation that is not ours.

`python -m tests.vectors.paillier_v1.generate` writes `phe.json` anew: a key, plaintexts, their ciphertexts by phe, the
product of all ciphertexts, and one of them to the power of 7. Numbers are hexadecimal.
"""

from __future__ import annotations

import json
from pathlib import Path

import phe

FILE = Path(__file__).parent / "phe.json"
BITS = 1024


def main() -> None:
    """Write the file."""
    public, private = phe.generate_paillier_keypair(n_length=BITS)
    plain = [0, 1, 2**64 - 1, 2**300 + 12345, public.n // 2, public.n - 1]
    encrypted = [public.raw_encrypt(m) for m in plain]
    product = 1
    for c in encrypted:
        product = product * c % public.nsquare
    body = {
        "about": f"phe {phe.__version__}",
        "p": hex(private.p),
        "q": hex(private.q),
        "plaintexts": [hex(m) for m in plain],
        "ciphertexts": [hex(c) for c in encrypted],
        "product": hex(product),
        "sum": hex(sum(plain) % public.n),
        "third_to_the_7th": hex(pow(encrypted[2], 7, public.nsquare)),
        "third_times_7": hex(plain[2] * 7 % public.n),
    }
    FILE.write_text(json.dumps(body, indent=1) + "\n")


if __name__ == "__main__":
    main()

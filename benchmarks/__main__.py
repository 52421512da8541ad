"""`python -m benchmarks [NAME ...]`: run benchmarks, print their tables, write `benchmarks/results/NAME.json`."""

from __future__ import annotations

import importlib
import sys

NAMES = ("noop_job", "flow", "encrypted_lr", "paillier", "secure_round", "storage_speed")


def main() -> None:
    """Run what the command line names."""
    for name in sys.argv[1:] or NAMES:
        if name not in NAMES:
            sys.exit(f"'{name}' is not a benchmark; there are: {', '.join(NAMES)}")
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()

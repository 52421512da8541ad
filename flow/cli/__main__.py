"""`python -m flow.cli` is the console script `flow`."""

from __future__ import annotations

from flow.cli import main

if __name__ == "__main__":
    main()

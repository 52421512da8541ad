"""`python -m cluster_manager --home DIR`."""

from __future__ import annotations

from cluster_manager.client import serve
from party.main import run_forever

if __name__ == "__main__":
    run_forever(serve)

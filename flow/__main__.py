"""`python -m flow --home DIR`: Flow of one party."""

from __future__ import annotations

from flow.server import serve
from party.main import run_forever

if __name__ == "__main__":
    run_forever(serve)

"""`python -m board --home DIR`: the board of one party."""

from __future__ import annotations

from board.server import serve
from party.main import run_forever

if __name__ == "__main__":
    run_forever(serve)

"""`python -m launcher --home DIR`: all rooms of one party in one process."""

from __future__ import annotations

from launcher.rooms import serve
from party.service import run_forever

if __name__ == "__main__":
    run_forever(serve)

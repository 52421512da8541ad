"""`python -m launcher --home DIR`: all rooms of one party, but the gateway in a process of its own."""

from __future__ import annotations

from launcher.rooms import serve
from party.main import run_forever

if __name__ == "__main__":
    run_forever(serve)

"""`python -m gateway --home DIR`: the gateway of one party as a process."""

from __future__ import annotations

from gateway.server import serve
from party.service import run_forever

if __name__ == "__main__":
    run_forever(serve)

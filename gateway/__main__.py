"""`python -m gateway --home DIR`: the gateway of one party as a process."""

from __future__ import annotations

import os

from party.main import run_forever

if __name__ == "__main__":
    # What TLS says of every stranger would fill the log; read by the library when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from gateway.server import serve

    run_forever(serve)

"""What the headers of calls may cost a server: few entries, few calls that wait, and memory that is given back.

A frame of 4 KB can refer 4,000 times to an entry of 4 KB that the connection has sent once. gRPC keeps all of them
whatever its limits of metadata say: half a megabyte while the call waits for us, and the full 16 once it is ours.
At the doors of our own processes calls may come in bursts of hundreds, so there only the second is bounded.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import grpc

ENTRIES = 32  # honest calls have some five
CALL_LIMITS = (
    ("grpc.server.max_pending_requests", 256),  # from here on some are refused, and tried again by honest peers
    ("grpc.server.max_pending_requests_hard_limit", 512),
)
TRIM_AFTER_S = 1.0
_libc = ctypes.CDLL(None)


class FewHeaders(grpc.ServerInterceptor):  # type: ignore[misc]
    """Turns away a call of too many headers before it takes a thread, so that one such call is held at a time."""

    def __init__(self) -> None:
        self._trimming = threading.Lock()

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The call's handler, or none."""
        if len(handler_call_details.invocation_metadata) <= ENTRIES:
            return continuation(handler_call_details)
        if self._trimming.acquire(blocking=False):
            soon = threading.Timer(TRIM_AFTER_S, self._trim)
            soon.daemon = True
            soon.start()
        return None

    def _trim(self) -> None:
        self._trimming.release()
        if hasattr(_libc, "malloc_trim"):
            _libc.malloc_trim(0)

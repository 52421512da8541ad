"""What an error is called elsewhere: its gRPC status, its HTTP status and the exit code of its process. Pure.

The kind decides, and this is the only table of it. An error class may name a more exact HTTP status of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.errors import Conflict, Denied, InvalidInput, NotFound, PlatformError, Unavailable


@dataclass(frozen=True)
class ErrorKind:
    """What an error of one kind is.

    Attributes:
        grpc: The name of its gRPC status.
        http: Its HTTP status.
        exit: With what a process ends for it.
        narrower: HTTP statuses that say more exactly what is of this kind.
    """

    grpc: str
    http: int
    exit: int
    narrower: tuple[int, ...] = ()


KINDS: dict[type[PlatformError], ErrorKind] = {
    InvalidInput: ErrorKind("INVALID_ARGUMENT", 400, 2, narrower=(405, 408, 413, 422)),
    NotFound: ErrorKind("NOT_FOUND", 404, 3),
    Denied: ErrorKind("PERMISSION_DENIED", 403, 4, narrower=(401, 429)),
    Conflict: ErrorKind("FAILED_PRECONDITION", 409, 5),
    Unavailable: ErrorKind("UNAVAILABLE", 503, 6),
    PlatformError: ErrorKind("UNKNOWN", 500, 1),
}


def root_of(error: PlatformError | type[PlatformError]) -> type[PlatformError]:
    """Which of the five an error is; PlatformError if none."""
    kind = error if isinstance(error, type) else type(error)
    return next(root for root in kind.__mro__ if root in KINDS)


def grpc_status(error: PlatformError) -> str:
    """The name of the gRPC status that goes with the error."""
    return KINDS[root_of(error)].grpc


def http_status(error: PlatformError | type[PlatformError]) -> int:
    """The HTTP status that goes with the error: its own, else that of its kind."""
    return error.http_status or KINDS[root_of(error)].http


def exit_code(error: PlatformError) -> int:
    """With what a process ends for the error."""
    return KINDS[root_of(error)].exit


def root_of_http(status: int) -> type[PlatformError]:
    """Which of the five an HTTP status tells of; PlatformError if none."""
    return next((root for root, kind in KINDS.items() if status in (kind.http, *kind.narrower)), PlatformError)


def root_of_exit(code: int) -> type[PlatformError]:
    """Which of the five an exit code tells of; PlatformError if none."""
    return next((root for root, kind in KINDS.items() if code == kind.exit), PlatformError)

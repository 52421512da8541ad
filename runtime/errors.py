"""The root of every error that a user, another room or another party can meet, and runtime's own.

    PlatformError
      InvalidInput        the caller's data or file is wrong          (no retry)
        NotCanonical        a value that cannot be signed, or bytes that are not JSON
        BadAddress          text that is not host:port
        BodyTooLarge        a request body above what its route accepts
        BodyTooSlow         a request body slower than any honest link
        BodyInPieces        a request body in more pieces than one of its size is read in
        NewerDatabase       a database file that a newer release wrote
      NotFound            a named thing does not exist                (no retry)
      Conflict            the thing exists already or has moved on    (no retry)
      Denied              the caller may not do this                  (no retry)
        TooManyGuesses      wrong passwords came too fast
        FileExposed         a secret file that others may read
        DoorClosed          a door for the party's own services, and the caller showed no key
      Unavailable         the other side cannot be reached now        (retry)
        PortInUse           another process listens there
        DiskFull            no room for a file of the party
        FileFault           a file system that refuses a file of the party
        ChannelClosed       a call over a connection that its owner has closed
      ServiceFault        a defect of ours, of which nothing else is told

Each room derives its own errors from the five in `<room>/errors.py` and gives each a stable `code`
("room.what_went_wrong"). The code goes over the wire; the text may change.
"""

from __future__ import annotations

from typing import ClassVar


class PlatformError(Exception):
    """Any failure that Archipelago names.

    Attributes:
        code: Stable identifier, never reused for another meaning.
        retry: Whether the same call may succeed later without a change by the caller.
        hint: What the user can do about it, one sentence, or the empty string.
        http_status: An HTTP status more exact than that of its kind; 0 if there is none.
        alike: Parties of a job by what they have alike, where the failure is that they differ; all of them may read it.
    """

    code: ClassVar[str] = "platform.error"
    retry: ClassVar[bool] = False
    http_status: ClassVar[int] = 0

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.alike: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class InvalidInput(PlatformError):
    """The caller's data, file or parameter is wrong."""

    code = "platform.invalid_input"


class NotFound(PlatformError):
    """A named thing does not exist."""

    code = "platform.not_found"


class Conflict(PlatformError):
    """The thing exists already, or has moved on since the caller looked."""

    code = "platform.conflict"


class Denied(PlatformError):
    """The caller may not do this."""

    code = "platform.denied"


class Unavailable(PlatformError):
    """The other side cannot be reached at the moment."""

    code = "platform.unavailable"
    retry = True


class NotCanonical(InvalidInput):
    """A value has no canonical JSON form, or bytes are not JSON with unique keys."""

    code = "runtime.not_canonical"


class BadAddress(InvalidInput):
    """A network address is not `host:port`, or this machine cannot listen on it."""

    code = "runtime.bad_address"


class BodyTooLarge(InvalidInput):
    """The request body is larger than this route accepts."""

    code = "runtime.body_too_large"
    http_status = 413


class BodyTooSlow(InvalidInput):
    """The request body came more slowly than any honest link is."""

    code = "runtime.body_too_slow"
    http_status = 408


class BodyInPieces(InvalidInput):
    """The request body came in more pieces than a body of its size is read in."""

    code = "runtime.body_in_pieces"


class NewerDatabase(InvalidInput):
    """A database file was written by a newer release."""

    code = "runtime.newer_database"


class TooManyGuesses(Denied):
    """Too many wrong passwords came from there for that user, or too many at the same time; waiting helps."""

    code = "runtime.too_many_guesses"
    http_status = 429

    def __init__(self, message: str, *, hint: str = "", retry_s: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_s = retry_s


class FileExposed(Denied):
    """A file or folder that must be private can be read or written by others."""

    code = "runtime.file_exposed"


class DoorClosed(Denied):
    """A caller without the key at a door that is for the party's own services."""

    code = "runtime.door_closed"

    def __init__(self, message: str = "This door is for the party's own services.", *, hint: str = "") -> None:
        super().__init__(message, hint=hint or "Run the command as the user who runs the services.")


class PortInUse(Unavailable):
    """Another process listens on the port."""

    code = "runtime.port_in_use"


class DiskFull(Unavailable):
    """Its disk is full."""

    code = "runtime.disk_full"


class FileFault(Unavailable):
    """A file of it cannot be read or written."""

    code = "runtime.file_fault"


class ChannelClosed(Unavailable):
    """The connection of a call was closed by its owner before the call began."""

    code = "runtime.channel_closed"


class ServiceFault(PlatformError):
    """A defect in a service; the details are in its own log only."""

    code = "runtime.fault"


def all_codes() -> dict[str, type[PlatformError]]:
    """Every error class loaded so far by its code (used by RPC translators and by a test for uniqueness)."""
    found: dict[str, type[PlatformError]] = {}
    pending: list[type[PlatformError]] = [PlatformError]
    while pending:
        error = pending.pop()
        found[error.code] = error
        pending.extend(error.__subclasses__())
    return found


def public_sentence(code: str) -> str:
    """What the code says about any case of it: the first line of its class's docstring, without a value of this one.

    It is what another party may read; the message of an error may quote a value and stays at home.
    """
    kind = all_codes().get(code, PlatformError)
    return (kind.__doc__ or PlatformError.__doc__ or "").strip().splitlines()[0]

"""The root of every error that a user, another room or another party can meet, and party's own.

    PlatformError
      InvalidInput        the caller's data or file is wrong          (no retry)
        InvalidName         not a legal name of a party, task, user or table
        NotCanonical        a value that cannot be signed, or bytes that are not JSON
        BadSettings         party.toml cannot be used as it is
        BadAddress          text that is not host:port
        BadCard             a card that cannot be believed
          CardSchemaUnknown   made by a newer release
          CardForged          the signature does not belong to the content
          CardExpired         its time is over
          CardNotYetValid     its time has not come
        BadKeys             a key file that does not hold a key
        BadSignature        a message was not signed by whom it names
        CannotUnseal        sealed for somebody else, or changed on the way
        BadUsers            users.json cannot be used as it is
        WeakPassword        a password that is too short or easily guessed
      NotFound            a named thing does not exist                (no retry)
        NoHome              no party lives in that folder
        UserUnknown         no user of that name
        PartyNotTrusted     no card of that party
      Conflict            the thing exists already or has moved on    (no retry)
        HomeExists          a party lives there already
        CardChanged         a known party shows up with other keys
        UserExists          that user name is taken
        UserWasRemoved      that user name was somebody's before
        LastOfficer         nobody would be left to manage users
        AlreadyRunning      the same service runs on this home
      Denied              the caller may not do this                  (no retry)
        NotAllowed          no role of the user allows it
        NotAuthenticated    no user has that token
        TooManyGuesses      wrong passwords came too fast
        FileExposed         a secret file that others may read
      Unavailable         the other side cannot be reached now        (retry)
        PortInUse           another process listens there
        DiskFull            no room for a file of the party
        FileFault           a file system that refuses a file of the party

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
        alike: Parties of a job by what they have alike, where the failure is that they differ; all of them may read it.
    """

    code: ClassVar[str] = "platform.error"
    retry: ClassVar[bool] = False

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


class InvalidName(InvalidInput):
    """A party, task, user or table name is not lower-case letters, digits, '-' and '_'."""

    code = "party.invalid_name"


class NotCanonical(InvalidInput):
    """A value has no canonical JSON form, or bytes are not JSON with unique keys."""

    code = "party.not_canonical"


class BadSettings(InvalidInput):
    """The settings file is missing a key, has an unknown one, or holds a wrong value."""

    code = "party.bad_settings"


class BadAddress(InvalidInput):
    """A network address is not `host:port`, or this machine cannot listen on it."""

    code = "party.bad_address"


class BadCard(InvalidInput):
    """A party card is malformed or does not agree with itself."""

    code = "party.bad_card"


class CardSchemaUnknown(BadCard):
    """The card has a schema version that this release does not know."""

    code = "party.card_schema_unknown"


class CardForged(BadCard):
    """The card's signature does not belong to its content."""

    code = "party.card_forged"


class CardExpired(BadCard):
    """The card's validity has ended."""

    code = "party.card_expired"


class CardNotYetValid(BadCard):
    """The card's validity has not begun."""

    code = "party.card_not_yet_valid"


class BadKeys(InvalidInput):
    """A key file is missing or does not hold the key it should."""

    code = "party.bad_keys"


class BadSignature(InvalidInput):
    """A message was not signed by the party it names, or was changed since."""

    code = "party.bad_signature"


class CannotUnseal(InvalidInput):
    """A sealed message is for somebody else, bound to something else, or was changed."""

    code = "party.cannot_unseal"


class BadUsers(InvalidInput):
    """The users file is malformed or names a role that does not exist."""

    code = "party.bad_users"


class WeakPassword(InvalidInput):
    """The password is too short, too long or easily guessed."""

    code = "party.weak_password"


class NoHome(NotFound):
    """No party lives in the folder."""

    code = "party.no_home"


class UserUnknown(NotFound):
    """No user of this party has the name."""

    code = "party.user_unknown"


class PartyNotTrusted(NotFound):
    """This party holds no card of the named party."""

    code = "party.not_trusted"


class HomeExists(Conflict):
    """A party, or something else, is in the folder already."""

    code = "party.home_exists"


class CardChanged(Conflict):
    """A known party's new card does not continue the one that is trusted."""

    code = "party.card_changed"


class UserExists(Conflict):
    """The user name is taken."""

    code = "party.user_exists"


class UserWasRemoved(Conflict):
    """The user name was somebody's before."""

    code = "party.user_was_removed"


class LastOfficer(Conflict):
    """The party would be left without a user who manages users, policy and trust."""

    code = "party.last_officer"


class AlreadyRunning(Conflict):
    """The same service already runs on this home."""

    code = "party.already_running"


class NotAllowed(Denied):
    """No role of the user allows the verb on the object."""

    code = "party.not_allowed"


class NotAuthenticated(Denied):
    """No user of this party has the token."""

    code = "party.not_authenticated"


class TooManyGuesses(Denied):
    """Too many wrong passwords came from there for that user, or too many at the same time; waiting helps."""

    code = "party.too_many_guesses"

    def __init__(self, message: str, *, hint: str = "", retry_s: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_s = retry_s


class FileExposed(Denied):
    """A file or folder that must be private can be read or written by others."""

    code = "party.file_exposed"


class PortInUse(Unavailable):
    """Another process listens on the port."""

    code = "party.port_in_use"


class DiskFull(Unavailable):
    """Its disk is full."""

    code = "party.disk_full"


class FileFault(Unavailable):
    """A file of it cannot be read or written."""

    code = "party.file_fault"


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

"""Who may do what inside a party: users, their roles, and one function that decides.

Deny by default: what stands in no row of the table is refused, and so is any verb or kind of thing that the table
does not know. Only digests are kept; a token has 256 random bits, so a plain hash needs no salt, a password gets
Argon2id.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from party.errors import BadUsers, LastOfficer, NotAllowed, NotAuthenticated, UserExists, UserUnknown, UserWasRemoved
from party.ids import checked_name
from party.passwords import matches
from runtime.canonical import parse_json
from runtime.disk.files import read_private, write_whole
from runtime.errors import FileExposed, PlatformError
from runtime.suggestions import did_you_mean
from runtime.text import printable

USERS_SCHEMA = 1
TOKEN_PREFIX = "arch_"  # noqa: S105 - lets people and scanners recognise a token
TOKEN_BYTES = 32
MAX_TOKEN_CHARS = 200
_DIGEST = re.compile("[0-9a-f]{64}")


class UserRole(StrEnum):
    """What a user is for. A user may hold several."""

    SCIENTIST = "scientist"  # jobs and their own data
    OPERATOR = "operator"  # keeps services, hosts and jobs moving
    OFFICER = "officer"  # decides for the party: policy, users, trust, approvals
    AUDITOR = "auditor"  # reads what happened, changes nothing


FOUNDER_ROLES = (UserRole.SCIENTIST, UserRole.OPERATOR, UserRole.OFFICER)
"""What the first user of a party may do: everything; later users hold less."""
_OLD_ROLES = {"admin": frozenset(FOUNDER_ROLES)}  # a word of older users files


class Verb(StrEnum):
    """What can be done to a thing."""

    READ = "read"
    SUBMIT = "submit"
    STOP = "stop"
    NOTE = "note"
    CLEAN = "clean"
    APPROVE = "approve"
    UPLOAD = "upload"
    EXPORT = "export"
    DELETE = "delete"
    TRUST = "trust"
    MANAGE = "manage"


def _kinds(text: str) -> frozenset[str]:
    return frozenset(text.split())


KINDS = _kinds("job event metric log ledger party user policy service table rows model report")
"""Every kind of thing. To read a `table` or `model` is to see what it is; its values are `rows`, or exported."""


@dataclass(frozen=True)
class Thing:
    """What a verb is about: its kind, and where it matters its name and the user it belongs to."""

    kind: str
    name: str = ""
    owner: str = ""

    def __str__(self) -> str:
        of = "of " if self.kind == "rows" and self.name else ""
        return f"{self.kind} {of}{self.name}".rstrip()


@dataclass(frozen=True)
class User:
    """A person or program of this party, already authenticated."""

    name: str
    roles: frozenset[str]


_ANY: dict[str, dict[str, frozenset[str]]] = {
    UserRole.SCIENTIST: {
        Verb.READ: _kinds("job event metric log party table model report"),
        Verb.SUBMIT: _kinds("job"),
        Verb.NOTE: _kinds("job"),
        Verb.UPLOAD: _kinds("table"),
    },
    UserRole.OPERATOR: {
        Verb.READ: _kinds("job event metric log party service table"),
        Verb.STOP: _kinds("job"),
        Verb.NOTE: _kinds("job"),
        Verb.CLEAN: _kinds("job"),
    },
    UserRole.OFFICER: {
        Verb.READ: _kinds("job event metric ledger party user policy table model report"),
        Verb.APPROVE: _kinds("job"),
        Verb.NOTE: _kinds("job"),
        Verb.CLEAN: _kinds("job"),
        Verb.TRUST: _kinds("party"),
        Verb.MANAGE: _kinds("user policy table model"),
        Verb.DELETE: _kinds("table model"),
    },
    UserRole.AUDITOR: {Verb.READ: KINDS - {"rows"}},
}
"""What a role may do to any thing of these kinds. To manage a table or model is to set its use policy."""
_OWN: dict[str, dict[str, frozenset[str]]] = {
    UserRole.SCIENTIST: {
        Verb.READ: _kinds("rows"),
        Verb.STOP: _kinds("job"),
        Verb.EXPORT: _kinds("table model"),
        Verb.DELETE: _kinds("table model"),
        Verb.MANAGE: _kinds("table model"),
    },
}
"""What a role may do beyond that to things that belong to the user."""
_NOBODYS: dict[str, dict[str, frozenset[str]]] = {
    UserRole.SCIENTIST: {Verb.READ: _kinds("rows"), Verb.EXPORT: _kinds("table model")},
}
"""And to things that belong to no user: what another party's job has made here."""


def may(user: User, verb: str, thing: Thing | str) -> None:
    """Return if a role of the user allows the verb on the thing, raise NotAllowed otherwise.

    Args:
        user: Who asks.
        verb: One of `Verb`.
        thing: A `Thing`, or its kind alone where neither name nor owner matters.
    """
    about = Thing(thing) if isinstance(thing, str) else thing
    if not allows(user, verb, about):
        raise NotAllowed(f"User {user.name} may not {verb} {about}.", hint=_who_may(verb, about.kind))


def allows(user: User, verb: str, thing: Thing | str) -> bool:
    """Whether `may` would return: for showing a button only to whom it serves."""
    about = Thing(thing) if isinstance(thing, str) else thing
    tables = [_ANY]
    if not about.owner:
        tables.append(_NOBODYS)
    elif about.owner == user.name:
        tables.append(_OWN)
    return _in_tables(user, verb, about.kind, tables)


def may_some(user: User, verb: str, kind: str) -> None:
    """Return if the user may do so to any thing of the kind or to some, such as their own; else raise NotAllowed.

    It refuses early who may do it to none; `may` decides once the thing and its owner are known.
    """
    if not _in_tables(user, verb, kind, [_ANY, _OWN, _NOBODYS]):
        raise NotAllowed(f"User {user.name} may not {verb} {kind}.", hint=_who_may(verb, kind))


def _in_tables(user: User, verb: str, kind: str, tables: Iterable[dict[str, dict[str, frozenset[str]]]]) -> bool:
    return any(kind in table.get(role, {}).get(verb, ()) for table in tables for role in user.roles)


@dataclass(frozen=True, repr=False)
class Account:
    """A user and what proves that somebody is that user.

    Attributes:
        user: Who it is.
        token_sha256: Digest of the token.
        password: Argon2id digest of the password, or empty: no password opens the account.
    """

    user: User
    token_sha256: str
    password: str = ""

    @property
    def credential(self) -> str:
        """What a session is bound to: another value as soon as token or password are changed."""
        return sha256(f"{self.token_sha256} {self.password}".encode()).hexdigest()

    def __repr__(self) -> str:
        return f"<Account of {self.user.name}>"


@dataclass(frozen=True)
class Users:
    """The users of one party, in the order in which they came."""

    accounts: tuple[Account, ...] = ()
    removed: tuple[str, ...] = ()
    """Names of users who are out: what they own here stays theirs."""

    def __iter__(self) -> Iterator[User]:
        return iter([account.user for account in self.accounts])

    def get(self, name: str) -> User:
        """The user of that name. Raises UserUnknown."""
        return self.account(name).user

    def account(self, name: str) -> Account:
        """The account of that name. Raises UserUnknown."""
        for account in self.accounts:
            if account.user.name == name:
                return account
        raise UserUnknown(f"There is no user '{printable(name[:80])}'.", hint=f"Known: {', '.join(self._names())}.")

    def added(self, user: User, token: str, *, again: bool = False) -> Users:
        """These users and one more; with `again` possibly one who was removed. Raises UserExists or UserWasRemoved."""
        if user.name in self._names():
            raise UserExists(f"There is a user '{user.name}' already.")
        if user.name in self.removed and not again:
            raise UserWasRemoved(
                f"There was a user '{user.name}' before, who still owns tables, models and jobs here.",
                hint="Give another person another name; the same person comes back with --again (REST: again).",
            )
        removed = tuple(name for name in self.removed if name != user.name)
        return Users((*self.accounts, Account(user, _digest(token))), removed)

    def without(self, name: str) -> Users:
        """These users but one. Raises UserUnknown or LastOfficer."""
        gone = self.account(name)
        left = tuple(account for account in self.accounts if account is not gone)
        return Users(left, (*self.removed, name))._governed()

    def with_roles(self, name: str, roles: Iterable[str]) -> Users:
        """The user with other roles. Raises UserUnknown, BadUsers or LastOfficer."""
        return self._changed(name, user=make_user(name, roles))._governed()

    def with_token(self, name: str, token: str) -> Users:
        """The user with another token. Raises UserUnknown."""
        return self._changed(name, token_sha256=_digest(token))

    def with_password(self, name: str, digest: str) -> Users:
        """The user with another password, or with none. Raises UserUnknown."""
        return self._changed(name, password=digest)

    def _changed(self, name: str, **fields: Any) -> Users:
        old = self.account(name)
        return replace(self, accounts=tuple(replace(old, **fields) if each is old else each for each in self.accounts))

    def _governed(self) -> Users:
        if not any(UserRole.OFFICER in user.roles for user in self):
            raise LastOfficer("That would leave the party without an officer.", hint="Make somebody else one first.")
        return self

    def _names(self) -> list[str]:
        return [user.name for user in self]


def new_token() -> str:
    """A fresh token, 256 bits from the operating system."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


_ROLES = f"Roles are {', '.join(UserRole)}."


def make_user(name: str, roles: Iterable[str]) -> User:
    """A checked user. Raises InvalidName or BadUsers."""
    wanted = frozenset(roles)
    unknown = sorted(wanted - set(UserRole))
    if unknown:
        raise BadUsers(f"'{unknown[0][:80]}' is no role. {did_you_mean(unknown[0], UserRole)}", hint=_ROLES)
    if not wanted:
        raise BadUsers(f"User '{name[:80]}' has no role.", hint=_ROLES)
    return User(checked_name(name, "user name"), wanted)


def authenticate(users: Users, token: str) -> Account:
    """The account that the token opens; takes the same time whether or not there is one. Raises NotAuthenticated."""
    digest = _digest(token[:MAX_TOKEN_CHARS])
    found: Account | None = None
    for account in users.accounts:
        if hmac.compare_digest(digest, account.token_sha256):
            found = account
    if found is None:
        raise NotAuthenticated("The token belongs to no user of this party.", hint="Ask an officer for a new one.")
    return found


def authenticate_by_password(users: Users, name: str, password: str) -> Account:
    """The account that the password opens; takes as long for a user who is unknown or has none.

    Raises:
        NotAuthenticated: It opens none; what is wrong is not told.
    """
    known = next((account for account in users.accounts if account.user.name == name), None)
    if not matches(password, known.password if known else "") or known is None:
        raise NotAuthenticated("User name or password are wrong.", hint="A user without a password logs in by token.")
    return known


def load_users(path: Path) -> Users:
    """The users in the file. Raises BadUsers, or FileExposed if others may read or change it."""
    try:
        values = parse_json(read_private(path), str(path))
        return _from_json(values)
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise BadUsers(f"{path} is not a list of users: {error}.") from None
    except FileExposed:
        raise
    except PlatformError as error:
        raise BadUsers(f"{path}: {error.message}", hint=error.hint) from None


def save_users(path: Path, users: Users) -> None:
    """Write the users, tokens and passwords as digests only."""
    rows = [_row(account) for account in users.accounts]
    body = {"schema": USERS_SCHEMA, "users": rows, "removed": list(users.removed)}
    write_whole(path, json.dumps(body, indent=2).encode() + b"\n")


def _row(account: Account) -> dict[str, Any]:
    user = account.user
    row = {"name": user.name, "roles": sorted(user.roles), "token_sha256": account.token_sha256}
    return row | ({"password": account.password} if account.password else {})


def _from_json(values: object) -> Users:
    if not isinstance(values, dict) or values.get("schema") != USERS_SCHEMA:
        raise BadUsers(f"schema is not {USERS_SCHEMA}.", hint="The file was made by another release.")
    removed = tuple(checked_name(name, "user name") for name in values.get("removed", ()))
    return Users(tuple(_account(row) for row in values["users"]), removed)


def _account(row: dict[str, Any]) -> Account:
    roles = [role for word in row["roles"] for role in _OLD_ROLES.get(word, {word})]
    account = Account(make_user(row["name"], roles), str(row["token_sha256"]), str(row.get("password", "")))
    if not _DIGEST.fullmatch(account.token_sha256):
        raise BadUsers(f"User '{account.user.name}': token_sha256 is not a SHA-256 digest.")
    if account.password and not account.password.startswith("$argon2id$"):
        raise BadUsers(f"User '{account.user.name}': password is not an Argon2id digest.")
    return account


def _digest(token: str) -> str:
    return sha256(token.encode(errors="surrogatepass")).hexdigest()


def _who_may(verb: str, kind: str) -> str:
    roles = [role for role in UserRole if kind in _ANY[role].get(verb, ())]
    owners = [role for role in UserRole if role not in roles and kind in _OWN.get(role, {}).get(verb, ())]
    ways = [f"the role {' or '.join(roles)}"] if roles else []
    ways += [f"the role {' or '.join(owners)} for one's own"] if owners else []
    return f"It takes {', or '.join(ways)}." if ways else ""

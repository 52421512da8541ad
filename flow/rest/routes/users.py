"""Routes about the users of this party. What makes a token or a password takes one: a session is not enough."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from flow.rest.access import Caller, ManageUser, OwnUser, ReadUser
from flow.views.party import UserToken, UserView
from party.passwords import MAX_CHARS
from party.users import Account, UserRole
from runtime.log import get_logger

router = APIRouter(tags=["users"])

_log = get_logger("flow")
Roles = Annotated[tuple[UserRole, ...], Field(min_length=1, max_length=len(UserRole))]


class NewUser(BaseModel):
    """A user to add."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=100)
    roles: Roles
    again: bool = False


class NewRoles(BaseModel):
    """What a user may do from now on."""

    model_config = ConfigDict(extra="forbid")
    roles: Roles


class NewPassword(BaseModel):
    """A password to log in with."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    password: str = Field(max_length=MAX_CHARS)


@router.get("/users", summary="The users of this party")
def users(known: ReadUser) -> list[UserView]:
    """Their roles, and whether a password opens their account; never a token or password."""
    return [user_view(account) for account in known.backends.book.users().accounts]


@router.post("/users", status_code=201, summary="Add a user")
def add(known: ManageUser, body: Annotated[NewUser, Body()]) -> UserToken:
    """The answer holds the token, this once. A name that was somebody's takes `again`: it is the same person."""
    token = known.backends.book.file.add(body.name, body.roles, again=body.again)
    _note(known, "added", body.name)
    return UserToken(name=body.name, token=token)


@router.delete("/users/{name}", status_code=204, summary="Remove a user")
def remove(known: ManageUser, name: str) -> None:
    """The user is out at once, with token, password and sessions. The last officer stays."""
    known.backends.book.file.remove(name)
    _note(known, "removed", name)


@router.put("/users/{name}/roles", summary="Give a user other roles")
def set_roles(known: ManageUser, name: str, body: Annotated[NewRoles, Body()]) -> UserView:
    """They count from the next request on. The last officer stays one."""
    known.backends.book.file.set_roles(name, body.roles)
    _note(known, "given other roles", name)
    return user_view(known.backends.book.users().account(name))


@router.post("/users/{name}/token", status_code=201, summary="A fresh token")
def new_token(known: OwnUser, name: str) -> UserToken:
    """Your own, or anybody's for an officer; the one before and all sessions end. The answer holds it, this once."""
    token = known.backends.book.file.new_token(name)
    _note(known, "given a fresh token", name)
    return UserToken(name=name, token=token)


@router.put("/users/{name}/password", status_code=204, summary="Set a password")
def set_password(known: OwnUser, name: str, body: Annotated[NewPassword, Body()]) -> None:
    """Your own, or anybody's for an officer; all sessions of the user end."""
    known.backends.book.file.set_password(name, body.password)
    _note(known, "given a password", name)


@router.delete("/users/{name}/password", status_code=204, summary="Take a password away")
def remove_password(known: OwnUser, name: str) -> None:
    """The user's token still opens the account."""
    known.backends.book.file.set_password(name, None)
    _note(known, "left without a password", name)


def user_view(account: Account) -> UserView:
    """What REST shows of an account."""
    user = account.user
    return UserView(name=user.name, roles=tuple(sorted(user.roles)), has_password=bool(account.password))


def _note(known: Caller, what: str, name: str) -> None:
    _log.info("User changed", what=what, user=name, by=known.user.name)

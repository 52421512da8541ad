"""Asking about people: who comes in, and who the users of the party are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flow.rest_client.http import HttpCalls
from flow.rest_client.paths import part
from flow.views.party import Session, Ticket, UserToken, UserView


class PeopleCalls(HttpCalls):
    """Sessions and users of a party."""

    def ticket(self, valid_s: int = 120) -> Ticket:
        """A single-use login ticket for this user."""
        return self._ask(Ticket, "POST", "/tickets", params={"valid_s": valid_s})

    def open_session(self) -> Session:
        """A session of this user, who must have come with their own token."""
        return self._ask(Session, "POST", "/sessions")

    def redeem(self, ticket: str) -> Session:
        """The session that a login ticket opens, once."""
        return self._ask(Session, "POST", "/sessions/ticket", json={"ticket": ticket})

    def log_in(self, user: str, password: str, visitor: Mapping[str, str] | None = None) -> Session:
        """The session that a password opens; `visitor` says for whom our own board asks (flow/rest/visitors.py)."""
        body = {"user": user, "password": password}
        return self._ask(Session, "POST", "/sessions/password", json=body, headers=dict(visitor or {}))

    def end_session(self) -> None:
        """End the session that this client's token stands for."""
        self._call("DELETE", "/sessions")

    def users(self) -> list[UserView]:
        """The users of the party."""
        return self._ask(list[UserView], "GET", "/users")

    def add_user(self, name: str, roles: Sequence[str], *, again: bool = False) -> UserToken:
        """Add a user, with `again` one who was removed; the answer holds the token, this once."""
        return self._ask(UserToken, "POST", "/users", json={"name": name, "roles": list(roles), "again": again})

    def remove_user(self, name: str) -> None:
        """Remove a user, who is out at once."""
        self._call("DELETE", f"/users/{part(name)}")

    def set_roles(self, name: str, roles: Sequence[str]) -> UserView:
        """Give a user other roles."""
        return self._ask(UserView, "PUT", f"/users/{part(name)}/roles", json={"roles": list(roles)})

    def new_token(self, name: str) -> UserToken:
        """A fresh token of a user; the one before is worth nothing from now on."""
        return self._ask(UserToken, "POST", f"/users/{part(name)}/token")

    def set_password(self, name: str, password: str | None) -> None:
        """Let a user log in with this password, or with none."""
        path = f"/users/{part(name)}/password"
        if password is None:
            self._call("DELETE", path)
        else:
            self._call("PUT", path, json={"password": password})

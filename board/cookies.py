"""Who looks at the board: one encrypted cookie, and the proof that a form was ours.

The cookie holds Flow's session token and a CSRF value, sealed with a key derived from the party's master key, so
that the browser can neither read nor change it. Its name holds the party's id: browsers do not tell ports apart,
and several parties may live on one machine. A link on another site, as in a mail, brings the cookie along: what a
link can do changes nothing, and a form needs the CSRF value.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from dataclasses import dataclass, replace

from fastapi import Request, Response

from flow.client import Session
from party.errors import CannotUnseal
from party.ids import PartyId
from party.seal import box, unbox
from runtime.errors import Denied

COOKIE_VERSION = 1
COOKIE_S = 12 * 3600
_AAD = b"archipelago/board-cookie/v1"


class ForgedForm(Denied):
    """A form did not come from one of our pages."""

    code = "board.forged_form"


@dataclass(frozen=True, repr=False)
class Visit:
    """One browser: logged in if it has a token.

    Attributes:
        csrf: What every form of this visit must send back.
        token: Flow's session token, or empty.
        user: Whose session it is.
        roles: What the user may do, for showing buttons; Flow decides.
    """

    csrf: str
    token: str = ""
    user: str = ""
    roles: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Visit of {self.user or 'nobody'}>"

    def check(self, csrf: str) -> None:
        """Raise ForgedForm unless the form carries this visit's value."""
        if not hmac.compare_digest(self.csrf.encode(), csrf.encode()):
            raise ForgedForm("The form is too old or not from this board.", hint="Load the page again.")


class VisitCookie:
    """Reads and writes the cookie; with `https` browsers send it to the very host that set it, and only encrypted."""

    def __init__(self, key: bytes, party: PartyId, *, https: bool = False) -> None:
        self._key = key
        self._https = https
        self.name = f"{'__Host-' if https else ''}archipelago-{party}"

    def of(self, request: Request) -> Visit:
        """The visit that the request belongs to; a fresh one if it has no cookie of ours."""
        try:
            sealed = base64.urlsafe_b64decode(request.cookies.get(self.name, ""))
            body = json.loads(unbox(self._key, sealed, _AAD))
            if body.pop("version") == COOKIE_VERSION:
                return Visit(**body | {"roles": tuple(body["roles"])})
        except (CannotUnseal, binascii.Error, ValueError, KeyError, TypeError):
            pass
        return Visit(csrf=secrets.token_urlsafe(24))

    def log_in(self, session: Session) -> Visit:
        """A new visit for a session; its CSRF value is new too."""
        return Visit(secrets.token_urlsafe(24), session.token, session.user, session.roles)

    def log_out(self, visit: Visit) -> Visit:
        """The visit without its user."""
        return replace(visit, csrf=secrets.token_urlsafe(24), token="", user="", roles=())

    def remember(self, visit: Visit, response: Response) -> None:
        """Put the cookie on an answer."""
        body = {"version": COOKIE_VERSION, "csrf": visit.csrf, "token": visit.token}
        body |= {"user": visit.user, "roles": list(visit.roles)}
        sealed = base64.urlsafe_b64encode(box(self._key, json.dumps(body).encode(), _AAD)).decode()
        response.set_cookie(
            self.name, sealed, max_age=COOKIE_S, path="/", secure=self._https, httponly=True, samesite="lax"
        )

"""How a party's REST interface is asked: one connection pool, one user's token, errors raised again as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter

from flow.rest_client.patience import Patience, Waits
from flow.rest_client.remote_errors import raise_refusal, wrapped

CONNECT_S = 5.0
ANSWER_S = 60.0
LOOK_S = 20.0  # for what is only looked at

T = TypeVar("T")


class HttpCalls:
    """Asks one party as one user; what there is to ask stands in the classes beside it."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        transport: httpx.Client | None = None,
        patience: Callable[[Waits | None], Patience] = Patience,
    ) -> None:
        """Make a client; nothing is asked yet.

        Args:
            url: The party's REST interface, `http://host:port`.
            token: The user's token or session token.
            transport: Connections to share with other clients of the same party.
            patience: For how long who follows something bears that the party is down.
        """
        self.url = url.rstrip("/")
        self._token = token
        self._patience = patience
        self._owned = transport is None
        self._http = transport or httpx.Client(timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S), trust_env=False)

    def close(self) -> None:
        """Close the connections that this client opened."""
        if self._owned:
            self._http.close()

    def _ask(self, kind: type[T], method: str, path: str, params: dict[str, Any] | None = None, **how: Any) -> T:
        return TypeAdapter(kind).validate_json(self._call(method, path, params=params, **how))

    def _call(self, method: str, path: str, **how: Any) -> bytes:
        response = self._sent(method, path, **how)
        if response.is_error:
            raise_refusal(response.status_code, response.content)
        return response.content

    def _sent(self, method: str, path: str, **how: Any) -> httpx.Response:
        """The answer, whatever its status; a look is over `within_s`. Raises FlowUnreachable."""
        within_s = how.pop("within_s", LOOK_S)
        how["headers"] = self._headers() | how.get("headers", {})
        if method == "GET" and self._owned:
            how.setdefault("timeout", httpx.Timeout(within_s, connect=CONNECT_S))
        with wrapped(self.url):
            try:
                return self._http.request(method, f"{self.url}/v1{path}", **how)
            except (httpx.RemoteProtocolError, httpx.ReadError):
                if method != "GET":
                    raise
                # A kept connection was closed by a server that restarted meanwhile; asking again does no harm.
                return self._http.request(method, f"{self.url}/v1{path}", **how)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

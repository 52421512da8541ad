"""What a person sees when something goes wrong: a page that says what to do, never a trace."""

from __future__ import annotations

import json

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from board.context import NotLoggedIn, anybody
from runtime.error_kinds import http_status
from runtime.errors import PlatformError
from runtime.log import get_logger

_log = get_logger("board")
_EXPIRED = frozenset({"party.not_authenticated", NotLoggedIn.code})


def install(app: FastAPI) -> None:
    """Show every error of the application as a page, or as JSON to scripts."""
    app.add_exception_handler(PlatformError, _named)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(Exception, _defect)


def _named(request: Request, error: Exception) -> Response:
    if not isinstance(error, PlatformError):
        raise TypeError("registered for named errors only") from error
    if error.code in _EXPIRED:
        if _is_script(request):
            return _json(401, "Log in again.")
        return RedirectResponse("/login", status_code=303)
    return _page(request, http_status(error), error.message, error.hint)


def _routing(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = {404: "There is no such page.", 405: "This page cannot be used that way."}
    return _page(request, status, said.get(status, "This request cannot be answered."), "Go back to the jobs.")


def _malformed(request: Request, _error: Exception) -> Response:
    return _page(request, 400, "The address has a part that cannot be read.", "Go back to the jobs.")


def _defect(request: Request, error: Exception) -> Response:
    _log.error("Board defect", path=request.url.path, exc_info=error)
    return _page(request, 500, "The board met a defect of its own.", "Its log has the details; please report it.")


def _page(request: Request, status: int, message: str, hint: str) -> Response:
    if _is_script(request):
        return _json(status, message)
    looking = anybody(request)
    response: HTMLResponse = looking.page("error.html", status_code=status, message=message, hint=hint, status=status)
    return response


def _json(status: int, message: str) -> Response:
    return Response(json.dumps({"message": message}), status_code=status, media_type="application/json")


def _is_script(request: Request) -> bool:
    return request.url.path.endswith(("/live", "/stream", "/metrics"))

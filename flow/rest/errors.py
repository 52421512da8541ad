"""How an error becomes an HTTP answer: its status (runtime/error_kinds.py), and what the body tells."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from flow.errors import JobInvalid, Problem
from runtime.disk.faults import fault_of
from runtime.error_kinds import http_status
from runtime.errors import InvalidInput, PlatformError, TooManyGuesses, all_codes
from runtime.log import get_logger

_log = get_logger("flow")


class BadRequest(InvalidInput):
    """A path, query or body value of the request is wrong."""

    code = "flow.bad_request"

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


class ErrorBody(BaseModel):
    """What every refused request answers."""

    code: str = Field(description="Stable identifier of the error.")
    message: str = Field(description="One sentence for people; the text may change.")
    hint: str = Field(default="", description="What to do about it.")
    field: str | None = Field(default=None, description="Path of the field that is wrong, where there is one.")
    problems: tuple[Problem, ...] = Field(default=(), description="Every problem of a job.json, the first included.")


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": HTTPStatus(status).phrase}
    for status in sorted({http_status(error) for error in all_codes().values()} - {HTTPStatus.INTERNAL_SERVER_ERROR})
}


def answer(error: PlatformError) -> JSONResponse:
    """The HTTP answer of an error."""
    status = http_status(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    if isinstance(error, TooManyGuesses):
        headers["Retry-After"] = str(error.retry_s)
    return JSONResponse(body_of(error).model_dump(), status_code=status, headers=headers)


def body_of(error: PlatformError) -> ErrorBody:
    """What is told of an error."""
    if isinstance(error, JobInvalid):
        first = error.problems[0]
        return ErrorBody(
            code=error.code, message=first.message, hint=first.hint, field=first.path or None, problems=error.problems
        )
    field = getattr(error, "field", None) or None
    return ErrorBody(code=error.code, message=error.message, hint=error.hint, field=field)


def install(app: FastAPI) -> None:
    """Answer every error of the application in the one form."""
    app.add_exception_handler(PlatformError, _named)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(OSError, _refused)
    app.add_exception_handler(Exception, _defect)


async def _named(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, PlatformError):
        raise TypeError("registered for named errors only") from error
    return answer(error)


async def _malformed(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError("registered for validation errors only") from error
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in {"path", "query", "body", "header"}]
    return answer(BadRequest(f"{first['msg']}.", hint="See /v1/openapi.json for this route.", field=".".join(place)))


async def _routing(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError("registered for routing errors only") from error
    code = {404: "flow.no_such_route", 405: "flow.no_such_method"}.get(error.status_code, "flow.http_error")
    body = ErrorBody(
        code=code,
        message=f"{request.method} {request.url.path}: {error.detail}.",
        hint="See /v1/openapi.json for the routes.",
    )
    return JSONResponse(body.model_dump(), status_code=error.status_code, headers=error.headers)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    fault = fault_of(error)
    if fault is None:
        raise error
    _log.error("rest.disk_refused", path=request.url.path, error=fault.message)
    return answer(fault)


async def _left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody hears it: the sender left in the middle of the body


async def _defect(request: Request, error: Exception) -> JSONResponse:
    _log.error("rest.defect", path=request.url.path, error=repr(error), exc_info=error)
    body = ErrorBody(
        code="flow.defect",
        message="Archipelago met a defect of its own.",
        hint="The log of flow has the details; please report it.",
    )
    return JSONResponse(body.model_dump(), status_code=500)

"""The REST application of one party, made from what stands behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI
from starlette.datastructures import Headers
from starlette.types import Scope

from flow.rest import errors
from flow.rest.access import Anybody, guarded, open_routes, token_of
from flow.rest.backends import Backends
from flow.rest.routes import control, jobs, logins, metrics, party, policy, queue, results, streams, tables, users
from runtime.http.guard import Guard

THREADS = 64  # requests that may wait for the database or the disk at the same time

PREFIX = "/v1"
MOST_OF_STRANGERS = 16 << 10
MOST_OF_A_BODY = 64 << 10  # JSON that is read between two other requests: four milliseconds
MOST_OF_A_JOB = 1 << 20  # read in a thread of its own

PARTS = (party, queue, metrics, policy, users, logins, jobs, control, streams, tables, results)


def create_app(backends: Backends) -> FastAPI:
    """Every route under /v1, the OpenAPI document at /v1/openapi.json too.

    Raises:
        TypeError: A route asks nobody what the caller may do.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        backends.pulse.start(asyncio.get_running_loop())
        yield
        backends.pulse.stop()

    app = FastAPI(
        title=f"Archipelago: {backends.party}",
        version="1",
        description="Jobs, tables and the state of one party of a federation. Every route needs a bearer token.",
        openapi_url=None,  # as every other route it asks who calls: see below
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        responses=errors.RESPONSES,
    )
    app.state.backends = backends
    errors.install(app)
    routers = [guarded(router) for router in (*(part.router for part in PARTS), _document(app))]
    open_to_all = {(method, PREFIX + path) for router in routers for method, path in open_routes(router)}
    for router in routers:
        app.include_router(router, prefix=PREFIX)

    async def who(scope: Scope) -> str:
        if (scope["method"], scope["path"]) in open_to_all:
            return ""
        token = token_of(Headers(scope=scope).get("authorization"))
        account = await to_thread.run_sync(backends.account, token)
        return account.user.name

    def most_bytes(method: str, path: str) -> int | None:
        if tables.is_upload(method, path):
            return None
        if (method, path) in open_to_all:
            return MOST_OF_STRANGERS
        return MOST_OF_A_JOB if (method, path) in jobs.TAKE_A_JOB else MOST_OF_A_BODY

    app.add_middleware(Guard, who=who, most_bytes=most_bytes, answer=errors.answer)
    return app


def _document(app: FastAPI) -> APIRouter:
    """The route of the OpenAPI document; like every other it needs a token."""
    router = APIRouter()

    @router.get("/openapi.json", include_in_schema=False)
    def openapi(_known: Anybody) -> dict[str, Any]:
        return app.openapi()

    return router

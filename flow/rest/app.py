"""The REST application of one party, made from what stands behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI

from flow.rest import errors, jobs, logins, party, policy, results, streams, tables, users
from flow.rest.backends import Backends
from flow.rest.who import Anybody, guarded
from flow.web import Guard

THREADS = 64  # requests that may wait for the database or the disk at the same time

PARTS = (party, policy, users, logins, jobs, streams, tables, results)


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
    app.add_middleware(Guard, unlimited=tables.is_upload)
    for router in (*(part.router for part in PARTS), _document(app)):
        app.include_router(guarded(router), prefix="/v1")
    return app


def _document(app: FastAPI) -> APIRouter:
    """The route of the OpenAPI document; like every other it needs a token."""
    router = APIRouter()

    @router.get("/openapi.json", include_in_schema=False)
    def openapi(_known: Anybody) -> dict[str, Any]:
        return app.openapi()

    return router

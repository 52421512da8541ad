"""The REST application of one party, made from what stands behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from flow.rest import errors, jobs, party, streams, tables
from flow.rest.backends import Backends
from flow.web import Guard

THREADS = 64  # requests that may wait for the database or the disk at the same time


def create_app(backends: Backends) -> FastAPI:
    """Every route under /v1; the OpenAPI document is at /v1/openapi.json."""

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
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        responses=errors.RESPONSES,
    )
    app.state.backends = backends
    errors.install(app)
    app.add_middleware(Guard, unlimited=tables.is_upload)
    for part in (party, jobs, streams, tables):
        app.include_router(part.router, prefix="/v1")
    return app

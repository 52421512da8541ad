"""The board's application: pages, live updates, and the files they need, all from here and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from board import login, metrics, outputs, pages, updates
from board.context import BoardContext
from board.cookies import VisitCookie
from board.error_pages import install
from board.rendering import Renderer
from flow.client import FlowClient, Visitors
from runtime.http.guard import Guard

HERE = Path(__file__).parent
THREADS = 64
MAX_FORM_BYTES = 16 << 10  # the longest reason fits
# The chart library adds two fixed inline styles: an empty element that it fills by script, and one for its map part.
# They are named by their hashes, so that no other inline style is ever applied.
CHART_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"
)
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' {CHART_STYLES}",
            "img-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def create_app(flow: FlowClient, cookie: VisitCookie, visitors: Visitors, party: str) -> FastAPI:
    """The board of one party."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield

    app = FastAPI(title=f"Board of {party}", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.context = BoardContext(flow, cookie, Renderer(HERE / "templates", party), visitors)
    install(app)
    app.add_middleware(Guard, most_bytes=lambda _method, _path: MAX_FORM_BYTES, headers=HEADERS)
    for part in (login, pages, updates, outputs, metrics):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_api_route("/plotly.js", _plotly, include_in_schema=False)
    return app


def _plotly(_request: Request) -> FileResponse:
    """The chart library that is installed with the package plotly."""
    spec = find_spec("plotly")
    folder = Path(next(iter(spec.submodule_search_locations or ()))) if spec else HERE
    file = folder / "package_data" / "plotly.min.js"
    return FileResponse(file, media_type="text/javascript", headers={"Cache-Control": "private, max-age=86400"})

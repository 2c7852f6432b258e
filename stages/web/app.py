"""The web application behind its door: the page's files, and answers in words to every error."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from stages.shell.program import one_line
from stages.shell.rules import ParamsError
from stages.web.door import Door
from stages.web.page import Page
from stages.web.queue import QueueFullError
from stages.web.routes import router
from storage.errors import DataError, ImageError, WeightsError

STATIC: Final = Path(__file__).parent / "static"

TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

STATUS: Final = {
    ParamsError: 400,
    DataError: 400,
    ImageError: 400,
    WeightsError: 400,
    QueueFullError: 503,
    ClientDisconnect: 499,
}
"""Status of an answer by the error that it tells; 499 reaches nobody."""


def web_app(page: Page, *, token: str | None = None) -> Door:
    """The application, which ends the page's threads when it is shut down.

    Parameters
    ----------
    token
        What requests must carry; without one, only this machine may send any.
    """

    @asynccontextmanager
    async def living(_app: FastAPI) -> AsyncIterator[None]:
        yield
        page.close()

    # FastAPI's own pages would load scripts from elsewhere, and it reports to where the environment
    # says.
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
        lifespan=living,
    )
    app.state.page = page
    app.include_router(router)
    for path in STATIC.iterdir():
        _add_file(app, path)
    for error, status in STATUS.items():
        app.add_exception_handler(error, _telling(status))
    app.add_exception_handler(RequestValidationError, _telling(400))
    app.add_exception_handler(HTTPException, _told)
    return Door(app, token)


def _add_file(app: FastAPI, path: Path) -> None:
    """Offer a file of the page, read once: no address of a request is ever opened."""
    content, media_type = path.read_bytes(), TYPES[path.suffix]

    async def file() -> Response:
        return Response(content, media_type=media_type)

    app.add_api_route("/" if path.name == "index.html" else f"/{path.name}", file)


def _telling(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def told(_request: Request, error: Exception) -> Response:
        return JSONResponse({"error": one_line(error)}, status)

    return told


async def _told(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)

"""Decides which requests are answered: requests of the page, from this machine or with a token."""

import secrets
from collections.abc import MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.errors import shown

API: Final = "/api/"

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""HTTP headers of every answer: the page loads nothing from elsewhere, no other page frames it."""


@dataclass(frozen=True)
class AccessControl:
    """An ASGI application that passes only permitted requests on to the application ``app``."""

    app: ASGIApp
    token: str | None
    """Token that requests must carry; None if only this machine can send requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an HTTP request on to ``app`` if it is permitted; otherwise answer with the refusal.

        Messages that are no HTTP requests, such as the start of the server, are passed on
        unchecked.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = refusal_of(scope, self.token)
        if refusal is None:
            await self.app(scope, receive, send_with_headers)
        else:
            status, words = refusal
            response = JSONResponse({"error": words}, status)
            await response(scope, receive, send_with_headers)


def refusal_of(scope: MutableMapping[str, Any], token: str | None) -> tuple[int, str] | None:
    """HTTP status and reason why a request is refused; None if the request is permitted.

    ``scope`` is the request, as ASGI describes it. ``token`` must be carried by requests to the
    API; it is None if only this machine can send requests.

    Notes
    -----
    Without a token, the name under which the page was reached must be this machine's own: any other
    web page may give its own name this machine's address (DNS rebinding), and is then no stranger
    to the browser.
    """
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if token is None and not _is_loopback(host):
        return 421, f"host must be localhost or a loopback address, got {shown(host)}"
    origin = headers.get("origin")  # only browsers send it
    if origin is not None and origin.partition("://")[2] != host:
        return 403, "requests must come from the page itself, got one from another site"
    if token is not None and scope["path"].startswith(API):
        sent_token = headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(sent_token.encode(), token.encode()):
            return 401, "requests must carry the token: open the address with its #token"
    return None


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or is_loopback_address(name)


def is_loopback_address(name: str) -> bool:
    """Whether a name is an IP address of the loopback, which no other machine can reach.

    False for names of hosts, also for ``localhost``.
    """
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False

"""Serves the page on a port of this machine."""

import asyncio
import os
import secrets
import socket
from dataclasses import dataclass
from ipaddress import ip_address

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from stages.program.stopping import stoppable
from stages.settings.parsing import ParamsError
from stages.web.page_state import PageState
from stages.web.routes import web_app
from stages.web.security import is_loopback_address
from storage.errors import shown

HEAD_S = 20
"""Seconds after which a connection is closed if no whole head of a request has come."""

SHUTDOWN_S = 2
"""Seconds that answers may still take after the server was told to stop."""


class Connection(H11Protocol):
    """A connection that is closed if the head of a request takes longer than ``HEAD_S``.

    uvicorn itself only closes connections that are silent after an answer.
    """

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start the time limit for the head of the first request."""
        super().connection_made(transport)
        self._hold_to_limit()

    def data_received(self, data: bytes) -> None:
        """Take received bytes; end the time limit once the head of a request is complete."""
        super().data_received(data)
        self._hold_to_limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time limit for the head of a request."""
        self._forget_limit()
        super().connection_lost(exc)

    def _hold_to_limit(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget_limit()
        elif self._limit is None:
            self._limit = self.loop.call_later(HEAD_S, self.timeout_keep_alive_handler)

    def _forget_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


@dataclass(frozen=True)
class Endpoint:
    """A socket on which the page is served, and the token that requests must carry."""

    listener: socket.socket
    token: str | None
    """Token that requests must carry; None if only this machine can reach the socket."""

    @property
    def address(self) -> str:
        """Address of the page for a browser, with the token if there is one."""
        host, port = self.listener.getsockname()[:2]
        if self.token is None:
            return f"http://{_in_address(host)}:{port}/"
        name = socket.gethostname() if ip_address(host).is_unspecified else host
        # Browsers do not send the part behind #, so the token appears in no log.
        return f"http://{_in_address(name)}:{port}/#token={self.token}"


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def open_endpoint(host: str, port: int) -> Endpoint:
    """Open a socket on a port; port 0 takes any free port.

    The endpoint has a new random token if other machines can reach the host. A name without an
    address is a ``ParamsError``; a foreign address or a used port is an ``OSError``.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: a label is empty or too long
        raise ParamsError(
            f"host must be a name or an address of this machine, got {shown(host)}"
        ) from error
    try:
        # Clients that connect before the server runs wait for it.
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), f"{host}:{port}") from error
    token = None if is_loopback_address(str(address[0])) else secrets.token_urlsafe(16)
    return Endpoint(listener, token)


def serve(page: PageState, endpoint: Endpoint) -> None:
    """Serve until Ctrl-C or SIGTERM; uvicorn raises the signal again after the last answer.

    The queues of ``page`` are closed at the end. The last line says which work is kept.
    """
    kept = page.review and f"decisions are kept in {page.review.decisions_file}"
    with stoppable(kept or "no image is kept", is_resumed=bool(kept)):
        server_of(page, endpoint).run(sockets=[endpoint.listener])


def server_of(page: PageState, endpoint: Endpoint) -> uvicorn.Server:
    """Make a server of the page that logs only warnings and errors; it does not run yet."""
    config = uvicorn.Config(
        web_app(page, token=endpoint.token),
        http=Connection,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    return uvicorn.Server(config)

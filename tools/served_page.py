"""The page on a port of this machine while something looks at it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from stages.web.page_state import PageState
from stages.web.server import open_endpoint, server_of


@contextmanager
def served(page: PageState, *, host: str = "127.0.0.1") -> Iterator[str]:
    """Address of a page on a free port, answered by a thread until the block ends."""
    endpoint = open_endpoint(host, 0)
    server = server_of(page, endpoint)
    thread = Thread(target=server.run, kwargs={"sockets": [endpoint.listener]})
    thread.start()
    try:
        yield endpoint.address
    finally:
        server.should_exit = True
        thread.join()
        endpoint.listener.close()

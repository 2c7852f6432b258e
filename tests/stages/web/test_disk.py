"""Images of the page are in memory alone."""

import sys
from collections.abc import Iterator
from typing import Any, Final

import httpx
import numpy as np
import pytest
from PIL import Image

from stages.web.page_state import PageState
from tests.fixtures.predictors import drawn
from tests.fixtures.web_page import asked, download, opened, png, question

WRITES: Final = {"os.mkdir", "os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"}

_watched: list[tuple[str, str]] = []
_is_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what is written; a hook stays for good, so that it must be switched off."""
    name = str(arguments[0]) if arguments else ""
    if not _is_watching or "__pycache__" in name:  # code that runs for the first time
        return
    mode = arguments[1] if event == "open" else ""
    if event in WRITES or (isinstance(mode, str) and set(mode) & set("wax+")):
        _watched.append((event, name))


@pytest.fixture
def written() -> Iterator[list[tuple[str, str]]]:
    """What is written to the disk during a test."""
    global _is_watching  # noqa: PLW0603 - audit hooks cannot be removed
    sys.addaudithook(_watch)
    _watched.clear()
    _is_watching = True
    yield _watched
    _is_watching = False


def test_nothing_is_written_to_disk(written: list[tuple[str, str]]) -> None:
    page = PageState()

    async def ask(client: httpx.AsyncClient) -> None:
        # Beyond 1 MiB, libraries put a body into a temporary file.
        large = np.random.default_rng(0).integers(0, 256, (600, 700, 3)).astype(np.uint8)
        assert len(png(large)) > 2**20
        for data in (png(drawn()), png(large)):
            image = await opened(client, data)
            clicked = question((60, 60, 1))
            for kind, body in (
                ("answer", clicked),
                ("coco", download(clicked)),
                ("masks", download(clicked)),
            ):
                path = f"/api/images/{image['image']}/{kind}"
                response = await client.post(path, json=body)
                assert response.status_code == 200, response.text
        await client.post("/api/images", content=b"broken")

    asked(page, ask)
    assert written == []
    Image.new("L", (1, 1)).save("/dev/null", "PNG")
    assert written == [("open", "/dev/null")]

"""Many who use the page at once: each sees their own image, and the disk sees none."""

import asyncio
import base64
import io
import sys
from collections.abc import Iterator
from typing import Any, Final

import httpx
import numpy as np
import pytest
from PIL import Image

from pipeline.scenes.scene import draw_scene
from stages.web.page import Page
from tests.fixtures.predictors import drawn
from tests.fixtures.web_page import PATIENCE_S, asked, finished, opened, png, question
from tools.served_page import served

N_SESSIONS: Final = 20

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


def mask_of(told: dict[str, Any]) -> np.ndarray:
    data = base64.b64decode(told["proposals"][told["selected"]]["mask"])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[..., 3] > 0


async def session(client: httpx.AsyncClient, seed: int) -> np.ndarray:
    """Open a scene of one's own, click at three places, and return the last mask."""
    image = await opened(client, png(draw_scene(seed, 64).rgb))
    for x in (20, 32, 40):
        told = await client.post(f"/api/images/{image['image']}/answer", json=question((x, 30, 1)))
        assert told.status_code == 200, told.text
    return mask_of(told.json())


@pytest.mark.slow
def test_twenty_sessions_side_by_side_get_what_each_gets_alone() -> None:
    with served(Page()) as address:

        async def together() -> list[np.ndarray]:
            async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_S) as client:
                return await asyncio.gather(*(session(client, i) for i in range(N_SESSIONS)))

        found = finished(together())

    async def alone(client: httpx.AsyncClient) -> list[np.ndarray]:
        return [await session(client, seed) for seed in range(N_SESSIONS)]

    np.testing.assert_array_equal(found, asked(Page(), alone))
    assert len({mask.tobytes() for mask in found}) > N_SESSIONS // 2


def test_nothing_is_written_to_disk(written: list[tuple[str, str]]) -> None:
    page = Page()

    async def ask(client: httpx.AsyncClient) -> None:
        # Beyond 1 MiB, libraries put a body into a temporary file.
        large = np.random.default_rng(0).integers(0, 256, (600, 700, 3)).astype(np.uint8)
        assert len(png(large)) > 2**20
        for data in (png(drawn()), png(large)):
            image = await opened(client, data)
            for kind in ("answer", "coco", "mask"):
                path = f"/api/images/{image['image']}/{kind}"
                told = await client.post(path, json=question((60, 60, 1)))
                assert told.status_code == 200
        await client.post("/api/images", content=b"broken")

    asked(page, ask)
    assert written == []
    Image.new("L", (1, 1)).save("/dev/null", "PNG")
    assert written == [("open", "/dev/null")]

"""How long a click on the page waits for its answer."""

import io
import time
from typing import Final

import httpx
import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from stages.predictor.command_options import ModelOptions
from stages.web.page_state import PageState
from tests.fixtures.web_page import CHOICE, question
from tools.bars import Bar, missed_bars
from tools.served_page import served

MOST_S: Final = 0.15

SHARE: Final = 0.95

N_CLICKS: Final = 60

PHOTO_PX: Final = (3000, 4000)


@pytest.mark.parametrize("model", ["tiny", "large"])
@pytest.mark.parametrize("what", ["scene", "photograph"])
def test_a_click_is_answered_while_it_is_felt(
    benchmark: BenchmarkFixture, model: str, what: str
) -> None:
    """Through a socket, from the question to the last byte of three masks."""
    with (
        served(PageState(ModelOptions(model=model))) as here,
        httpx.Client(base_url=here, timeout=60) as client,
    ):
        choice = CHOICE | {"model": model}
        address, data = ({"scene": 0}, None) if what == "scene" else ({}, photograph())
        image = client.post("/api/images", params={**choice, **address}, content=data).json()
        rng = np.random.default_rng(0)
        times = []

        def click() -> None:
            x, y = rng.uniform(0, (image["width_px"], image["height_px"])).tolist()
            started = time.perf_counter()
            told = client.post(
                f"/api/images/{image['image']}/answer", json=question((x, y, 1)) | choice
            )
            times.append(time.perf_counter() - started)
            assert told.status_code == 200

        benchmark.pedantic(click, rounds=N_CLICKS)  # type: ignore[no-untyped-call]
    within = float(np.mean(np.array(times) <= MOST_S))
    claim = f"share of clicks on the page answered within {1000 * MOST_S:.0f} ms"
    bar = Bar(claim, within, at_least=SHARE, case=f"{what} {model}")
    assert missed_bars(benchmark, bar) == []


def photograph() -> bytes:
    """As large as a telephone's."""
    small = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(small).resize(PHOTO_PX[::-1]).save(data, "JPEG")
    return data.getvalue()
